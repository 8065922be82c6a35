//! Containers that say something of themselves in the words of nginx-proxy, on a fake engine.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use usher::inventory::{Claims, Unit};

use super::engine::{FakeEngine, Shared, unit};
use super::eventually::{check, eventually};
use super::{Edge, Front, Origin, Setup};

pub fn loopback(last: u8) -> IpAddr {
    IpAddr::from([127, 0, 0, last])
}

/// Any port of an address.
pub fn at(last: u8) -> SocketAddr {
    SocketAddr::new(loopback(last), 0)
}

/// A container that listens, and says this of itself.
pub struct Container {
    pub origin: Origin,
    pub unit: Unit,
}

impl Container {
    pub async fn new(name: &str, last: u8, values: &[(&str, &str)]) -> Self {
        Self::of(name, Origin::start_at(name, at(last)).await, values)
    }

    /// Around an origin that is there.
    pub fn of(name: &str, origin: Origin, values: &[(&str, &str)]) -> Self {
        let mut unit = unit(name, 1, origin.address.ip());
        unit.ports = vec![origin.address.port()];
        let mut container = Self { origin, unit };
        container.say(values);
        container
    }

    pub fn say(&mut self, values: &[(&str, &str)]) {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        self.unit.claims = Arc::new(Claims {
            values: values.iter().map(owned).collect(),
            left_out: Vec::new(),
        });
    }
}

pub fn text(mode: &str, tables: &str) -> String {
    format!("[engine]\nkind = \"docker\"\nnames-from-containers = \"{mode}\"\n{tables}")
}

pub async fn start(mode: &str, tables: &str) -> (Arc<FakeEngine>, Edge) {
    let engine = FakeEngine::new();
    let shared = Arc::new(Shared(Arc::clone(&engine)));
    let edge = Setup::new(&text(mode, tables))
        .engine(shared, false)
        .start()
        .await;
    (engine, edge)
}

pub async fn answers(edge: &Edge, url: &str, status: u16) -> String {
    eventually(&format!("{status} from {url}"), async || {
        match edge.ask(url).try_send().await {
            Ok(answer) if answer.status == status => Ok(answer.text()),
            Ok(answer) => Err(answer.status.to_string()),
            Err(error) => Err(error.to_string()),
        }
    })
    .await
}

/// Everything that is not healthy, with the reasons.
pub async fn says(edge: &Edge, words: &[&str]) {
    eventually(&format!("a reason with {words:?}"), async || {
        let stats = edge.stats().await;
        let mut reasons = stats["reasons"].to_string();
        for instance in stats["instances"].as_array().expect("instances") {
            reasons.push_str(&instance["reasons"].to_string());
        }
        check(words.iter().all(|word| reasons.contains(word)), reasons)
    })
    .await;
}
