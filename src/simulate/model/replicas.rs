//! What a rule asks for becomes replicas: they take time to start, and some drain before they end.

use super::{Stack, Web, size};

/// Seconds from an order to a replica that works, and how many start at a time; each further lot
/// takes three seconds more.
const START_WEB: usize = 6;
const START_WORKER: usize = 12;
const START_PARALLEL: usize = 6;
/// Seconds that a drain waits, sessions per second that are closed after that, and the room one
/// needs elsewhere.
const NATURAL: usize = 900;
const PACE: f64 = 5.0;
const ROOM: f64 = 150.0;

impl Stack<'_> {
    /// How much longer a start takes because others are starting.
    fn queueing(&self, second: usize) -> usize {
        let webs = self.webs.iter().filter(|web| web.ready > second).count();
        let workers = self.workers.iter().filter(|ready| **ready > second).count();
        (webs + workers) / START_PARALLEL * 3
    }

    pub(super) fn resize_webs(&mut self, second: usize, wanted: u32, drains: bool) {
        let active = self
            .webs
            .iter()
            .filter(|web| web.draining.is_none())
            .count();
        let wanted = size(wanted);
        if wanted > active {
            let mut missing = wanted - active;
            for web in self.webs.iter_mut().filter(|web| web.draining.is_some()) {
                if missing == 0 {
                    break;
                }
                web.draining = None;
                missing -= 1;
            }
            for _ in 0..missing {
                let ready = second + START_WEB + self.queueing(second);
                self.webs.push(Web {
                    sessions: 0.0,
                    ready,
                    draining: None,
                });
            }
        }
        for _ in wanted..active {
            // Who drains chooses whom it costs least; who does not, does not look either.
            let candidates = self.webs.iter().enumerate();
            let candidates = candidates.filter(|(_, web)| web.draining.is_none());
            let victim = if drains {
                candidates
                    .min_by(|(_, a), (_, b)| {
                        let key = |web: &Web| (web.ready <= second, web.sessions);
                        key(a)
                            .partial_cmp(&key(b))
                            .unwrap_or(std::cmp::Ordering::Equal)
                    })
                    .map(|(index, _)| index)
            } else {
                let turn = second % (active.max(1));
                candidates.map(|(index, _)| index).cycle().nth(turn)
            };
            let Some(victim) = victim.filter(|victim| *victim < self.webs.len()) else {
                return;
            };
            match self.webs.get_mut(victim) {
                Some(web) if drains && web.ready <= second => web.draining = Some(second),
                _ => {
                    let web = self.webs.swap_remove(victim);
                    self.ledger.merit.dropped += web.sessions;
                    self.later(second, web.sessions, 0.0);
                }
            }
        }
    }

    pub(super) fn advance_drains(&mut self, second: usize, closes: bool) {
        let mut index = 0;
        while let Some(web) = self.webs.get(index).copied() {
            let Some(since) = web.draining else {
                index += 1;
                continue;
            };
            if web.sessions < 0.5 {
                self.webs.swap_remove(index);
                self.later(second, web.sessions, 0.0);
                continue;
            }
            if closes && second - since > NATURAL {
                let others = self.webs.iter().filter(|web| web.draining.is_none());
                let room: f64 = others.map(|web| (ROOM - web.sessions).max(0.0)).sum();
                let moves = web.sessions.min(PACE).min(room);
                if let Some(web) = self.webs.get_mut(index) {
                    web.sessions -= moves;
                }
                self.ledger.merit.migrated += moves;
                self.later(second, moves, 0.0);
            }
            index += 1;
        }
    }

    pub(super) fn resize_workers(&mut self, second: usize, wanted: u32) {
        let wanted = size(wanted);
        while self.workers.len() < wanted {
            let ready = second + START_WORKER + self.queueing(second);
            self.workers.push(ready);
        }
        if self.workers.len() > wanted {
            self.workers.sort_unstable();
            self.workers.truncate(wanted);
        }
    }
}
