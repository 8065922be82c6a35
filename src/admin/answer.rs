//! Answers: whole ones, and streams of records that go on until the watcher leaves.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use hyper::body::{Body, Frame, SizeHint};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

pub(super) type Answer = Response<Content>;

/// The answer to a command.
#[derive(Debug, Deserialize, Serialize)]
pub struct Done {
    pub done: bool,
    pub lines: Vec<String>,
}

/// The body of an answer.
pub(super) enum Content {
    Stream(BoxStream<'static, Bytes>),
    /// `None` once it has been sent.
    Whole(Option<Bytes>),
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        ctx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match self.get_mut() {
            Self::Stream(pieces) => pieces.poll_next_unpin(ctx),
            Self::Whole(body) => Poll::Ready(body.take()),
        };
        next.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Stream(_) => SizeHint::default(),
            Self::Whole(body) => {
                SizeHint::with_exact(body.as_ref().map_or(0, Bytes::len).try_into().unwrap_or(0))
            }
        }
    }
}

pub(super) fn json(value: &impl Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(body) => answer(StatusCode::OK, "application/json", body),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

pub(super) fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    answer(status, "text/plain; charset=utf-8", body)
}

pub(super) fn not_found() -> Answer {
    text(StatusCode::NOT_FOUND, "not found\n")
}

/// A page that may load nothing and run only what `policy` names.
pub(super) fn page(status: StatusCode, policy: &HeaderValue, body: String) -> Answer {
    let mut answer = answer(status, "text/html; charset=utf-8", body);
    let fields = answer.headers_mut();
    fields.insert(CONTENT_SECURITY_POLICY, policy.clone());
    fields.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    answer
}

/// Server-sent events (HTML §9.2), until whoever sends them drops the other end.
pub(super) fn stream(mut records: mpsc::Receiver<Bytes>) -> Answer {
    let records = stream::poll_fn(move |ctx| records.poll_recv(ctx));
    pieces("text/event-stream", records)
}

/// As [`stream()`], with events of another source among them; it ends with the records.
pub(super) fn stream_with(
    mut records: mpsc::Receiver<Bytes>,
    others: BoxStream<'static, Bytes>,
) -> Answer {
    let records = stream::poll_fn(move |ctx| records.poll_recv(ctx));
    let ending = records.map(Some).chain(stream::iter([None]));
    let both = stream::select(ending, others.map(Some));
    let until_the_end = both.take_while(|bytes| std::future::ready(bytes.is_some()));
    let bytes = until_the_end.filter_map(std::future::ready);
    pieces("text/event-stream", bytes)
}

/// What comes piece by piece, until there is no more or whoever asked has gone.
pub(super) fn pieces(
    kind: &'static str,
    pieces: impl Stream<Item = Bytes> + Send + 'static,
) -> Answer {
    with(StatusCode::OK, kind, Content::Stream(pieces.boxed()))
}

/// What an operator asked for was not done, and why.
pub(super) fn declined(why: &str) -> Answer {
    let done = Done {
        done: false,
        lines: vec![why.to_owned()],
    };
    let mut answer = json(&done);
    *answer.status_mut() = StatusCode::BAD_REQUEST;
    answer
}

/// Says nothing but the status: whoever may not look learns nothing.
pub(super) fn refused(status: StatusCode) -> Answer {
    text(status, "")
}

pub(super) fn answer(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let body: Bytes = body.into();
    with(
        status,
        kind,
        Content::Whole(Some(body).filter(|body| !body.is_empty())),
    )
}

fn with(status: StatusCode, kind: &'static str, content: Content) -> Answer {
    let mut answer = Response::new(content);
    *answer.status_mut() = status;
    let fields = answer.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // No page of another site may read it, not even as an image or a script.
    fields.insert(
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    );
    answer
}
