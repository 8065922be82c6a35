//! Who may keep a processor busy with a handshake: a few at a time, one address after the other.
//!
//! A handshake takes a hundred times the processor time of a message. A hall that comes all at once
//! would have every thread at that work and let nobody's message through meanwhile; and whoever
//! came behind two thousand others would wait for all of them. So work is let in through here.
//! Nobody holds a place while the other side is silent, so nobody is refused one.

use std::collections::{HashMap, VecDeque};
use std::future::pending;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

use tokio::sync::oneshot;

/// The places, and who waits for one.
#[derive(Debug)]
pub(super) struct Turnstile(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Places that nobody has. While there is one, nobody waits.
    free: usize,
    waiting: HashMap<IpAddr, VecDeque<oneshot::Sender<Place>>>,
    /// Addresses with somebody who waits, the next one first.
    round: VecDeque<IpAddr>,
}

/// A place, given back when it is dropped.
#[must_use]
#[derive(Debug)]
pub(super) struct Place(Option<Arc<Turnstile>>);

impl Turnstile {
    /// As many places as leave half of the processors to those who are in already.
    ///
    /// Of two cores on a busy machine, with 2 000 handshakes at once and a build without optimisation:
    /// the longest echo of a live websocket took 0.4 to 1.2 s with one place, 4 to 6 s with four to
    /// sixty-four, and up to 10 s with as many as wanted one. The handshakes themselves took about as
    /// long with any number.
    pub(super) fn new() -> Arc<Self> {
        let cores = available_parallelism().map_or(1, NonZeroUsize::get);
        Self::with((cores / 2).max(1))
    }

    fn with(places: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            free: places,
            waiting: HashMap::new(),
            round: VecDeque::new(),
        })))
    }

    /// Waits for a place. Cancel safe: who goes away is passed over.
    pub(super) async fn enter(self: &Arc<Self>, from: IpAddr) -> Place {
        let turn = {
            let mut state = self.lock();
            if let Some(left) = state.free.checked_sub(1) {
                state.free = left;
                return Place(Some(Arc::clone(self)));
            }
            state.wait(site(from))
        };
        match turn.await {
            Ok(place) => place,
            // Who waits is dropped with the turnstile, and that with the last place.
            Err(_) => pending().await,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wait(&mut self, site: IpAddr) -> oneshot::Receiver<Place> {
        let (turn, waits) = oneshot::channel();
        let queue = self.waiting.entry(site).or_default();
        if queue.is_empty() {
            self.round.push_back(site);
        }
        queue.push_back(turn);
        waits
    }

    /// The first who waits at the address whose turn it is.
    fn next(&mut self) -> Option<oneshot::Sender<Place>> {
        while let Some(site) = self.round.pop_front() {
            let Some(queue) = self.waiting.get_mut(&site) else {
                continue;
            };
            let next = loop {
                match queue.pop_front() {
                    Some(turn) if turn.is_closed() => {}
                    other => break other,
                }
            };
            if queue.is_empty() {
                self.waiting.remove(&site);
            } else {
                self.round.push_back(site);
            }
            if next.is_some() {
                return next;
            }
        }
        None
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(turnstile) = self.0.take() else {
            return;
        };
        loop {
            let next = {
                let mut state = turnstile.lock();
                let next = state.next();
                if next.is_none() {
                    state.free += 1;
                }
                next
            };
            let Some(turn) = next else {
                return;
            };
            match turn.send(Self(Some(Arc::clone(&turnstile)))) {
                Ok(()) => return,
                // Gone in this moment. What comes back is no place any more, or dropping it would
                // come here again.
                Err(mut place) => drop(place.0.take()),
            }
        }
    }
}

/// Whoever has one address of a /64 has all of them (RFC 4291 §2.5.4), so they count as one.
fn site(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use tokio::task::yield_now;

    use super::*;

    const HALL: &str = "192.0.2.1";

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    /// In which order those who ask one after the other get in, through a single place.
    async fn order(arrivals: impl IntoIterator<Item = &'static str>) -> Vec<&'static str> {
        let turnstile = Turnstile::with(1);
        let taken = turnstile.enter(ip("198.51.100.1")).await;
        let entered: Arc<Mutex<Vec<&str>>> = Arc::default();
        let mut visitors = Vec::new();
        for from in arrivals {
            let (turnstile, entered) = (Arc::clone(&turnstile), Arc::clone(&entered));
            visitors.push(tokio::spawn(async move {
                let _place = turnstile.enter(ip(from)).await;
                entered.lock().expect("a lock").push(from);
            }));
            yield_now().await;
        }
        drop(taken);
        join_all(visitors).await;
        assert_eq!(turnstile.lock().free, 1);
        assert!(turnstile.lock().waiting.is_empty());
        let entered = entered.lock().expect("a lock");
        entered.clone()
    }

    #[tokio::test]
    async fn others_do_not_wait_for_all_of_a_hall_and_nobody_in_it_is_refused() {
        let others = ["192.0.2.2", "2001:db8::1", "192.0.2.2"];
        let order = order([HALL; 2000].into_iter().chain(others)).await;
        assert_eq!(
            order[..6],
            [HALL, "192.0.2.2", "2001:db8::1", HALL, "192.0.2.2", HALL]
        );
        assert_eq!(order.len(), 2003);
    }

    #[tokio::test]
    async fn addresses_of_one_ipv6_network_are_one_of_ipv4_are_not() {
        let one = ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"];
        assert_eq!(order(one).await, [one[0], one[2], one[1]]);
        let two = ["192.0.2.1", "192.0.2.1", "192.0.2.2"];
        assert_eq!(order(two).await, [two[0], two[2], two[1]]);
    }

    #[tokio::test]
    async fn who_goes_away_takes_no_place_with_them() {
        let turnstile = Turnstile::with(1);
        let taken = turnstile.enter(ip(HALL)).await;
        let enter = |turnstile: &Arc<Turnstile>| {
            let turnstile = Arc::clone(turnstile);
            tokio::spawn(async move { drop(turnstile.enter(ip(HALL)).await) })
        };
        let impatient = enter(&turnstile);
        yield_now().await;
        impatient.abort();
        let _ = impatient.await;
        let patient = enter(&turnstile);
        yield_now().await;
        drop(taken);
        patient.await.expect("a place");

        // It was given to somebody who has not looked yet, and never does.
        let taken = turnstile.enter(ip(HALL)).await;
        let impatient = enter(&turnstile);
        yield_now().await;
        drop(taken);
        impatient.abort();
        let _ = impatient.await;
        assert_eq!(turnstile.lock().free, 1);
    }
}
