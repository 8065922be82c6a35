//! The end of what replicas print, on the page of their instance.
//!
//! Whoever looks reads from the engine by himself, in his own connection and no faster than the
//! page needs it; nothing is kept for anybody who has gone. Few may do so at the same time.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use maud::Markup;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use super::feed::record;
use super::page::output::{lines, nothing, whole};
use crate::logs::{Logs, Printed, Tail};
use crate::names::StackName;

/// The script keeps as many.
const LINES: usize = 200;
/// Each holds a connection to the engine for every replica.
const MOST_READERS: usize = 16;
/// What an engine may take until the page is shown without.
const READ_WITHIN: Duration = Duration::from_secs(3);
/// What comes is told so often.
const EVERY: Duration = Duration::from_millis(500);
/// Of one turn, no more is read; who prints more is shown late.
const MOST_PER_TURN: usize = 2_000;
/// Until it is tried again where nothing could be had.
const AGAIN: Duration = Duration::from_secs(5);

/// Whose output.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    pub(super) stack: StackName,
    /// All of the stack together, where none is chosen.
    pub(super) replica: Option<String>,
}

/// Reads for the pages.
#[derive(Clone, Debug)]
pub struct Tails {
    logs: Logs,
    places: Arc<Semaphore>,
}

/// One record of the stream of a page.
#[derive(Serialize)]
struct Told {
    /// Instead of what is shown, or at its end.
    whole: bool,
    text: String,
}

impl Tails {
    pub fn new(logs: Logs) -> Self {
        Self {
            logs,
            places: Arc::new(Semaphore::new(MOST_READERS)),
        }
    }

    /// The last lines as they are now, or a sentence in their place.
    pub(super) async fn now(&self, choice: &Choice) -> Markup {
        let Some(_place) = self.place() else {
            return crowded();
        };
        match self.open(choice).await {
            Ok(tail) => all(&tail.lines, choice),
            Err(why) => nothing(&why),
        }
    }

    /// The last lines and then what comes, as events, without an end.
    pub(super) fn follow(&self, choice: Choice) -> BoxStream<'static, Bytes> {
        let Some(place) = self.place() else {
            return stream::once(std::future::ready(told(true, crowded()))).boxed();
        };
        let begin = Follower {
            tails: self.clone(),
            choice,
            more: None,
            empty: true,
            said: None,
            _place: place,
        };
        stream::unfold(begin, |mut follower| async move {
            let bytes = follower.next().await;
            Some((bytes, follower))
        })
        .boxed()
    }

    fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    async fn open(&self, choice: &Choice) -> Result<Tail, String> {
        let (stack, replica) = (choice.stack.clone(), choice.replica.clone());
        let opened = timeout(READ_WITHIN, self.logs.tail(stack, replica, LINES)).await;
        opened.unwrap_or_else(|_| {
            let seconds = READ_WITHIN.as_secs();
            Err(format!("the engine has told nothing within {seconds} s"))
        })
    }
}

/// Somebody whose page is open.
struct Follower {
    tails: Tails,
    choice: Choice,
    more: Option<BoxStream<'static, Printed>>,
    /// No line is shown yet.
    empty: bool,
    /// The sentence that is shown instead of lines.
    said: Option<String>,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    async fn next(&mut self) -> Bytes {
        loop {
            let Some(more) = &mut self.more else {
                if let Some(bytes) = self.begin().await {
                    return bytes;
                }
                sleep(AGAIN).await;
                continue;
            };
            let Some(first) = more.next().await else {
                self.more = None;
                continue;
            };
            let mut turn = pin!(sleep(EVERY));
            let mut fresh = VecDeque::from([first]);
            for _ in 1..MOST_PER_TURN {
                let printed = tokio::select! {
                    biased;
                    () = &mut turn => break,
                    printed = more.next() => printed,
                };
                let Some(printed) = printed else { break };
                if fresh.len() == LINES {
                    fresh.pop_front();
                }
                fresh.push_back(printed);
            }
            if !turn.is_elapsed() {
                turn.await;
            }
            if std::mem::take(&mut self.empty) {
                return told(true, all(&fresh, &self.choice));
            }
            let alone = self.choice.replica.is_some();
            return told(false, lines(fresh.iter(), alone));
        }
    }

    /// `None`: nothing can be had, and that is what is shown already.
    async fn begin(&mut self) -> Option<Bytes> {
        match self.tails.open(&self.choice).await {
            Ok(tail) => {
                self.said = None;
                self.empty = tail.lines.is_empty();
                self.more = Some(tail.more);
                Some(told(true, all(&tail.lines, &self.choice)))
            }
            Err(why) if self.said.as_ref() == Some(&why) => None,
            Err(why) => {
                let bytes = told(true, nothing(&why));
                self.said = Some(why);
                Some(bytes)
            }
        }
    }
}

fn all(printed: &VecDeque<Printed>, choice: &Choice) -> Markup {
    if printed.is_empty() {
        return nothing("Nothing has been printed yet.");
    }
    whole(printed.iter(), choice.replica.is_some())
}

fn crowded() -> Markup {
    nothing("Too many look at output already; reload when somebody has left, or use `usher logs`.")
}

fn told(whole: bool, text: Markup) -> Bytes {
    let told = Told {
        whole,
        text: text.into_string(),
    };
    // A flag and a text can be written.
    record(
        "output",
        None,
        &serde_json::to_vec(&told).unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests;
