//! What usher is told to do.

use super::*;

#[tokio::test]
async fn an_operators_number_wins_until_it_is_taken_back() {
    let mut edge = Edge::running();
    let (instance, service): (InstanceName, ServiceName) = (
        "congress".parse().expect("name"),
        "web".parse().expect("name"),
    );
    let scale = |replicas, span| Wish::Scale {
        instance: instance.clone(),
        service: service.clone(),
        replicas,
        span,
    };
    assert!(edge.controller.obey(edge.now, &scale(3, None)).is_ok());
    edge.seconds(5);
    assert_eq!(edge.units["web"].len(), 3);
    let too_many = edge.controller.obey(edge.now, &scale(9, None));
    assert!(too_many.expect_err("above max").contains("at most 4"));
    let auto = Wish::Auto {
        instance: instance.clone(),
    };
    assert!(edge.controller.obey(edge.now, &auto).is_ok());
    edge.seconds(300);
    assert_eq!(edge.units["web"].len(), 1);
    let unknown = Wish::Auto {
        instance: "other".parse().expect("name"),
    };
    let answer = edge
        .controller
        .obey(edge.now, &unknown)
        .expect_err("unknown");
    assert_eq!(answer, "there is no instance `other`; there is congress");
}

fn drain(service: &str, replica: &str) -> Wish {
    Wish::Drain {
        instance: "congress".parse().expect("name"),
        service: service.parse().expect("name"),
        replica: replica.to_owned(),
    }
}

#[tokio::test]
async fn a_replica_that_an_operator_drains_leaves_and_another_takes_its_place() {
    let mut edge = Edge::running();
    edge.sessions.insert("web_1".into(), 150);
    edge.seconds(3);
    edge.sessions.insert("web_clone_1".into(), 20);
    edge.report();
    let said = edge.controller.obey(edge.now, &drain("web", "web_clone_1"));
    let said = said.expect("it leaves");
    assert_eq!(
        said,
        "congress/web: web_clone_1 drains; 20 sessions are open"
    );
    // The demand is as it was: somebody else comes, and who was sent away is not called back.
    assert!(edge.seconds(3).contains(&"start web".to_owned()));
    assert_eq!(edge.state("web_clone_1"), "draining");
    edge.settle();
    assert_eq!(edge.usage("web_clone_1"), Some(Usage::Drain));
    assert!(
        edge.seconds(60)
            .iter()
            .all(|action| !action.starts_with("stop"))
    );
    edge.sessions.remove("web_clone_1");
    assert!(edge.seconds(3).contains(&"stop web_clone_1".to_owned()));
    let again = edge.controller.obey(edge.now, &drain("web", "web_clone_1"));
    assert!(again.expect_err("gone").contains("there is web_1"));
}

#[tokio::test]
async fn an_operator_cannot_drain_the_last_one_or_what_usher_does_not_stop() {
    let mut edge = Edge::running();
    let mut refused = |service, replica| {
        let said = edge.controller.obey(edge.now, &drain(service, replica));
        said.expect_err("it stays")
    };
    assert!(refused("web", "web_1").contains("the only one that is ready"));
    assert!(refused("web", "web").contains("there is no one replica `web`"));
    assert!(refused("mail", "mail_1").contains("no service `mail`"));
    for (from, to, why) in [
        ("down-after", "mode = \"off\"\ndown-after", "mode = \"off\""),
        ("domains", "standby = true\ndomains", "standby = true"),
        (
            "port = 8000",
            "addresses = [\"127.0.0.1:1\"]",
            "addresses of the configuration",
        ),
    ] {
        let mut edge = Edge::new(&CONFIG.replacen(from, to, 1));
        let said = edge.controller.obey(edge.now, &drain("web", "web_1"));
        assert!(said.expect_err("it stays").contains(why), "{why}");
    }
}

#[tokio::test]
async fn modes_hold_recommend_and_off_start_and_stop_nothing() {
    for mode in ["hold", "recommend", "off"] {
        let text = CONFIG.replace("down-after", &format!("mode = \"{mode}\"\ndown-after"));
        let mut edge = Edge::new(&text);
        edge.units = Edge::running().units;
        edge.list();
        edge.probe("web_1", true);
        edge.sessions.insert("web_1".into(), 350);
        assert!(edge.seconds(120).is_empty(), "{mode}");
        let decision = edge.controller.tenants["congress"].services["web"]
            .decision
            .clone();
        let desired = decision.map(|decision| decision.desired);
        assert_eq!(
            desired,
            match mode {
                "recommend" => Some(4),
                "hold" => Some(1),
                _ => None,
            }
        );
    }
}

#[tokio::test]
async fn standby_starts_nothing_and_asks_nobody() {
    let text = CONFIG.replace("name = \"congress\"", "name = \"congress\"\nstandby = true");
    let mut edge = Edge::new(&text);
    edge.units = Edge::running().units;
    edge.list();
    edge.sessions.insert("web_1".into(), 350);
    assert!(edge.seconds(10).is_empty());
    assert!(edge.targets().is_empty());
    let certificates = edge.controller.certificates();
    assert!(
        certificates.all().all(|wanted| !wanted.may_order),
        "{certificates:?}"
    );
}

#[tokio::test]
async fn a_number_is_not_taken_where_nothing_would_come_of_it() {
    let rental = "rental = { from = 1969-11-01, until = 1969-11-30 }\ndomains";
    for (from, to, why) in [
        (
            "down-after",
            "mode = \"off\"\ndown-after",
            "scale.mode = \"off\"",
        ),
        (
            "down-after",
            "mode = \"recommend\"\ndown-after",
            "scale.mode = \"recommend\"",
        ),
        ("domains", "standby = true\ndomains", "standby = true"),
        ("domains", rental, "is rented from 1969-11-01"),
    ] {
        let mut edge = Edge::new(&CONFIG.replacen(from, to, 1));
        edge.units = Edge::running().units;
        edge.list();
        let scale = Wish::Scale {
            instance: "congress".parse().expect("name"),
            service: "web".parse().expect("name"),
            replicas: 2,
            span: None,
        };
        for wish in [scale, drain("web", "web_1")] {
            let said = edge
                .controller
                .obey(edge.now, &wish)
                .expect_err("nothing comes of it");
            assert!(said.contains(why), "{why}: {said}");
        }
        assert!(
            edge.controller.tenants["congress"].services["web"]
                .over
                .is_none()
        );
    }
}
