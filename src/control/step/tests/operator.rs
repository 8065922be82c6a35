//! What an operator does without usher, and what of it outlives usher.

use super::*;
use crate::control::Kept;

impl Edge {
    fn replicas(&self, service: &str) -> u32 {
        let tenant = &self.controller.tenants["congress"];
        tenant.services[service].crew(self.now).present
    }

    /// One more of the same, made by the operator.
    fn add_declared(&mut self, number: u32) {
        let mut one = unit(&format!("web_{number}"), Origin::Declared { number });
        one.since = self.now.wall;
        self.units.get_mut("web").expect("web").push(one);
        self.list();
        self.probe(&format!("web_{number}"), true);
    }

    fn wish(&mut self, wish: Wish) -> String {
        self.controller.obey(self.now, &wish).expect("possible")
    }

    /// The same machine after a restart of usher.
    fn restarted(&mut self, text: &str) -> Self {
        let kept = self.controller.kept(self.now);
        let kept = serde_json::to_string(&kept).expect("JSON");
        let kept: Kept = serde_json::from_str(&kept).expect("what was written");
        let mut edge = Self::new(text);
        edge.now = self.now;
        edge.units = self.units.clone();
        edge.controller.remember(kept, edge.now);
        edge.list();
        let all = self.units.values().flatten();
        for name in all.map(|unit| unit.name.clone()) {
            edge.probe(&name, true);
        }
        edge
    }
}

#[tokio::test]
async fn replicas_that_an_operator_adds_stay_for_half_an_hour() {
    let mut edge = Edge::running();
    edge.outlast_the_start();
    edge.add_declared(2);
    edge.add_declared(3);
    edge.sessions.clear();
    edge.seconds(1_700);
    assert_eq!(edge.replicas("web"), 3, "nobody needs them, and they stay");
    edge.seconds(2_000);
    assert_eq!(edge.replicas("web"), 1, "half an hour is over");
}

#[tokio::test]
async fn replicas_that_an_operator_removes_are_not_put_back_for_half_an_hour() {
    let mut edge = Edge::running();
    edge.sessions.insert("web_1".into(), 290);
    edge.seconds(120);
    let before = edge.replicas("web");
    assert!(before >= 3, "{before}");
    // docker-compose up -d --scale web=2: the highest number goes.
    edge.units.get_mut("web").expect("web").truncate(2);
    edge.list();
    edge.seconds(1_700);
    assert_eq!(edge.replicas("web"), 2);
    edge.seconds(300);
    assert!(edge.replicas("web") >= 3, "half an hour is over");
}

fn two_webs() -> Wish {
    Wish::Scale {
        instance: "congress".parse().expect("name"),
        service: "web".parse().expect("name"),
        replicas: 2,
        span: None,
    }
}

#[tokio::test]
async fn what_an_operator_tells_usher_counts_from_then_on_whatever_was_done_by_hand() {
    let mut edge = Edge::running();
    edge.outlast_the_start();
    edge.add_declared(2);
    edge.add_declared(3);
    edge.wish(two_webs());
    edge.sessions.clear();
    edge.seconds(1_000);
    assert_eq!(edge.replicas("web"), 2);
}

#[tokio::test]
async fn what_an_operator_does_by_hand_counts_from_then_on_whatever_usher_was_told() {
    let mut edge = Edge::running();
    edge.outlast_the_start();
    edge.wish(two_webs());
    edge.seconds(60);
    assert_eq!(edge.replicas("web"), 2);
    edge.add_declared(2);
    edge.add_declared(3);
    edge.sessions.clear();
    edge.seconds(1_700);
    assert_eq!(edge.replicas("web"), 4, "two more by hand");
    edge.seconds(2_000);
    assert_eq!(edge.replicas("web"), 1, "half an hour is over");
}

#[tokio::test]
async fn what_operators_asked_for_outlives_a_restart_of_usher() {
    let mut edge = Edge::running();
    edge.outlast_the_start();
    let instance: InstanceName = "congress".parse().expect("name");
    edge.wish(Wish::Scale {
        instance: instance.clone(),
        service: "web".parse().expect("name"),
        replicas: 3,
        span: Some(Duration::from_secs(600)),
    });
    edge.wish(Wish::Pause {
        instance: instance.clone(),
    });
    edge.seconds(60);
    let saved = edge.controller.tenants["congress"].ledger.used();

    let mut later = edge.restarted(CONFIG);
    let tenant = &later.controller.tenants["congress"];
    assert!(tenant.paused);
    assert!((tenant.ledger.used() - saved).abs() < 0.01, "{saved}");
    later.seconds(300);
    assert_eq!(later.replicas("web"), 3);
    later.seconds(2_000);
    assert_eq!(later.replicas("web"), 1, "its time is over");
}

#[tokio::test]
async fn what_is_kept_of_an_instance_waits_until_it_is_there() {
    let mut edge = Edge::running();
    edge.wish(Wish::Pause {
        instance: "congress".parse().expect("name"),
    });
    let elsewhere = CONFIG.replace("congress", "party");
    let mut without = edge.restarted(&elsewhere);
    assert!(!without.controller.tenants["party"].paused);
    let again = without.restarted(CONFIG);
    assert!(again.controller.tenants["congress"].paused);
}

#[tokio::test]
async fn where_demand_is_forgotten_sooner_an_operators_replica_is_not_taken_away_before_it_is_heeded()
 {
    let mut edge = Edge::new(&CONFIG.replace("down-after = \"60s\"", "down-after = \"2s\""));
    edge.units = Edge::running().units;
    edge.list();
    edge.probe("web_1", true);
    edge.seconds(20);
    edge.add_declared(2);
    edge.seconds(1_000);
    assert_eq!(edge.replicas("web"), 2);
}
