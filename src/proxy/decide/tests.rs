use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::listener::Secured;
use crate::names::{Generation, InstanceName, ReplicaId};
use crate::plan::{Door, EdgePolicy, InstancePlan, Plan, Site, Target, Upstream};
use crate::routing::{Farewell, Routes};

struct Nobody;

impl Farewell for Nobody {
    fn cut(&self, _: &ReplicaId, _: u32, _: Duration) {}
    fn gone(&self, _: &InstanceName) {}
}

fn instance(name: &str, change: impl FnOnce(&mut InstancePlan, &mut Site)) -> Arc<InstancePlan> {
    let mut site = Site {
        domains: vec![format!("{name}.example").parse().expect("domain")],
        ..Site::default()
    };
    let mut plan = InstancePlan {
        name: name.parse().expect("name"),
        site: Arc::new(site.clone()),
        condition: Condition::Serving,
        routes: vec![Route {
            prefix: "/app".to_owned(),
            pattern: None,
            loose: false,
            allow: Vec::new(),
            auth: None,
            cache_control: None,
            replace_prefix: None,
            upstream: Upstream::default(),
            target: Target::StubStatus,
        }],
        leaving: Vec::new(),
        services: BTreeMap::new(),
    };
    change(&mut plan, &mut site);
    plan.site = Arc::new(site);
    Arc::new(plan)
}

struct World {
    routes: Routes,
    store: Store,
    challenges: Challenges,
    passages: Passages,
    /// The network that connections come over.
    door: Option<Arc<str>>,
}

impl World {
    fn new(instances: Vec<Arc<InstancePlan>>) -> Self {
        Self::with(instances, |_| {})
    }

    fn with(instances: Vec<Arc<InstancePlan>>, change: impl FnOnce(&mut EdgePolicy)) -> Self {
        let mut edge = EdgePolicy {
            trusted_proxies: vec!["10.0.0.0/8".parse().expect("net")],
            ..EdgePolicy::default()
        };
        change(&mut edge);
        let plan = Plan {
            generation: Generation(1),
            edge: Arc::new(edge),
            instances: instances
                .into_iter()
                .map(|plan| (plan.name.clone(), plan))
                .collect(),
        };
        let routes = Routes::default();
        routes.apply(&plan, &Nobody);
        Self {
            routes,
            store: Store::new(false),
            challenges: Challenges::default(),
            passages: Passages::default(),
            door: None,
        }
    }

    fn with_local_certificate(self, names: &[&str]) -> Self {
        self.store.pretend_to_cover_locally(names);
        self
    }

    fn with_certificate(self, names: &[&str]) -> Self {
        self.store.pretend_to_cover(names);
        self
    }

    /// The status of what usher answers itself, or 0 where a route answers.
    fn ask(&self, url: &str) -> (u16, Option<String>) {
        self.ask_as(url, "203.0.113.5", &Method::GET, &[])
    }

