//! A hall behind one address: it arrives over two minutes, its line breaks, and everybody is back a
//! few seconds later, as OpenSlides' client does it: again and again, after two to five seconds each
//! time, with no patience that grows.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

use super::audience::Door;
use super::harness::Front;
use super::harness::client::Socket;
use super::tally::with;
use super::wait::{Outcome, ensure, say, until};

const HALL: usize = 600;
const ARRIVES_OVER: Duration = Duration::from_secs(120);
/// Browsers give a handshake up after about that.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(20);
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// Between a loss, or a handshake that failed, and the next try.
const AGAIN_AFTER: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(5)];
/// From the loss: the last tries after five seconds, and the rest is work of the replicas.
const BACK_WITHIN: Duration = Duration::from_secs(30);

/// What there is to say about it.
#[derive(Clone, Debug, Default)]
pub struct Storm {
    /// How long each handshake took that went well, before the loss and after it.
    pub came: Vec<Duration>,
    pub returned: Vec<Duration>,
    /// Handshakes that failed, and had to be tried again.
    pub failed: [usize; 2],
    /// From the loss until everybody was back.
    pub back_after: Duration,
    /// Ended by somebody else than the attendees.
    pub cut: Vec<String>,
    here: usize,
    gone: usize,
}

/// What the line of the hall does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Line {
    Good,
    /// It broke, and works again at once.
    Broke,
    /// Everybody goes home.
    Over,
}

pub async fn storm(door: &Arc<Door>, url: &str) -> Outcome<Storm> {
    let story: Arc<Mutex<Storm>> = Arc::default();
    let (line, _) = watch::channel(Line::Good);
    let mut hall = JoinSet::new();
    let all_here = |what: String, expected| {
        let story = Arc::clone(&story);
        async move {
            until(expected, &what, async || {
                with(&story, |story| {
                    ensure(story.cut.is_empty(), || story.cut.join("; "))?;
                    ensure(story.here == HALL, || {
                        format!("{} are there, failed: {:?}", story.here, story.failed)
                    })
                })
            })
            .await
        }
    };
    for number in 0..HALL {
        let attendee = Attendee {
            number,
            door: Arc::clone(door),
            url: url.to_owned(),
            story: Arc::clone(&story),
        };
        hall.spawn(attendee.attend(line.subscribe()));
        sleep(ARRIVES_OVER / u32::try_from(HALL).unwrap_or(u32::MAX)).await;
    }
    all_here(format!("{HALL} have arrived"), BACK_WITHIN).await?;

    with(&story, |story| story.here = 0);
    line.send_replace(Line::Broke);
    say(format_args!("the line of the hall breaks"));
    let (_, back_after) = all_here(format!("{HALL} are back"), BACK_WITHIN).await?;

    line.send_replace(Line::Over);
    hall.join_all().await;
    let mut story = with(&story, |story| story.clone());
    story.back_after = back_after;
    ensure(story.cut.is_empty(), || story.cut.join("; "))?;
    ensure(story.gone == HALL, || format!("{} went home", story.gone))?;
    Ok(story)
}

struct Attendee {
    number: usize,
    door: Arc<Door>,
    url: String,
    story: Arc<Mutex<Storm>>,
}

impl Attendee {
    async fn attend(self, mut line: watch::Receiver<Line>) {
        let mut socket = self.enter(0).await;
        loop {
            tokio::select! {
                heard = socket.0.next() => match heard {
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Text(_))) => {}
                    other => {
                        let end = format!("attendee {} of the hall: {other:?}", self.number);
                        return with(&self.story, |story| story.cut.push(end));
                    }
                },
                changed = line.changed() => {
                    let now = *line.borrow_and_update();
                    if changed.is_err() || now == Line::Over {
                        // Somebody who goes home closes his browser.
                        let _ = socket.0.close(None).await;
                        return with(&self.story, |story| story.gone += 1);
                    }
                    drop(socket);
                    self.pause().await;
                    socket = self.enter(1).await;
                }
            }
        }
    }

    /// Tries until it is in and has been answered by a worker.
    async fn enter(&self, time: usize) -> Socket {
        loop {
            let began = Instant::now();
            let opened = timeout(HANDSHAKE_WITHIN, self.door.ask(&self.url).websocket()).await;
            if let Ok(Ok(mut socket)) = opened
                && self.is_answered(&mut socket).await
            {
                with(&self.story, |story| {
                    story.here += 1;
                    let took = if time == 0 {
                        &mut story.came
                    } else {
                        &mut story.returned
                    };
                    took.push(began.elapsed());
                });
                return socket;
            }
            with(&self.story, |story| story.failed[time] += 1);
            self.pause().await;
        }
    }

    async fn is_answered(&self, socket: &mut Socket) -> bool {
        let said = format!("{} is here", self.number);
        let answered = async {
            socket.0.send(Message::text(said.clone())).await.ok()?;
            while let Some(Ok(message)) = socket.0.next().await {
                if let Message::Text(text) = message
                    && *text == *format!("echo:{said}")
                {
                    return Some(());
                }
            }
            None
        };
        matches!(timeout(ANSWER_WITHIN, answered).await, Ok(Some(())))
    }

    async fn pause(&self) {
        let [least, most] = AGAIN_AFTER;
        // Spread evenly over the hall, the same in every run.
        let place = u32::try_from(self.number * 7_919 % HALL).unwrap_or_default();
        let hall = u32::try_from(HALL).unwrap_or(u32::MAX);
        sleep(least + (most - least) * place / hall).await;
    }
}

impl fmt::Display for Storm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let worst = |times: &[Duration]| {
            let worst = times.iter().max().copied().unwrap_or_default();
            worst.as_secs_f64()
        };
        write!(
            f,
            "{} arrived (slowest {:.1} s with its answer, {} tried again); all lost at once, all \
             back after {:.1} s (slowest {:.1} s, {} tried again); {} cut",
            self.came.len(),
            worst(&self.came),
            self.failed[0],
            self.back_after.as_secs_f64(),
            worst(&self.returned),
            self.failed[1],
            self.cut.len()
        )
    }
}
