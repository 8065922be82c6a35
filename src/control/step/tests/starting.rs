//! Starts that fail.

use super::*;

#[tokio::test]
async fn three_that_never_come_to_life_are_followed_by_one_try_in_five_minutes() {
    let mut edge = Edge::running();
    edge.sessions.insert("web_1".into(), 900);
    let mut starts = Vec::new();
    for second in 0..1_500 {
        for action in edge.tick() {
            let result = Ok(());
            match &action {
                Action::Start { service, .. } if service.as_str() == "web" => {
                    starts.push(second);
                    // It runs, and never answers.
                    let number = 10 + u32::try_from(starts.len()).expect("few");
                    let mut made = unit(&format!("web_{number}"), Origin::Added { number });
                    made.since = edge.now.wall;
                    edge.units.get_mut("web").expect("web").push(made);
                    edge.take(Event::Acted(Acted { action, result }));
                    edge.list();
                }
                Action::Start { .. } => edge.take(Event::Acted(Acted { action, result })),
                _ => edge.carry_out(action),
            }
        }
        edge.probe("web_1", true);
    }
    assert_eq!(edge.state("web_1"), "ready", "it was left alone");
    let pauses: Vec<_> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(starts.len() >= 4, "{starts:?}");
    assert!(
        pauses.iter().skip(3).all(|pause| *pause >= 300),
        "{starts:?}"
    );
}

#[tokio::test]
async fn a_start_that_fails_is_tried_again_later_and_said() {
    let mut edge = Edge::running();
    edge.sessions.insert("web_1".into(), 150);
    let fail = |edge: &mut Edge| {
        edge.take(Event::Acted(Acted {
            action: Action::Start {
                stack: "congress".parse().expect("name"),
                service: "web".parse().expect("name"),
                command: Vec::new(),
            },
            result: Err(Failure {
                text: "no space left".to_owned(),
                trouble: Trouble::Passing,
            }),
        }));
    };
    assert!(edge.second().contains(&"start web".to_owned()));
    fail(&mut edge);
    assert!(!edge.second().contains(&"start web".to_owned()));
    let status = edge.controller.status(edge.now);
    let text = &status.instances[0].reasons[0].text;
    assert_eq!(
        text,
        "no further replica of web could be started: no space left"
    );
    edge.now.at += Duration::from_secs(5);
    assert!(edge.second().contains(&"start web".to_owned()));
}

#[tokio::test]
async fn what_the_stack_forbids_is_tried_every_five_minutes_and_when_somebody_says_so() {
    let mut edge = Edge::running();
    edge.sessions.insert("web_1".into(), 150);
    let starts = |edge: &mut Edge| {
        let mut starts = false;
        for action in edge.tick() {
            let Action::Start { service, .. } = &action else {
                continue;
            };
            let web = service.as_str() == "web";
            starts |= web;
            let result = Err(Failure {
                text: "No such image: app:2".to_owned(),
                trouble: Trouble::Stack,
            });
            edge.take(Event::Acted(Acted { action, result }));
        }
        starts
    };
    assert!(starts(&mut edge));
    let tried = (0..298).filter(|_| starts(&mut edge)).count();
    assert_eq!(tried, 0);
    let tried = (0..4).filter(|_| starts(&mut edge)).count();
    assert_eq!(tried, 1);

    edge.take(Event::Config(current(CONFIG)));
    assert!(starts(&mut edge), "the file was read again");
    assert!(!starts(&mut edge));
    let instance: InstanceName = "congress".parse().expect("name");
    for wish in [
        Wish::Scale {
            instance: instance.clone(),
            service: "web".parse().expect("name"),
            replicas: 2,
            span: None,
        },
        Wish::Auto { instance },
    ] {
        edge.controller.obey(edge.now, &wish).expect("possible");
        assert!(starts(&mut edge), "{wish:?}");
        assert!(!starts(&mut edge));
    }
    let own = edge.controller.status(edge.now).instances[0].clone();
    assert!(own.reasons[0].text.contains("No such image"), "{own:?}");
}

#[tokio::test]
async fn a_replica_that_never_becomes_ready_stops_further_starts_and_drains_nobody() {
    let mut edge = Edge::new(CONFIG);
    edge.units
        .insert("web", vec![unit("web_1", Origin::Declared { number: 1 })]);
    edge.list();
    edge.sessions.insert("web_1".into(), 900);
    let mut ordered = Vec::new();
    for _ in 0..180 {
        ordered.extend(edge.second());
    }
    assert_eq!(edge.state("web_1"), "failed");
    let webs: Vec<_> = ordered
        .iter()
        .filter(|action| action.contains("web"))
        .collect();
    assert!(webs.is_empty(), "{webs:?}");
    edge.probe("web_1", true);
    assert_eq!(edge.state("web_1"), "ready", "late is better than never");
}

/// One of a service that usher does not start, and that somebody restarts so many times, ten seconds
/// after each start.
fn restarted_by_others(times: u64) -> Vec<Reason> {
    let mut edge = Edge::new(&format!(
        "{CONFIG}[instance.service.redis]\nrole = \"fixed\"\n"
    ));
    edge.units = Edge::running().units;
    let mut own = unit("redis_1", Origin::Declared { number: 1 });
    own.since = edge.now.wall;
    edge.units.insert("redis", vec![own]);
    edge.list();
    edge.probe("web_1", true);
    for time in 1..=times {
        edge.seconds(10);
        let own = &mut edge.units.get_mut("redis").expect("redis")[0];
        own.phase = Phase::Exited { code: 0 };
        edge.list();
        edge.seconds(1);
        let own = &mut edge.units.get_mut("redis").expect("redis")[0];
        own.phase = Phase::Running;
        own.id = ReplicaId::new("redis_1", 1 + time);
        own.since = edge.now.wall;
        edge.list();
    }
    edge.seconds(1);
    let status = edge.controller.status(edge.now);
    let reasons = status.instances[0].reasons.iter();
    reasons
        .filter(|reason| reason.part == "service:redis")
        .cloned()
        .collect()
}

#[tokio::test]
async fn a_fixed_service_that_is_restarted_soon_after_its_start_is_nobodys_failure() {
    assert_eq!(restarted_by_others(1), []);
    let told = restarted_by_others(3);
    let text = &told.first().expect("a loop").text;
    assert!(
        text.starts_with("redis does not last: redis_1 ended"),
        "{text}"
    );
}
