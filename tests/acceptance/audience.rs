//! The people: websockets over TLS that talk all the time, and notice when they are cut.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use rustls::ClientConfig;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::attendee::{Attendee, Orders, PAUSE};
use super::harness::Front;
use super::harness::client::Socket;
use super::tally::{Tally, with};
use super::wait::{Outcome, ensure, say, until};

const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
const AT_ONCE: usize = 16;
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// daphne gives a handshake up that no worker has answered within five seconds, which a machine
/// that is busy with starting containers can miss.
const RETRIES: usize = 2;
/// So many leave at a time, with this pause.
const LEAVE_AT_ONCE: usize = 8;
const LEAVE_PAUSE: Duration = Duration::from_millis(50);

/// usher's public listeners, as somebody sees them who trusts one authority.
#[derive(Clone, Debug)]
pub struct Door {
    pub http: SocketAddr,
    pub https: SocketAddr,
    pub trust: ClientConfig,
}

impl Front for Door {
    fn http(&self) -> SocketAddr {
        self.http
    }

    fn https(&self) -> SocketAddr {
        self.https
    }

    fn trust(&self, protocols: &[&str]) -> ClientConfig {
        let mut config = self.trust.clone();
        config.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        // Everybody is somebody new: every handshake is a whole one.
        config.resumption = rustls::client::Resumption::disabled();
        config
    }
}

/// Everybody who came.
pub struct Audience {
    door: Arc<Door>,
    url: String,
    tally: Arc<Mutex<Tally>>,
    orders: watch::Sender<Orders>,
    attendees: JoinSet<()>,
    invited: usize,
}

impl Audience {
    pub fn new(door: Arc<Door>, url: String) -> Self {
        Self {
            door,
            url,
            tally: Arc::default(),
            orders: watch::Sender::new(Orders {
                seats: usize::MAX,
                speaker: 0,
                broadcast: 0,
            }),
            attendees: JoinSet::new(),
            invited: 0,
        }
    }

    pub fn tally(&self) -> Tally {
        with(&self.tally, |tally| tally.clone())
    }

    /// Opens this many more websockets, a few at a time. Each begins to talk at once.
    pub async fn come(&mut self, count: usize) -> Outcome<()> {
        let numbers = self.invited..self.invited + count;
        self.invited += count;
        let (door, url, tally) = (&self.door, &self.url, &self.tally);
        let mut opening = stream::iter(numbers)
            .map(|number| async move { (number, open(door, url, tally).await) })
            .buffer_unordered(AT_ONCE);
        while let Some((number, socket)) = opening.next().await {
            let tally = Arc::clone(&self.tally);
            let attendee = Attendee::new(number, socket?, tally, self.orders.subscribe());
            self.attendees.spawn(attendee.attend());
        }
        let open = self.tally().open();
        say(format_args!("{count} more websockets, {open} are open"));
        self.all_well()
    }

    /// One of them speaks to everybody, and everybody hears it.
    pub async fn broadcast(&self, speaker: usize) -> Outcome<()> {
        let (number, open) = with(&self.tally, |tally| {
            tally.heard.push(0);
            (tally.heard.len(), tally.open())
        });
        self.orders.send_modify(|orders| {
            orders.speaker = speaker;
            orders.broadcast = number;
        });
        let what = format!("broadcast {number} heard by all {open}");
        self.until(Duration::from_secs(10), &what, async || {
            let heard = with(&self.tally, |tally| tally.heard[number - 1]);
            ensure(heard == open, || format!("{heard} of {open} heard it"))
        })
        .await
    }

    /// Lets everybody leave but the first `seats`.
    pub async fn leave(&self, seats: usize) -> Outcome<()> {
        let mut remaining = self.invited.min(self.orders.borrow().seats);
        while remaining > seats {
            remaining = remaining.saturating_sub(LEAVE_AT_ONCE).max(seats);
            self.orders.send_modify(|orders| orders.seats = remaining);
            sleep(LEAVE_PAUSE).await;
        }
        let what = format!("all but {seats} have left");
        self.until(Duration::from_secs(10), &what, async || {
            let open = self.tally().open();
            ensure(open == seats, || format!("{open} are still there"))
        })
        .await
    }

    /// Waits until everybody who is there has been answered `count` more times on average.
    pub async fn talk(&self, count: usize) -> Outcome<()> {
        let before = self.tally();
        let more = count * before.open();
        let turns = u32::try_from(count).unwrap_or(u32::MAX);
        let what = format!("{more} more answers");
        self.until(PAUSE * turns * 2, &what, async || {
            let answers = self.tally().answers.len() - before.answers.len();
            ensure(answers >= more, || format!("{answers} answers"))
        })
        .await
    }

    /// Waits for a condition, and no longer than until somebody is cut.
    async fn until(
        &self,
        expected: Duration,
        what: &str,
        condition: impl AsyncFnMut() -> Outcome<()>,
    ) -> Outcome<()> {
        let trouble = async {
            loop {
                match self.all_well() {
                    Ok(()) => sleep(BETWEEN_LOOKS).await,
                    Err(why) => return why,
                }
            }
        };
        tokio::select! {
            waited = until(expected, what, condition) => waited?,
            why = trouble => return Err(why),
        };
        self.all_well()
    }

    pub fn all_well(&self) -> Outcome<()> {
        with(&self.tally, |tally| tally.all_well())
    }
}

/// One websocket, with another try where the first one fails.
async fn open(door: &Door, url: &str, tally: &Mutex<Tally>) -> Outcome<Socket> {
    let mut why = String::new();
    for attempt in 0..=RETRIES {
        if attempt > 0 {
            say(format_args!("a handshake is tried again: {why}"));
            with(tally, |tally| tally.retries += 1);
        }
        let began = Instant::now();
        match timeout(HANDSHAKE_WITHIN, door.ask(url).websocket()).await {
            Ok(Ok(socket)) => {
                with(tally, |tally| {
                    tally.opened.push(Instant::now());
                    tally.handshakes.push(began.elapsed());
                });
                return Ok(socket);
            }
            Ok(Err(error)) => why = error.to_string(),
            Err(_) => why = format!("not within {} s", HANDSHAKE_WITHIN.as_secs()),
        }
    }
    Err(format!("a websocket could not be opened: {why}"))
}

/// Asks many things at once, each over a connection of its own.
pub async fn together<T>(count: usize, one: impl AsyncFn() -> Outcome<T>) -> Outcome<Vec<T>> {
    let asking = stream::iter(0..count).map(|_| one());
    asking.buffer_unordered(AT_ONCE).try_collect().await
}
