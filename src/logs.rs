//! The output of all replicas of an instance as one stream, in the order of time.
//!
//! What there is already is merged by its moments; what comes later is passed on as it comes, that
//! of replicas that start meanwhile included.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::stream::{self, BoxStream, SelectAll, StreamExt};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::cause::chain;
use crate::engine::{Engine, EngineError, Line, Printer, Span};
use crate::names::StackName;

/// Replicas that start while somebody follows are found within this time.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Whose lines, and which.
#[derive(Clone, Debug)]
pub struct Wish {
    pub stack: StackName,
    pub service: Option<String>,
    pub replica: Option<String>,
    pub span: Span,
    /// Only lines with this in them.
    pub word: Option<String>,
}

/// One line, and whose it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Printed {
    pub replica: Arc<str>,
    pub line: Line,
}

/// The end of what replicas have printed, and what they print from then on.
pub struct Tail {
    /// The oldest first.
    pub lines: VecDeque<Printed>,
    /// Without an end: replicas that start later are found.
    pub more: BoxStream<'static, Printed>,
}

/// Reads what replicas print.
#[derive(Clone, Debug)]
pub struct Logs {
    engine: Arc<dyn Engine>,
}

impl Logs {
    pub fn new(engine: Arc<dyn Engine>) -> Self {
        Self { engine }
    }

    /// The lines that are wished for.
    ///
    /// # Errors
    /// A sentence for the operator: there is no such service or replica, or the engine does not
    /// tell.
    pub async fn read(&self, wish: Wish) -> Result<BoxStream<'static, Printed>, String> {
        let printers = self.who(&wish).await?;
        // What is older is merged, what is younger is followed, and nothing is told twice.
        let begin = now();
        let follow = wish.span.follow;
        let word = wish.word.clone();
        let mut all = self.old(&wish, &printers, follow.then_some(begin)).await?;
        if follow {
            all = all
                .chain(self.clone().followed(wish, begin, printers))
                .boxed();
        }
        Ok(all
            .filter(move |printed| {
                let found = word
                    .as_ref()
                    .is_none_or(|word| printed.line.text.contains(word.as_str()));
                std::future::ready(found)
            })
            .boxed())
    }

    /// The youngest `most` lines of one replica or of all together, and then what comes.
    ///
    /// # Errors
    /// As of [`Self::read`].
    pub async fn tail(
        &self,
        stack: StackName,
        replica: Option<String>,
        most: usize,
    ) -> Result<Tail, String> {
        let wish = Wish {
            stack,
            service: None,
            replica,
            span: Span {
                since: None,
                follow: true,
                last: Some(most),
            },
            word: None,
        };
        let printers = self.who(&wish).await?;
        let begin = now();
        let mut old = self.old(&wish, &printers, Some(begin)).await?;
        let mut lines = VecDeque::with_capacity(most);
        while let Some(printed) = old.next().await {
            if lines.len() == most {
                lines.pop_front();
            }
            lines.push_back(printed);
        }
        let more = self.clone().followed(wish, begin, printers);
        Ok(Tail { lines, more })
    }

    /// Those whose output it is; at least one.
    async fn who(&self, wish: &Wish) -> Result<Vec<Printer>, String> {
        let printers = self.printers(wish).await.map_err(|error| chain(&error))?;
        if printers.is_empty() {
            return Err(self.nobody(wish).await);
        }
        Ok(printers)
    }

    /// What they have printed already, merged.
    async fn old(
        &self,
        wish: &Wish,
        printers: &[Printer],
        before: Option<SystemTime>,
    ) -> Result<BoxStream<'static, Printed>, String> {
        let mut old = Vec::new();
        for printer in printers {
            let span = Span {
                follow: false,
                ..wish.span
            };
            let lines = self.lines_of(printer, span).await.map_err(|error| {
                format!(
                    "no output of {} can be had: {}",
                    printer.name,
                    chain(&error)
                )
            })?;
            let early = move |printed: &Printed| {
                std::future::ready(before.is_none_or(|before| printed.line.at < before))
            };
            old.push(lines.take_while(early).boxed());
        }
        Ok(merge(old))
    }

    async fn printers(&self, wish: &Wish) -> Result<Vec<Printer>, EngineError> {
        let mut printers = self.engine.printers(&wish.stack).await?;
        printers.retain(|printer| {
            let service = wish.service.as_deref();
            let replica = wish.replica.as_deref();
            service.is_none_or(|name| printer.service.as_str() == name)
                && replica.is_none_or(|name| is_called(printer, name))
        });
        Ok(printers)
    }

    /// Why there is nobody whose output it could be.
    async fn nobody(&self, wish: &Wish) -> String {
        let all = self.engine.printers(&wish.stack).await.unwrap_or_default();
        let stack = &wish.stack;
        let known = |names: Vec<&str>| {
            let mut names = names;
            names.sort_unstable();
            names.dedup();
            names.join(", ")
        };
        if all.is_empty() {
            return format!("the stack {stack} has no replica, and none that ended; is it up?");
        }
        let Some(service) = &wish.service else {
            if let Some(replica) = &wish.replica {
                let names = known(all.iter().map(|one| one.name.as_str()).collect());
                return format!("the stack {stack} has no replica `{replica}`; it has {names}");
            }
            return format!("the stack {stack} has printed nothing");
        };
        let of_service = all.iter().filter(|one| one.service.as_str() == service);
        let names = known(of_service.map(|one| one.name.as_str()).collect());
        if names.is_empty() {
            let services = known(all.iter().map(|one| one.service.as_str()).collect());
            return format!("the stack {stack} has no replica of `{service}`; it has {services}");
        }
        let replica = wish.replica.as_deref().unwrap_or_default();
        format!("{stack}/{service} has no replica `{replica}`; it has {names}")
    }

    async fn lines_of(
        &self,
        printer: &Printer,
        span: Span,
    ) -> Result<BoxStream<'static, Printed>, EngineError> {
        let lines = self.engine.output(&printer.id, span).await?;
        let replica: Arc<str> = printer.name.as_str().into();
        Ok(lines
            .map(move |line| Printed {
                replica: Arc::clone(&replica),
                line,
            })
            .boxed())
    }

    /// What comes from now on, in the order in which it comes.
    fn followed(
        self,
        wish: Wish,
        since: SystemTime,
        printers: Vec<Printer>,
    ) -> BoxStream<'static, Printed> {
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let begin = Following {
            since,
            known: BTreeSet::new(),
            streams: SelectAll::new(),
            first: printers,
            look,
            logs: self,
            wish,
        };
        stream::unfold(begin, |mut following| async move {
            let printed = following.next().await;
            Some((printed, following))
        })
        .boxed()
    }
}

