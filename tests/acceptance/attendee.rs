//! One of the audience: a websocket that talks, listens, and leaves when it is asked to.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{self, Message};

use super::harness::client::Socket;
use super::tally::{Tally, with};

/// Between an answer and the next message of the same attendee.
pub const PAUSE: Duration = Duration::from_secs(6);
/// Channels delivers at most once, so an answer may never come. It is counted, and talk goes on.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
const GOODBYE_WITHIN: Duration = Duration::from_secs(10);
/// What the application sends to everybody as it is.
const TO_EVERYBODY: &str = "all:";

/// What everybody is asked to do.
#[derive(Clone, Copy, Debug)]
pub struct Orders {
    /// Attendees with this number or a higher one leave.
    pub seats: usize,
    /// Who says the newest broadcast, and its number.
    pub speaker: usize,
    pub broadcast: usize,
}

pub struct Attendee {
    number: usize,
    socket: Socket,
    tally: Arc<Mutex<Tally>>,
    orders: watch::Receiver<Orders>,
    said: usize,
    answered: usize,
}

/// What an attendee waits for.
#[derive(Clone, Copy)]
enum Turn {
    /// The moment to say something.
    Speak { at: Instant },
    /// The answer to what was said then.
    Hear { since: Instant },
}

impl Attendee {
    pub fn new(
        number: usize,
        socket: Socket,
        tally: Arc<Mutex<Tally>>,
        orders: watch::Receiver<Orders>,
    ) -> Self {
        Self {
            number,
            socket,
            tally,
            orders,
            said: 0,
            answered: 0,
        }
    }

    /// Talks until it is asked to leave, or cut.
    pub async fn attend(mut self) {
        let mut turn = Turn::Speak { at: Instant::now() };
        let mut spoken = self.orders.borrow_and_update().broadcast;
        loop {
            let alarm = match turn {
                Turn::Speak { at } => at,
                Turn::Hear { since } => since + ANSWER_WITHIN,
            };
            let orders = *self.orders.borrow_and_update();
            if orders.broadcast > spoken {
                spoken = orders.broadcast;
                if orders.speaker == self.number
                    && !self.say(format!("{TO_EVERYBODY}{spoken}")).await
                {
                    return;
                }
            }
            // Whoever leaves has heard the answer first, so that none is missed.
            if orders.seats <= self.number && matches!(turn, Turn::Speak { .. }) {
                return self.leave().await;
            }
            tokio::select! {
                heard = self.socket.0.next() => match self.hear(heard, turn) {
                    Some(next) => turn = next,
                    None => return,
                },
                () = sleep_until(alarm) => {
                    if matches!(turn, Turn::Hear { .. }) {
                        with(&self.tally, |tally| tally.unanswered += 1);
                    }
                    self.said += 1;
                    let text = self.words();
                    turn = Turn::Hear { since: Instant::now() };
                    if !self.say(text).await {
                        return;
                    }
                }
                _ = self.orders.changed() => {}
            }
        }
    }

    fn words(&self) -> String {
        format!("{} says {}", self.number, self.said)
    }

    /// Whether it could be said.
    async fn say(&mut self, text: String) -> bool {
        let sent = self.socket.0.send(Message::text(text)).await;
        if let Err(error) = &sent {
            self.cut(&format!("could not speak: {error}"));
        }
        sent.is_ok()
    }

    /// Takes in what came. `None` at an end that nobody here began.
    fn hear(
        &mut self,
        heard: Option<Result<Message, tungstenite::Error>>,
        turn: Turn,
    ) -> Option<Turn> {
        let now = Instant::now();
        let how = match heard {
            Some(Ok(Message::Text(text))) => {
                if let Turn::Hear { since } = turn
                    && *text == *format!("echo:{}", self.words())
                {
                    self.answered += 1;
                    with(&self.tally, |tally| tally.answers.push(now - since));
                    return Some(Turn::Speak { at: now + PAUSE });
                }
                self.overhear(&text);
                return Some(turn);
            }
            // Pings are answered by reading on.
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => return Some(turn),
            Some(Ok(other)) => format!("{other:?}"),
            Some(Err(error)) => error.to_string(),
            None => "the stream ended".to_owned(),
        };
        self.cut(&how);
        None
    }

    /// A text that is not the awaited answer.
    fn overhear(&mut self, text: &str) {
        let broadcast = text.strip_prefix(TO_EVERYBODY);
        let broadcast = broadcast.and_then(|number| number.parse::<usize>().ok());
        let own = format!("echo:{} says ", self.number);
        with(&self.tally, |tally| {
            match broadcast.and_then(|number| tally.heard.get_mut(number - 1)) {
                Some(heard) => *heard += 1,
                None if text.starts_with(&own) => tally.late += 1,
                None => tally.wrong.push(format!("heard {text:?}")),
            }
        });
    }

    fn cut(&self, how: &str) {
        let line = format!("attendee {}: {how}", self.number);
        with(&self.tally, |tally| tally.cut.push(line));
    }

    /// Says goodbye and waits for the answer to it.
    async fn leave(mut self) {
        let goodbye = async {
            self.socket.0.close(None).await?;
            let mut answered = false;
            while let Some(message) = self.socket.0.next().await {
                answered |= matches!(message?, Message::Close(_));
            }
            Ok::<_, tungstenite::Error>(answered)
        };
        let why = match timeout(GOODBYE_WITHIN, goodbye).await {
            Ok(Ok(true)) => None,
            Ok(Ok(false)) => Some("no close frame came back".to_owned()),
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("not within {} s", GOODBYE_WITHIN.as_secs())),
        };
        with(&self.tally, |tally| {
            tally.left += 1;
            let fewest = tally.fewest.unwrap_or(usize::MAX).min(self.answered);
            tally.fewest = Some(fewest);
            if let Some(why) = why {
                tally.wrong.push(format!("a goodbye was not heard: {why}"));
            }
        });
    }
}