    fn ask_as(
        &self,
        url: &str,
        peer: &str,
        method: &Method,
        fields: &[(&'static str, &str)],
    ) -> (u16, Option<String>) {
        let (scheme, rest) = url.split_once("://").expect("scheme");
        let (authority, target) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        // `https://sni@host/` for a name in the handshake that is not the host.
        let (sni, authority) = authority.split_once('@').unwrap_or((authority, authority));
        let sni = (scheme == "https").then(|| {
            let name = sni.split(':').next().expect("name");
            Secured::to(name.parse().expect("sni"))
        });
        let peer = format!("{peer}:4000").parse().expect("peer");
        let connection =
            Connection::new(peer, ([192, 0, 2, 1], 80).into(), sni).over(self.door.clone());
        let fields = fields
            .iter()
            .map(|(name, value)| {
                (
                    http::HeaderName::from_static(name),
                    value.parse().expect("value"),
                )
            })
            .collect();
        let table = self.routes.load();
        let known = Known {
            table: &table,
            store: &self.store,
            challenges: &self.challenges,
            passages: &self.passages,
            https_port: 443,
        };
        let asked = Asked {
            method,
            authority: (!authority.is_empty()).then_some(authority),
            path,
            query,
            fields: &fields,
            connection: &connection,
        };
        match known.decide(&asked) {
            Decision::Serve(_) | Decision::Webroot { .. } => (0, None),
            Decision::Answer { answer, .. } => {
                let location = answer.fields.iter().find(|(name, _)| *name == "location");
                (
                    answer.status.as_u16(),
                    location.map(|(_, value)| value.clone()),
                )
            }
        }
    }
}

fn plain() -> World {
    World::new(vec![instance("a", |_, _| {}), instance("b", |_, _| {})])
}

#[test]
fn names_and_paths_are_answered_as_the_contract_says() {
    let world = plain();
    for (url, status) in [
        ("http://a.example/app", 0),
        ("http://A.EXAMPLE:80/app/x", 0),
        ("http://a.example/other", 404),
        ("http://nobody.example/app", 503),
        ("http:///app", 400),
        ("http://a b/app", 400),
        ("http://a.example/app/../x", 400),
        ("http://a.example/app/%2e%2e/x", 400),
        ("http://a.example/app%00", 400),
    ] {
        assert_eq!(world.ask(url).0, status, "{url}");
    }
    let long = format!("http://a.example/app/{}", "a".repeat(9_000));
    assert_eq!(world.ask(&long).0, 414);
}

#[test]
fn a_connection_made_for_one_instance_serves_no_other() {
    let world = plain().with_certificate(&["a.example", "b.example"]);
    assert_eq!(world.ask("https://a.example/app").0, 0);
    assert_eq!(world.ask("https://a.example@b.example/app").0, 421);
    assert_eq!(world.ask("https://a.example@nobody.example/app").0, 421);
}

#[test]
fn plain_http_is_served_until_there_is_a_certificate() {
    assert_eq!(plain().ask("http://a.example/app?x=1"), (0, None));
    let world = plain().with_certificate(&["a.example"]);
    let to = Some("https://a.example/app?x=1".to_owned());
    assert_eq!(world.ask("http://a.example/app?x=1"), (301, to.clone()));
    assert_eq!(
        world.ask("http://a.example:8080/app?x=1"),
        (301, to.clone())
    );
    let post = world.ask_as(
        "http://a.example/app?x=1",
        "203.0.113.5",
        &Method::POST,
        &[],
    );
    assert_eq!(post, (308, to));
    assert_eq!(world.ask("http://b.example/app").0, 0, "the other has none");
}

#[test]
fn nobody_is_led_to_a_certificate_that_only_the_initiated_believe() {
    let world = plain().with_local_certificate(&["a.example"]);
    assert_eq!(world.ask("http://a.example/app").0, 0);
    assert_eq!(world.ask("https://a.example/app").0, 0);
    let only = World::new(vec![instance("a", |_, site| site.https = Https::Only)]);
    let only = only.with_local_certificate(&["a.example"]);
    assert_eq!(only.ask("http://a.example/app").0, 503);
    let old = World::new(vec![instance("a", |_, site| {
        site.redirect_from = vec!["old.example".parse().expect("host")];
    })]);
    let old = old.with_local_certificate(&["a.example", "old.example"]);
    let (status, location) = old.ask("http://old.example/app");
    assert_eq!(
        (status, location.as_deref()),
        (301, Some("http://a.example/app"))
    );
}

#[test]
fn a_trusted_proxy_that_speaks_https_is_not_redirected() {
    let world = plain().with_certificate(&["a.example"]);
    let fields = [("x-forwarded-proto", "https")];
    let ask = |peer| {
        world
            .ask_as("http://a.example/app", peer, &Method::GET, &fields)
            .0
    };
    assert_eq!(ask("10.0.0.2"), 0);
    assert_eq!(ask("203.0.113.5"), 301);
}

#[test]
fn the_modes_of_https_differ() {
    let with = |https| {
        World::new(vec![instance("a", |_, site| site.https = https)])
            .with_certificate(&["a.example"])
    };
    assert_eq!(with(Https::Both).ask("http://a.example/app").0, 0);
    assert_eq!(with(Https::Only).ask("http://a.example/app").0, 503);
    assert_eq!(with(Https::Only).ask("https://a.example/app").0, 0);
    assert_eq!(with(Https::Off).ask("http://a.example/app").0, 0);
}

#[test]
fn an_old_name_redirects_to_the_first_domain() {
    let world = World::new(vec![instance("a", |_, site| {
        site.redirect_from = vec!["old.example".parse().expect("host")];
    })]);
    let plain = Some("http://a.example/x?y".to_owned());
    assert_eq!(world.ask("http://old.example/x?y"), (301, plain));
    let world = world.with_certificate(&["a.example"]);
    let secure = Some("https://a.example/x?y".to_owned());
    assert_eq!(world.ask("http://old.example/x?y"), (301, secure));
}

#[test]
fn a_challenge_is_answered_before_everything_else_and_only_where_it_was_asked() {
    let world = plain().with_certificate(&["a.example"]);
    let host: Hostname = "a.example".parse().expect("host");
    let _published = world.challenges.publish_for_test(host, "token", "answer");
    assert_eq!(
        world
            .ask("http://a.example/.well-known/acme-challenge/token")
            .0,
        200
    );
    assert_eq!(
        world
            .ask("http://b.example/.well-known/acme-challenge/token")
            .0,
        404,
        "another host"
    );
    assert_eq!(
        world
            .ask("http://a.example/.well-known/acme-challenge/other")
            .0,
        404,
        "no redirect"
    );
    assert_eq!(
        world
            .ask("http://nobody.example/.well-known/acme-challenge/token")
            .0,
        503
    );
}

#[test]
fn methods_that_nobody_needs_are_refused() {
    let world = plain();
    let ask = |method| {
        world
            .ask_as("http://a.example/app", "203.0.113.5", &method, &[])
            .0
    };
    assert_eq!(ask(Method::TRACE), 405);
    assert_eq!(ask(Method::CONNECT), 400);
}

#[test]
fn who_is_not_admitted_gets_403() {
    let world = World::new(vec![instance("a", |plan, site| {
        site.deny = vec!["203.0.113.0/24".parse().expect("net")];
        plan.routes[0].allow = vec!["198.51.100.0/24".parse().expect("net")];
    })]);
    let ask = |peer| {
        world
            .ask_as("http://a.example/app", peer, &Method::GET, &[])
            .0
    };
    assert_eq!(ask("203.0.113.5"), 403);
    assert_eq!(ask("192.0.2.77"), 403, "not by this route");
    assert_eq!(ask("198.51.100.5"), 0);
}

#[test]
fn standby_answers_with_its_own_page() {
    let world = World::new(vec![instance("a", |plan, _| {
        plan.condition = Condition::Standby
    })]);
    assert_eq!(world.ask("http://a.example/app").0, 503);
}

#[test]
fn outside_the_rental_everything_is_answered_with_the_page_that_says_so() {
    let world = World::new(vec![instance("a", |plan, _| {
        plan.condition = Condition::Unrented
    })]);
    assert_eq!(world.ask("http://a.example/app").0, 503);
    assert_eq!(world.ask("http://a.example/nowhere").0, 503);
}

#[test]
fn more_fields_than_a_browser_sends_are_too_many() {
    let names: Vec<String> = (0..101).map(|index| format!("x-{index}")).collect();
    let world = plain();
    let connection = Connection::new(
        ([203, 0, 113, 5], 1).into(),
        ([192, 0, 2, 1], 80).into(),
        None,
    );
    let fields: HeaderMap = names
        .iter()
        .map(|name| {
            (
                name.parse::<http::HeaderName>().expect("name"),
                http::HeaderValue::from_static("1"),
            )
        })
        .collect();
    let table = world.routes.load();
    let known = Known {
        table: &table,
        store: &world.store,
        challenges: &world.challenges,
        passages: &world.passages,
        https_port: 443,
    };
    let decision = known.decide(&Asked {
        method: &Method::GET,
        authority: Some("a.example"),
        path: "/app",
        query: None,
        fields: &fields,
        connection: &connection,
    });
    assert!(matches!(decision, Decision::Answer { answer, .. } if answer.status.as_u16() == 431));
}

#[test]
fn a_network_of_a_stack_leads_to_that_stack_and_to_nobody_else() {
    let both = vec![instance("a", |_, _| {}), instance("b", |_, _| {})];
    let mut world = World::with(both, |edge| {
        edge.doors = vec![Door {
            network: "n1".into(),
            addresses: vec!["172.18.0.5".parse().expect("address")],
            subnets: vec!["172.18.0.0/16".parse().expect("net")],
            gateways: vec!["172.18.0.1".parse().expect("address")],
            instances: ["a".parse().expect("name")].into(),
        }];
    });
    assert_eq!(world.ask("http://b.example/app").0, 0, "from anywhere");
    world.door = Some("n1".into());
    assert_eq!(world.ask("http://a.example/app").0, 0);
    let other = world.ask("http://b.example/app");
    assert_eq!(
        other,
        world.ask("http://nobody.example/app"),
        "as a name of nobody"
    );
    assert_eq!(other.0, 503);
    // usher is not on it any more.
    world.door = Some("n2".into());
    assert_eq!(world.ask("http://a.example/app").0, 503);
}

#[test]
fn a_host_that_stands_for_those_nobody_has_answers_for_them() {
    let both = vec![instance("a", |_, _| {}), instance("b", |_, _| {})];
    let world = World::with(both, |edge| {
        edge.default_host = Some("a.example".parse().expect("host"));
    });
    assert_eq!(world.ask("http://nobody.example/app").0, 0);
    assert_eq!(world.ask("http://nobody.example/other").0, 404);
    assert_eq!(world.ask("http://192.0.2.1/app").0, 0);
    let world = world.with_certificate(&["a.example"]);
    let to = Some("https://nobody.example/app".to_owned());
    assert_eq!(
        world.ask("http://nobody.example/app"),
        (301, to),
        "as a itself"
    );
    assert_eq!(world.ask("https://nobody.example/app").0, 0);
    assert_eq!(world.ask("https://nobody.example@b.example/app").0, 421);
}

#[test]
fn where_no_route_fits_the_operators_answer_is_given() {
    let with = |no_route: NoRoute| {
        World::new(vec![instance("a", |_, site| {
            site.no_route = no_route.clone()
        })])
    };
    assert_eq!(
        with(NoRoute::Status(418)).ask("http://a.example/other").0,
        418
    );
    let to = "$scheme://www.$host/x$request_uri".to_owned();
    let world = with(NoRoute::Redirect { status: 302, to });
    let led = Some("http://www.a.example/x/other?y=$host".to_owned());
    let (status, location) = world.ask("http://a.example/other?y=$host");
    assert_eq!(status, 302);
    // What a visitor writes is not filled in.
    assert_eq!(location, led);
}

#[test]
fn before_there_is_a_certificate_plain_http_can_be_kept_shut() {
    let with = |https| {
        World::new(vec![instance("a", |_, site| {
            site.https = https;
            site.http_without_certificate = false;
        })])
    };
    assert_eq!(with(Https::Redirect).ask("http://a.example/app").0, 301);
    assert_eq!(with(Https::Only).ask("http://a.example/app").0, 503);
    assert_eq!(with(Https::Both).ask("http://a.example/app").0, 0);
}

#[test]
fn what_other_programs_left_for_an_authority_comes_after_usher_s_own_and_over_plain_http_alone() {
    let mut world = plain().with_certificate(&["a.example"]);
    let plan = Plan {
        generation: Generation(2),
        edge: Arc::new(EdgePolicy {
            webroot: Some("/srv".into()),
            ..EdgePolicy::default()
        }),
        instances: [instance("a", |_, _| {})]
            .into_iter()
            .map(|plan| (plan.name.clone(), plan))
            .collect(),
    };
    world.routes = Routes::default();
    world.routes.apply(&plan, &Nobody);
    let host = "a.example".parse().expect("host");
    let _published = world.challenges.publish_for_test(host, "own", "answer");
    let below = |scheme: &str, host: &str, token: &str| {
        let url = format!("{scheme}://{host}/.well-known/acme-challenge/{token}");
        world.ask(&url).0
    };
    assert_eq!(below("http", "a.example", "own"), 200);
    assert_eq!(
        below("http", "a.example", "other"),
        0,
        "the folder is asked"
    );
    assert_eq!(below("https", "a.example", "other"), 404);
    assert_eq!(below("http", "nobody.example", "other"), 503);
    // Led to TLS like everything else that cannot be a token would be answered before that.
    assert_ne!(below("http", "a.example", "..%2fother"), 0);
}
