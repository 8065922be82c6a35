//! What systemd is told while usher runs as its service (sd_notify(3), systemd.service(5)).
//!
//! Lines of `NAME=value` in datagrams to the socket that `NOTIFY_SOCKET` names. Without that variable
//! nothing here has any effect, and nothing that goes wrong here stops usher from serving.

use std::ffi::OsString;
use std::future::Future;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::shutdown::Shutdown;

/// Longer lines help nobody in the output of `systemctl status`.
const LONGEST_STATUS: usize = 200;

/// The way to systemd, or nowhere. Clones lead to the same place.
#[derive(Clone, Debug, Default)]
pub struct Supervisor(Option<Arc<Channel>>);

#[derive(Debug)]
struct Channel {
    socket: UnixDatagram,
    to: SocketAddr,
    /// systemd kills the service after so long without a sign of life.
    watchdog: Option<Duration>,
    ready: AtomicBool,
}

impl Supervisor {
    /// From the variables that systemd sets for a service.
    pub fn from_env() -> Self {
        let Some(path) = std::env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty()) else {
            return Self::default();
        };
        let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
        // The watchdog may be meant for another process of the service.
        let for_us = number("WATCHDOG_PID").is_none_or(|id| id == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|usec| for_us && *usec > 0);
        match Self::to(&path, watchdog.map(Duration::from_micros)) {
            Ok(supervisor) => supervisor,
            Err(error) => {
                let path = path.display().to_string();
                warn!(path, %error, "systemd is told nothing: its socket cannot be used");
                Self::default()
            }
        }
    }

    /// To the socket of this name: a path, or an abstract name after `@`.
    fn to(name: &OsString, watchdog: Option<Duration>) -> io::Result<Self> {
        let to = match name.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(name)?,
        };
        let socket = UnixDatagram::unbound()?;
        // A manager that does not read must not hold up whoever tells it something.
        socket.set_nonblocking(true)?;
        Ok(Self(Some(Arc::new(Channel {
            socket,
            to,
            watchdog,
            ready: AtomicBool::new(false),
        }))))
    }

    /// Follows a running usher until shutdown: says when it is ready, how it is, and that it lives.
    ///
    /// `ready` says what is still missing. `alive` is a value that the control loop publishes on
    /// each of its rounds, at least every second: only a round made after the last sign of life is
    /// worth a new one, so a loop that hangs is a service that is restarted.
    pub async fn follow<T>(
        self,
        ready: impl Fn() -> Result<(), &'static str>,
        line: impl Fn(&T) -> String,
        alive: watch::Receiver<T>,
        mut shutdown: Shutdown,
    ) {
        let Some(channel) = self.0 else {
            return shutdown.begun().await;
        };
        tokio::select! {
            biased;
            () = shutdown.begun() => {}
            () = channel.tell_state(ready, line, alive.clone()) => {}
            () = channel.tell_life(alive) => {}
        }
        // A control loop that has ended is a fault, and its own task says so.
        shutdown.begun().await;
    }

    /// Says that the configuration is read again, and afterwards that it has been.
    pub async fn reloading<T>(&self, reload: impl Future<Output = T>) -> T {
        let Some(channel) = self.0.as_ref().filter(|channel| channel.is_ready()) else {
            return reload.await;
        };
        // systemd takes only what was said after it asked, by this clock.
        let now = clock_gettime(ClockId::Monotonic);
        let usec = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
        channel.send(&format!("RELOADING=1\nMONOTONIC_USEC={usec}"));
        let outcome = reload.await;
        channel.send("READY=1");
        outcome
    }

    /// Says that the end has begun.
    pub fn stopping(&self) {
        if let Some(channel) = &self.0 {
            channel.send("STOPPING=1\nSTATUS=Draining");
        }
    }
}

impl Channel {
    fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// Says once that usher is ready, and how it is whenever that changes.
    async fn tell_state<T>(
        &self,
        ready: impl Fn() -> Result<(), &'static str>,
        line: impl Fn(&T) -> String,
        mut alive: watch::Receiver<T>,
    ) {
        let mut told = String::new();
        loop {
            let missing = if self.is_ready() { Ok(()) } else { ready() };
            let now = match missing {
                Ok(()) => one_line(&line(&alive.borrow_and_update())),
                Err(why) => one_line(&format!("Not ready: {why}")),
            };
            let first = missing.is_ok() && !self.ready.swap(true, Ordering::Relaxed);
            if first {
                self.send(&format!("READY=1\nSTATUS={now}"));
            } else if now != told {
                self.send(&format!("STATUS={now}"));
            }
            told = now;
            if alive.changed().await.is_err() {
                return;
            }
        }
    }

    /// Shows twice within the watchdog's time that the control loop goes round.
    async fn tell_life<T>(&self, mut alive: watch::Receiver<T>) {
        let Some(limit) = self.watchdog else {
            return std::future::pending().await;
        };
        loop {
            alive.mark_unchanged();
            if alive.changed().await.is_err() {
                return;
            }
            self.send("WATCHDOG=1");
            sleep(pause(limit)).await;
        }
    }

    fn send(&self, state: &str) {
        match self.socket.send_to_addr(state.as_bytes(), &self.to) {
            Ok(_) => debug!(state, "told systemd"),
            Err(error) => warn!(%error, state, "systemd does not hear"),
        }
    }
}

/// Between two signs of life: half of the time there is, less the second that the next round of the
/// loop may take. At least an eighth, so that a short limit is no busy loop.
fn pause(limit: Duration) -> Duration {
    (limit / 2)
        .saturating_sub(Duration::from_secs(1))
        .max(limit / 8)
}

/// The protocol is one of lines, so a value must not hold an end of one.
fn one_line(text: &str) -> String {
    let plain = |letter: char| if letter.is_control() { ' ' } else { letter };
    let short: String = text.chars().take(LONGEST_STATUS).map(plain).collect();
    short.trim().to_owned()
}

#[cfg(test)]
mod tests;
