//! What usher says of itself: replicas and sessions from `/stats`, endings from `/metrics`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ClientConfig;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::harness::Front;
use super::wait::{Outcome, ensure, say};

/// The resolution of what is measured with it.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// usher's admin listener.
#[derive(Clone, Copy, Debug)]
pub struct Admin {
    pub address: SocketAddr,
}

impl Front for Admin {
    fn http(&self) -> SocketAddr {
        self.address
    }

    fn https(&self) -> SocketAddr {
        self.address
    }

    fn trust(&self, _protocols: &[&str]) -> ClientConfig {
        unreachable!("the admin listener speaks no TLS")
    }
}

impl Admin {
    async fn get(self, path: &str) -> Outcome<String> {
        let url = format!("http://localhost{path}");
        let answer = timeout(ANSWER_WITHIN, self.ask(&url).try_send())
            .await
            .map_err(|_| format!("{path}: no answer"))?
            .map_err(|error| format!("{path}: {error}"))?;
        ensure(answer.status == 200, || {
            format!("{path}: {}", answer.status)
        })?;
        Ok(answer.text())
    }

    pub async fn stats(self, instance: &str) -> Outcome<Value> {
        let text = self.get(&format!("/stats/{instance}")).await?;
        serde_json::from_str(&text).map_err(|error| format!("/stats: {error}"))
    }

    /// How many sessions ended, by reason.
    pub async fn endings(self) -> Outcome<BTreeMap<String, u64>> {
        let mut endings = BTreeMap::new();
        for line in self.get("/metrics").await?.lines() {
            let Some(rest) = line.strip_prefix("usher_sessions_closed_total{") else {
                continue;
            };
            let reason = rest.split("reason=\"").nth(1);
            let reason = reason.and_then(|rest| rest.split('"').next());
            let count = line.rsplit(' ').next();
            let count = count.and_then(|count| count.parse::<u64>().ok());
            let (Some(reason), Some(count)) = (reason, count) else {
                return Err(format!("/metrics has the line {line}"));
            };
            *endings.entry(reason.to_owned()).or_default() += count;
        }
        ensure(!endings.is_empty(), || {
            "/metrics has no usher_sessions_closed_total".to_owned()
        })?;
        Ok(endings)
    }
}

/// One service as `/stats` last had it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Service {
    pub ready: usize,
    pub desired: u64,
    /// Name, state and websockets of each replica.
    pub replicas: Vec<(String, String, u64)>,
}

impl Service {
    /// Whether there are this many, all ready, and no other.
    pub fn is(&self, count: usize) -> bool {
        self.ready == count && self.replicas.len() == count
    }

    fn read(service: &Value) -> Self {
        let replicas: Vec<_> = service["replicas"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|replica| {
                (
                    replica["name"].as_str().unwrap_or_default().to_owned(),
                    replica["state"].as_str().unwrap_or_default().to_owned(),
                    replica["websockets"].as_u64().unwrap_or_default(),
                )
            })
            .collect();
        let ready = replicas.iter().filter(|(_, state, _)| state == "ready");
        Self {
            ready: ready.count(),
            desired: service["desired"].as_u64().unwrap_or_default(),
            replicas,
        }
    }
}

/// When a replica was first seen to be something.
#[derive(Clone, Copy, Debug, Default)]
pub struct Life {
    pub ready: Option<Instant>,
    pub session: Option<Instant>,
}

#[derive(Debug, Default)]
struct History {
    services: BTreeMap<String, Service>,
    peaks: BTreeMap<String, usize>,
    lives: BTreeMap<String, Life>,
    /// Why the last look failed, if it did.
    blind: Option<String>,
}

/// Looks at `/stats` all the time and prints what changes.
#[derive(Debug)]
pub struct Observer {
    history: Arc<Mutex<History>>,
    _task: JoinSet<()>,
}

impl Observer {
    pub fn start(admin: Admin, instance: &'static str) -> Self {
        let history = Arc::new(Mutex::new(History::default()));
        let mut task = JoinSet::new();
        task.spawn(observe(admin, instance, Arc::clone(&history)));
        Self {
            history,
            _task: task,
        }
    }

    pub fn service(&self, name: &str) -> Service {
        self.read(|history| history.services.get(name).cloned().unwrap_or_default())
    }

    /// The most replicas of a service that were ready at once.
    pub fn peak(&self, service: &str) -> usize {
        self.read(|history| history.peaks.get(service).copied().unwrap_or_default())
    }

    pub fn life(&self, replica: &str) -> Life {
        self.read(|history| history.lives.get(replica).copied().unwrap_or_default())
    }

    /// Everything last seen, for messages.
    pub fn seen(&self) -> String {
        self.read(|history| {
            let mut seen: Vec<_> = history
                .services
                .iter()
                .map(|(name, service)| format!("{name}: {:?}", service.replicas))
                .collect();
            seen.extend(history.blind.clone());
            seen.join("; ")
        })
    }

    fn read<T>(&self, look: impl FnOnce(&History) -> T) -> T {
        look(&self.history.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn observe(admin: Admin, instance: &'static str, history: Arc<Mutex<History>>) {
    let mut printed = String::new();
    loop {
        let stats = admin.stats(instance).await;
        let line = history
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take_in(stats, Instant::now());
        if let Some(line) = line.filter(|line| *line != printed) {
            say(&line);
            printed = line;
        }
        sleep(BETWEEN_LOOKS).await;
    }
}

impl History {
    /// Gives the counts of replicas, and what usher complains of, as a line.
    fn take_in(&mut self, stats: Outcome<Value>, now: Instant) -> Option<String> {
        let stats = match stats {
            Ok(stats) => stats,
            Err(why) => {
                self.blind = Some(why);
                return None;
            }
        };
        self.blind = None;
        let mut counts = Vec::new();
        for service in stats["services"].as_array().into_iter().flatten() {
            let name = service["name"].as_str().unwrap_or_default().to_owned();
            let service = Service::read(service);
            let peak = self.peaks.entry(name.clone()).or_default();
            *peak = service.ready.max(*peak);
            for (replica, state, websockets) in &service.replicas {
                let life = self.lives.entry(replica.clone()).or_default();
                if state == "ready" {
                    life.ready.get_or_insert(now);
                }
                if *websockets > 0 {
                    life.session.get_or_insert(now);
                }
            }
            let there = service.replicas.len();
            counts.push(format!("{name} {} ready of {there}", service.ready));
            self.services.insert(name, service);
        }
        let reasons = stats["reasons"].as_array().into_iter().flatten();
        let reasons = reasons.filter_map(|reason| reason["text"].as_str());
        counts.extend(reasons.map(ToOwned::to_owned));
        Some(format!("  {}", counts.join("; ")))
    }
}
