use super::*;
use crate::routing::load::SessionKind;

const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn endpoint(name: &str, usage: Usage) -> Arc<Endpoint> {
    Arc::new(Endpoint {
        id: ReplicaId::new(name, 1),
        name: name.into(),
        address: ([127, 0, 0, 1], 1).into(),
        usage,
        turn: None,
        pool_key: 0,
        load: Arc::new(Load::new(ReplicaId::new(name, 1))),
    })
}

fn pool(endpoints: Vec<Arc<Endpoint>>) -> Pool {
    let service = "web".parse().expect("name");
    Pool::new(service, endpoints, &ServicePlan::default(), Arc::default())
}

fn serving(names: &[&str]) -> Pool {
    pool(
        names
            .iter()
            .map(|name| endpoint(name, Usage::Serve))
            .collect(),
    )
}

fn name<T>(pick: &Result<T, NoPick>, endpoint: impl Fn(&T) -> &Arc<Endpoint>) -> String {
    endpoint(pick.as_ref().expect("a place")).name.to_string()
}

#[test]
fn sessions_spread_exactly_evenly() {
    let pool = serving(&["a", "b", "c"]);
    let mut open = Vec::new();
    for _ in 0..300 {
        let pick = pool.pick_session(CLIENT, &[], 250).expect("room");
        pick.endpoint
            .load
            .count(SessionKind::Websocket)
            .fetch_add(1, Ordering::Relaxed);
        drop(pick.pending);
        open.push(pick.inside);
    }
    let counts: Vec<u32> = pool.endpoints.iter().map(|e| e.load.sessions()).collect();
    assert_eq!(counts, [100, 100, 100]);
}

/// A pool whose replicas leave in this order, and have so many sessions.
fn in_turn(all: &[(&str, Option<u32>, u32)]) -> Pool {
    let endpoints = all.iter().map(|(name, turn, sessions)| {
        let mut endpoint = endpoint(name, Usage::Serve);
        let own = Arc::get_mut(&mut endpoint).expect("not shared yet");
        own.turn = *turn;
        let count = own.load.count(SessionKind::Websocket);
        count.store(*sessions, Ordering::Relaxed);
        endpoint
    });
    let plan = ServicePlan {
        ahead: 15,
        ..ServicePlan::default()
    };
    let service = "web".parse().expect("name");
    Pool::new(service, endpoints.collect(), &plan, Arc::default())
}

#[test]
fn who_is_ended_last_gets_the_next_session_unless_it_is_too_far_ahead() {
    for (last, first, chosen) in [
        (0, 0, "last"),
        (15, 0, "last"),
        (16, 0, "first"),
        // A tenth of 100 that are free.
        (150, 140, "last"),
        (151, 140, "first"),
        (249, 249, "last"),
        (249, 248, "first"),
    ] {
        let pool = in_turn(&[("first", Some(0), first), ("last", Some(1), last)]);
        for _ in 0..2 {
            let pick = pool.pick_session(CLIENT, &[], 250);
            assert_eq!(
                name(&pick, |pick| &pick.endpoint),
                chosen,
                "{last} on who is last, {first} on who is first"
            );
        }
    }
    // What is leaving already is the last choice, and equals are as good as each other.
    let pool = in_turn(&[("leaves", None, 0), ("a", Some(0), 3), ("b", Some(0), 2)]);
    let pick = pool.pick_session(CLIENT, &[], 250);
    assert_eq!(name(&pick, |pick| &pick.endpoint), "b");
}

#[test]
fn a_handshake_under_way_counts_as_a_session() {
    let pool = serving(&["a", "b"]);
    let first = pool.pick_session(CLIENT, &[], 250);
    let second = pool.pick_session(CLIENT, &[], 250);
    assert_ne!(
        name(&first, |pick| &pick.endpoint),
        name(&second, |pick| &pick.endpoint)
    );
}

