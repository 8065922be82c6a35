//! An engine for tests of whoever reads what replicas print.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, StreamExt};

use super::{Action, Engine, EngineError, Line, Printer, Span, Stream};
use crate::inventory::Inventory;
use crate::names::StackName;

/// Has one replica that has printed so many lines, and prints as many when somebody follows.
#[derive(Debug)]
pub(crate) struct Chatty {
    pub(crate) lines: usize,
    /// An engine is never asked for more of what is old.
    pub(crate) last: usize,
}

#[async_trait]
impl Engine for Chatty {
    fn kind(&self) -> &'static str {
        "docker"
    }

    async fn subscribe(&self) -> Result<BoxStream<'static, ()>, EngineError> {
        Ok(stream::pending().boxed())
    }

    async fn list(&self) -> Result<Inventory, EngineError> {
        Ok(Inventory::default())
    }

    async fn act(&self, _action: &Action) -> Result<(), EngineError> {
        Ok(())
    }

    async fn printers(&self, _stack: &StackName) -> Result<Vec<Printer>, EngineError> {
        Ok(vec![Printer {
            service: "web".parse().expect("a name"),
            name: "congress_web_1".to_owned(),
            id: "0123456789ab".to_owned(),
        }])
    }

    async fn output(
        &self,
        _printer: &str,
        span: Span,
    ) -> Result<BoxStream<'static, Line>, EngineError> {
        assert_eq!(span.last, Some(self.last), "all of it is too much");
        let word = if span.follow { "young" } else { "old" };
        let line = move |number| Line {
            at: SystemTime::UNIX_EPOCH + Duration::from_secs(number),
            stream: Stream::Stdout,
            text: format!("{word} {number}"),
        };
        let lines = stream::iter((0..).map(line)).take(self.lines);
        Ok(match span.follow {
            true => lines.chain(stream::pending()).boxed(),
            false => lines.boxed(),
        })
    }
}
