//! What has to be true while the replicas are there, and after they have gone.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::audience::{Audience, Door, together};
use super::figures::{Growth, counts};
use super::stack::{self, WEB, WORKER};
use super::story::{EVERYBODY, PEAK, PER_REPLICA, Scene};
use super::tally::Tally;
use super::wait::{Outcome, ensure, until};

const REQUESTS: usize = 48;

impl Scene {
    /// Every web replica holds websockets, and all of them are counted.
    pub async fn sessions_everywhere(&self) -> Outcome<BTreeMap<String, u64>> {
        let (sockets, _) = until(
            Duration::from_secs(5),
            "websockets on every web replica",
            async || {
                let web = self.observer.service(WEB).replicas.into_iter();
                let sockets: BTreeMap<String, u64> = web
                    .map(|(name, _, sockets)| (self.stack.short(&name).to_owned(), sockets))
                    .collect();
                let all = sockets.values().all(|count| *count > 0);
                let sum: u64 = sockets.values().sum();
                if all && sum == EVERYBODY as u64 {
                    Ok(sockets)
                } else {
                    Err(counts(&sockets))
                }
            },
        )
        .await?;
        Ok(sockets)
    }

    /// Every web replica answers requests, as the access log tells.
    pub async fn requests_everywhere(&self, door: &Door) -> Outcome<BTreeMap<String, usize>> {
        let before = self.requests();
        together(REQUESTS, async || self.page(door).await).await?;
        let (requests, _) = until(
            Duration::from_secs(3),
            "pages from every web replica",
            async || {
                let mut requests = self.requests();
                for (replica, count) in &mut requests {
                    *count -= before.get(replica).copied().unwrap_or_default();
                }
                let sum: usize = requests.values().sum();
                let all = requests.values().filter(|count| **count > 0).count() == PEAK;
                if all && sum == REQUESTS {
                    Ok(requests)
                } else {
                    Err(counts(&requests))
                }
            },
        )
        .await?;
        Ok(requests)
    }

    /// How many pages each replica answered, as the access log tells.
    fn requests(&self) -> BTreeMap<String, usize> {
        let mut requests = BTreeMap::new();
        for line in self.usher.out().lines() {
            let line: Value = serde_json::from_str(line).unwrap_or_default();
            let page = line["kind"] == "request" && line["path"] == "/" && line["status"] == 200;
            if let (true, Some(replica)) = (page, line["replica"].as_str()) {
                *requests
                    .entry(self.stack.short(replica).to_owned())
                    .or_default() += 1;
            }
        }
        requests
    }

    /// Every worker takes part in the work.
    pub async fn work_everywhere(&self) -> Outcome<BTreeMap<String, usize>> {
        let (work, _) = until(
            Duration::from_secs(10),
            "work done by every worker",
            async || {
                let work = self.stack.work_of(WORKER).await?;
                let busy = work.values().filter(|count| **count > 0).count();
                if busy == PEAK {
                    Ok(work)
                } else {
                    Err(counts(&work))
                }
            },
        )
        .await?;
        Ok(work)
    }

    /// How the first of usher's own web replicas came.
    pub fn growth(&self, audience: &Audience, originals: &[String]) -> Outcome<Growth> {
        // The first websocket that one replica is not meant for.
        let need = audience.tally().opened[PER_REPLICA];
        let running = self.stack.running(WEB);
        let first = running
            .iter()
            .filter(|name| !originals.contains(name))
            .filter_map(|name| Some((self.observer.life(name).ready?, name)))
            .min();
        let (ready, name) = first.ok_or("no web replica of usher's was ready")?;
        let session = self.observer.life(name).session;
        let session = session.ok_or_else(|| format!("{name} never held a session"))?;
        let since = |at: Instant| at.saturating_duration_since(need);
        Ok(Growth {
            started: since(stack::started(name)?),
            ready: since(ready),
            session: since(session),
        })
    }

    /// What Compose had started is there, and nothing else, not even stopped.
    pub async fn only_originals(
        &self,
        originals: &BTreeMap<&str, Vec<String>>,
    ) -> Outcome<Duration> {
        let expected = Duration::from_secs(50);
        let again = "one web and one worker replica again";
        let (_, down) = until(expected, again, async || self.replicas(1)).await?;
        let mut names: Vec<&String> = originals.values().flatten().collect();
        names.sort();
        until(
            Duration::from_secs(5),
            "only the containers of Compose",
            async || {
                let all = self.stack.containers();
                let running = self.stack.all_running() == *originals;
                ensure(running && all.iter().eq(names.iter().copied()), || {
                    format!("{all:?}")
                })
            },
        )
        .await?;
        Ok(down)
    }

    /// Nobody was closed for any reason but their own.
    pub async fn endings(&self) -> Outcome<BTreeMap<String, u64>> {
        let (endings, _) = until(
            Duration::from_secs(3),
            "every ending counted by usher",
            async || {
                let endings = self.admin().endings().await?;
                let sum: u64 = endings.values().sum();
                ensure(sum >= EVERYBODY as u64, || counts(&endings))?;
                Ok(endings)
            },
        )
        .await?;
        let foreign = endings
            .iter()
            .any(|(reason, count)| reason != "client" && *count > 0);
        ensure(!foreign, || {
            format!(
                "usher counts endings that no client began: {}",
                counts(&endings)
            )
        })?;
        Ok(endings)
    }
}

/// What has to be true of the audience as a whole.
pub fn check(tally: &Tally) -> Outcome<()> {
    ensure(tally.opened.len() == EVERYBODY, || {
        format!("{} websockets were opened", tally.opened.len())
    })?;
    ensure(tally.left == EVERYBODY, || {
        format!("{} websockets were closed by their clients", tally.left)
    })?;
    ensure(tally.fewest.is_some_and(|fewest| fewest > 1), || {
        "a websocket exchanged hardly anything".to_owned()
    })?;
    // Channels delivers at most once; one lost in a hundred is no longer that.
    ensure(tally.unanswered * 100 <= tally.answers.len(), || {
        format!("{} messages were never answered", tally.unanswered)
    })
}
