//! Answers usher gives itself, the same over both doors: pages, redirects, challenge answers.

use std::fmt::Write;
use std::ops::RangeInclusive;

use bytes::Bytes;
use http::StatusCode;

use super::failure::Failure;
use super::pages::{Reader, page};
use crate::plan::NonGetRedirect;

/// When a client that got a 503 should come back: those who were sent away together do not come
/// back together.
const RETRY_AFTER_SECONDS: RangeInclusive<u32> = 1..=5;

/// When a replica that was still starting is worth asking for. Those who waited for it came one
/// after the other, and come back so.
const STARTED_WITHIN_SECONDS: u32 = 3;

/// What a page of the operator's stands for, as nginx-proxy's does.
const OWN_PAGES: [StatusCode; 4] = [
    StatusCode::INTERNAL_SERVER_ERROR,
    StatusCode::BAD_GATEWAY,
    StatusCode::SERVICE_UNAVAILABLE,
    StatusCode::GATEWAY_TIMEOUT,
];

/// A whole answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) fields: Vec<(&'static str, String)>,
    pub(super) body: Bytes,
    /// Why, for the access log.
    pub(super) reason: Option<Failure>,
}

impl Answer {
    /// The page of a failure, in the name of the site.
    pub(super) fn failure(failure: Failure, reader: Reader<'_>) -> Self {
        let status = failure.status();
        let mut fields = vec![
            ("content-type", "text/html; charset=utf-8".to_owned()),
            ("cache-control", "no-store".to_owned()),
        ];
        let own_page = reader.own_page.filter(|_| OWN_PAGES.contains(&status));
        let body = match own_page {
            Some(page) => page.clone(),
            None => {
                fields.push(("content-language", reader.language.tag().to_owned()));
                page(failure, reader).into()
            }
        };
        if status == StatusCode::SERVICE_UNAVAILABLE {
            let seconds = match failure.as_told() {
                Failure::Starting => STARTED_WITHIN_SECONDS,
                _ => rand::random_range(RETRY_AFTER_SECONDS),
            };
            fields.push(("retry-after", seconds.to_string()));
        }
        if failure == Failure::HandshakeVersion {
            // RFC 6455 §4.4
            fields.push(("sec-websocket-version", "13".to_owned()));
        }
        if failure == Failure::MethodNotAllowed {
            fields.push(("allow", "GET, HEAD".to_owned()));
        }
        Self {
            status,
            fields,
            body,
            reason: Some(failure),
        }
    }

    /// To the same target elsewhere. Methods other than GET and HEAD keep their body
    /// (RFC 9110 §15.4.9).
    pub(super) fn redirect(
        method: &http::Method,
        others: NonGetRedirect,
        location: String,
    ) -> Self {
        let status = if *method == http::Method::GET || *method == http::Method::HEAD {
            StatusCode::MOVED_PERMANENTLY
        } else {
            match others {
                NonGetRedirect::Permanent => StatusCode::PERMANENT_REDIRECT,
                NonGetRedirect::Temporary => StatusCode::TEMPORARY_REDIRECT,
            }
        };
        Self {
            status,
            fields: vec![("location", location)],
            body: Bytes::new(),
            reason: None,
        }
    }

    /// A redirect of the operator's, of any kind.
    pub(super) fn to(status: u16, location: String) -> Self {
        Self {
            fields: vec![("location", location)],
            body: Bytes::new(),
            ..Self::bare(status)
        }
    }

    /// A status that the operator chose where no route fits, and nothing but its name.
    pub(super) fn bare(status: u16) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::NOT_FOUND);
        let body = match status {
            // RFC 9110 §15.3.5, §15.3.6: there is no content.
            StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT => String::new(),
            _ => format!("{status}\n"),
        };
        Self {
            status,
            reason: Some(Failure::NoRoute),
            ..Self::text(body)
        }
    }

    pub(super) fn text(body: String) -> Self {
        Self {
            status: StatusCode::OK,
            fields: vec![("content-type", "text/plain".to_owned())],
            body: body.into(),
            reason: None,
        }
    }

    /// The answer as bytes of HTTP/1.1, after which the connection is closed.
    pub(super) fn to_last_bytes(&self) -> Vec<u8> {
        let reason = self.status.canonical_reason().unwrap_or_default();
        let mut head = format!("HTTP/1.1 {} {reason}\r\n", self.status.as_u16());
        for (name, value) in &self.fields {
            // Writing to a String cannot fail.
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let _ = write!(
            head,
            "content-length: {}\r\nconnection: close\r\n\r\n",
            self.body.len()
        );
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_503_says_when_to_come_back() {
        for failure in [
            Failure::Asleep,
            Failure::NoReplica,
            Failure::OverLimit,
            Failure::Overload,
            Failure::Paused,
            Failure::Standby,
            Failure::StartFailed,
            Failure::Starting,
            Failure::UnknownName,
            Failure::Unrented,
        ] {
            let answer = Answer::failure(failure, Reader::default());
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
            assert!(
                answer.fields.iter().any(|(name, _)| *name == "retry-after"),
                "{failure:?}"
            );
        }
    }

    #[test]
    fn whoever_waited_for_a_start_comes_back_after_three_seconds() {
        let answer = Answer::failure(Failure::Starting, Reader::default());
        let after = ("retry-after", "3".to_owned());
        assert!(answer.fields.contains(&after), "{:?}", answer.fields);
    }

    #[test]
    fn a_redirect_keeps_the_body_of_a_post() {
        let to = || "https://a.example/".to_owned();
        for (method, others, expected) in [
            (http::Method::GET, NonGetRedirect::Permanent, 301),
            (http::Method::HEAD, NonGetRedirect::Temporary, 301),
            (http::Method::POST, NonGetRedirect::Permanent, 308),
            (http::Method::POST, NonGetRedirect::Temporary, 307),
        ] {
            let status = Answer::redirect(&method, others, to()).status;
            assert_eq!(status.as_u16(), expected, "{method} {others:?}");
        }
    }

    #[test]
    fn the_last_answer_of_a_connection_is_framed_and_closes_it() {
        let bytes = Answer::text("ok".into()).to_last_bytes();
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        assert!(
            text.ends_with("content-length: 2\r\nconnection: close\r\n\r\nok"),
            "{text}"
        );
    }
}