#[test]
fn sessions_decide_and_not_requests() {
    let pool = serving(&["a", "b"]);
    pool.endpoints[0]
        .load
        .count(SessionKind::Websocket)
        .fetch_add(1, Ordering::Relaxed);
    let _busy: Vec<_> = (0..5).map(|_| pool.endpoints[1].load.enter()).collect();
    let pick = pool.pick_session(CLIENT, &[], 250);
    assert_eq!(name(&pick, |pick| &pick.endpoint), "b");
}

#[test]
fn requests_go_where_the_fewest_are() {
    let pool = serving(&["a", "b"]);
    let held: Vec<_> = (0..10)
        .map(|_| pool.pick(CLIENT, &[], true).expect("a place"))
        .collect();
    let on_a = held
        .iter()
        .filter(|pick| &*pick.endpoint.name == "a")
        .count();
    assert_eq!(on_a, 5);
}

#[test]
fn who_drains_gets_nothing_new() {
    let pool = pool(vec![
        endpoint("a", Usage::Drain),
        endpoint("b", Usage::Serve),
    ]);
    for _ in 0..10 {
        assert_eq!(
            name(&pool.pick(CLIENT, &[], true), |pick| &pick.endpoint),
            "b"
        );
    }
}

#[test]
fn an_endpoint_closed_since_the_table_was_made_is_passed_over() {
    let pool = serving(&["a", "b"]);
    pool.endpoints[0].load.close();
    for _ in 0..10 {
        assert_eq!(
            name(&pool.pick(CLIENT, &[], true), |pick| &pick.endpoint),
            "b"
        );
    }
    pool.endpoints[1].load.close();
    assert_eq!(pool.pick(CLIENT, &[], true).err(), Some(NoPick::NoneReady));
}

#[test]
fn a_full_replica_gets_no_more_sessions_and_still_its_requests() {
    let pool = serving(&["a"]);
    pool.endpoints[0]
        .load
        .count(SessionKind::Websocket)
        .fetch_add(2, Ordering::Relaxed);
    assert_eq!(pool.pick_session(CLIENT, &[], 2).err(), Some(NoPick::Full));
    assert!(pool.pick(CLIENT, &[], true).is_ok());
}

#[test]
fn why_there_is_no_place_is_told_apart() {
    let id = |name: &str| ReplicaId::new(name, 1);
    assert_eq!(
        pool(Vec::new()).pick(CLIENT, &[], true).err(),
        Some(NoPick::NoneReady)
    );
    assert_eq!(
        serving(&["a"]).pick(CLIENT, &[id("a")], true).err(),
        Some(NoPick::Tried)
    );
    let mut left = pool(vec![endpoint("a", Usage::Drain)]);
    left.coming = true;
    assert_eq!(
        left.pick(CLIENT, &[id("a")], true).err(),
        Some(NoPick::Coming),
        "it refused because it was leaving"
    );
    let service = "web".parse().expect("name");
    let stranded = Pool::new(
        service,
        Vec::new(),
        &ServicePlan {
            stranded: true,
            ..ServicePlan::default()
        },
        Arc::default(),
    );
    assert_eq!(
        stranded.pick(CLIENT, &[], true).err(),
        Some(NoPick::Stranded)
    );
}

#[test]
fn a_client_keeps_its_replica_and_only_those_of_one_that_leaves_move() {
    let place = |names: &[&str]| -> Vec<String> {
        let mut pool = serving(names);
        pool.placement = Placement::Client;
        (0..200)
            .map(|last| {
                let client = IpAddr::from([192, 0, 2, last]);
                let pick = pool.pick(client, &[], true).expect("a place");
                pick.endpoint.name.to_string()
            })
            .collect()
    };
    let all = place(&["a", "b", "c"]);
    assert_eq!(all, place(&["c", "a", "b"]));
    let fewer = place(&["a", "b"]);
    for (before, after) in all.iter().zip(&fewer) {
        assert!(before == after || before == "c", "{before} to {after}");
    }
    for name in ["a", "b", "c"] {
        assert!(
            all.iter().filter(|taken| *taken == name).count() > 30,
            "{all:?}"
        );
    }
}