/// The state of somebody who follows.
struct Following {
    logs: Logs,
    wish: Wish,
    since: SystemTime,
    /// By the engine's id.
    known: BTreeSet<String>,
    streams: SelectAll<BoxStream<'static, Printed>>,
    first: Vec<Printer>,
    /// However much is printed, there is a look now and then.
    look: Interval,
}

impl Following {
    async fn next(&mut self) -> Printed {
        let first = std::mem::take(&mut self.first);
        self.take_in(first).await;
        loop {
            tokio::select! {
                Some(printed) = self.streams.next() => return printed,
                _ = self.look.tick() => {}
            }
            // An engine that does not answer now has said nothing new either.
            if let Ok(printers) = self.logs.printers(&self.wish).await {
                self.take_in(printers).await;
            }
        }
    }

    async fn take_in(&mut self, printers: Vec<Printer>) {
        for printer in printers {
            if self.known.contains(&printer.id) {
                continue;
            }
            let span = Span {
                since: Some(self.since),
                follow: true,
                last: self.wish.span.last,
            };
            if let Ok(lines) = self.logs.lines_of(&printer, span).await {
                self.known.insert(printer.id.clone());
                self.streams.push(lines);
            }
        }
    }
}

/// Several streams that are each in the order of time as one that is.
fn merge(streams: Vec<BoxStream<'static, Printed>>) -> BoxStream<'static, Printed> {
    let streams: Vec<_> = streams.into_iter().map(StreamExt::peekable).collect();
    stream::unfold(streams, |mut streams| async move {
        let mut earliest: Option<(usize, SystemTime)> = None;
        for (index, lines) in streams.iter_mut().enumerate() {
            let next = std::pin::Pin::new(lines).peek().await;
            if let Some(printed) = next
                && earliest.is_none_or(|(_, at)| printed.line.at < at)
            {
                earliest = Some((index, printed.line.at));
            }
        }
        let (index, _) = earliest?;
        let printed = streams.get_mut(index)?.next().await?;
        Some((printed, streams))
    })
    .boxed()
}

/// By its whole name, its number, or the beginning of its id.
fn is_called(printer: &Printer, name: &str) -> bool {
    let number = printer.name.rsplit(['_', '-']).next();
    printer.name == name
        || number == Some(name)
        || (name.len() >= 6 && printer.id.starts_with(name))
}

#[expect(clippy::disallowed_methods, reason = "from when on somebody follows")]
fn now() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Stream;

    fn printed(replica: &str, seconds: u64) -> Printed {
        Printed {
            replica: replica.into(),
            line: Line {
                at: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
                stream: Stream::Stdout,
                text: String::new(),
            },
        }
    }

    #[tokio::test]
    async fn lines_of_several_replicas_come_in_the_order_of_time() {
        let of = |replica: &'static str, at: &[u64]| {
            let lines: Vec<_> = at.iter().map(|at| printed(replica, *at)).collect();
            stream::iter(lines).boxed()
        };
        let merged = merge(vec![of("a", &[1, 4, 9]), of("b", &[2, 3, 9]), of("c", &[])]);
        let order: Vec<_> = merged.map(|one| one.replica.to_string()).collect().await;
        assert_eq!(order, ["a", "b", "b", "a", "a", "b"]);
    }

    #[test]
    fn a_replica_is_called_by_its_name_its_number_or_its_id() {
        let printer = Printer {
            service: "web".parse().expect("name"),
            name: "congress_web_12".to_owned(),
            id: "0123456789abcdef".to_owned(),
        };
        for name in ["congress_web_12", "12", "012345"] {
            assert!(is_called(&printer, name), "{name}");
        }
        for name in ["2", "congress_web_1", "0123", ""] {
            assert!(!is_called(&printer, name), "{name}");
        }
    }
}
