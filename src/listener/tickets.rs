//! The keys that session tickets are sealed with: in memory alone, and none older than twelve hours.
//!
//! The library's own ticketer (rustls 0.23.46, `ticketer.rs`) replaces a key after six hours and
//! opens tickets with the one before, but looks at the clock only when it is used: on a site that
//! nobody visits overnight, a key of the evening opens tickets until the next noon. So keys are
//! replaced here, by the clock, whether anybody comes or not.

use std::sync::{Arc, RwLock, RwLockReadGuard};
use std::time::Duration;

use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::ProducesTickets;
use tokio::time::Instant;
use tracing::error;

/// How long a key seals new tickets. It opens them for as long again.
const SEALS_FOR: Duration = Duration::from_secs(6 * 3600);

/// Seals and opens the tickets of one [`rustls::ServerConfig`].
#[derive(Debug)]
pub(super) struct Tickets(RwLock<Keys>);

/// Each key is a ticketer of the library (AES-256 and HMAC-SHA-256, RFC 5077 §4), which is let go
/// before it would replace anything itself.
#[derive(Debug)]
struct Keys {
    seals: Key,
    opens: Option<Key>,
}

#[derive(Clone, Debug)]
struct Key {
    ticketer: Arc<dyn ProducesTickets>,
    made: Instant,
}

impl Key {
    fn new(now: Instant) -> Result<Self, rustls::Error> {
        Ok(Self {
            ticketer: Ticketer::new()?,
            made: now,
        })
    }

    fn is_younger(&self, than: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.made) < than
    }
}

impl Keys {
    fn are_fresh(&self, now: Instant) -> bool {
        let opens = self.opens.as_ref();
        self.seals.is_younger(SEALS_FOR, now)
            && opens.is_none_or(|key| key.is_younger(2 * SEALS_FOR, now))
    }

    /// Lets go of what is too old. Without randomness for a new key there are no tickets for a while,
    /// and full handshakes instead.
    fn replace(&mut self, now: Instant) -> Result<(), rustls::Error> {
        self.opens
            .take_if(|key| !key.is_younger(2 * SEALS_FOR, now));
        if !self.seals.is_younger(SEALS_FOR, now) {
            let old = std::mem::replace(&mut self.seals, Key::new(now)?);
            self.opens = Some(old).filter(|key| key.is_younger(2 * SEALS_FOR, now));
        }
        Ok(())
    }
}

impl Tickets {
    /// # Errors
    /// When there is no randomness for a key.
    pub(super) fn new() -> Result<Self, rustls::Error> {
        Self::made(now())
    }

    fn made(now: Instant) -> Result<Self, rustls::Error> {
        Ok(Self(RwLock::new(Keys {
            seals: Key::new(now)?,
            opens: None,
        })))
    }

    /// Replaces keys whose time has come.
    pub(super) fn rotate(&self) {
        self.rotate_at(now());
    }

    fn rotate_at(&self, now: Instant) {
        if self.read().are_fresh(now) {
            return;
        }
        let mut keys = self
            .0
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Err(reason) = keys.replace(now) {
            error!(%reason, "no new key for session tickets");
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Keys> {
        self.0
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn seal(&self, plain: &[u8], now: Instant) -> Option<Vec<u8>> {
        self.rotate_at(now);
        let key = Some(self.read().seals.clone())?;
        key.is_younger(SEALS_FOR, now)
            .then(|| key.ticketer.encrypt(plain))?
    }

    fn open(&self, sealed: &[u8], now: Instant) -> Option<Vec<u8>> {
        self.rotate_at(now);
        let (seals, opens) = {
            let keys = self.read();
            (keys.seals.clone(), keys.opens.clone())
        };
        [Some(seals), opens]
            .into_iter()
            .flatten()
            .filter(|key| key.is_younger(2 * SEALS_FOR, now))
            .find_map(|key| key.ticketer.decrypt(sealed))
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    /// What clients are told, in seconds: a ticket that was sealed with a new key is good for so long.
    fn lifetime(&self) -> u32 {
        u32::try_from(2 * SEALS_FOR.as_secs()).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(plain, now())
    }

    fn decrypt(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        self.open(sealed, now())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the library asks for tickets without a time"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn tickets() -> (Tickets, Instant) {
        let now = now();
        (Tickets::made(now).expect("a key"), now)
    }

    #[test]
    fn a_ticket_is_opened_for_six_hours_and_longer_and_never_by_a_key_of_twelve() {
        let (tickets, start) = tickets();
        let early = tickets.seal(b"session", start).expect("sealed");
        let late = tickets.seal(b"session", start + 5 * HOUR).expect("sealed");
        for at in [0, 5, 6, 7, 11] {
            let opened = tickets.open(&early, start + at * HOUR);
            assert_eq!(opened.as_deref(), Some(&b"session"[..]), "after {at} h");
        }
        let due = start + 12 * HOUR;
        assert!(tickets.open(&late, due - HOUR / 60).is_some());
        assert_eq!(
            tickets.open(&late, due),
            None,
            "its key is twelve hours old"
        );
        let fresh = tickets.seal(b"session", due).expect("sealed");
        assert!(tickets.open(&fresh, due + 11 * HOUR).is_some());
    }

    #[test]
    fn a_key_does_not_outlive_a_night_without_visitors() {
        let (tickets, start) = tickets();
        let sealed = tickets.seal(b"session", start).expect("sealed");
        // Nobody came for thirteen hours; the first who comes has that ticket.
        assert_eq!(tickets.open(&sealed, start + 13 * HOUR), None);

        let (tickets, start) = self::tickets();
        let key = Arc::downgrade(&tickets.read().seals.ticketer);
        tickets.rotate_at(start + 6 * HOUR);
        assert!(key.upgrade().is_some(), "it still opens");
        tickets.rotate_at(start + 12 * HOUR);
        assert!(key.upgrade().is_none(), "and is gone from memory");
    }

    #[test]
    fn tickets_of_another_are_not_opened() {
        let (one, now) = tickets();
        let (other, _) = tickets();
        let sealed = one.seal(b"session", now).expect("sealed");
        assert_eq!(other.open(&sealed, now), None);
    }
}
