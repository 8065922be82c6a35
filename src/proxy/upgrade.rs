//! The messages of a websocket handshake, both ways (RFC 6455 §4).

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, Version};
use sha1::{Digest, Sha1};

use super::failure::Failure;
use super::headers::{Origin, remove_hop_by_hop, set_identity};
use super::local::Answer;
use super::pages::Reader;
use super::passage::Passage;
use super::strict::Framing;
use super::trace::Trace;
use crate::listener::Chunks;
use crate::names::Hostname;
use crate::plan::Site;

const MOST_FIELDS: usize = 100;
/// The head of a replica's answer is not longer.
pub(super) const LONGEST_ANSWER_HEAD: usize = 32 * 1024;

/// A request to become a websocket, parsed.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) target: String,
    pub(super) fields: HeaderMap,
}

impl Request {
    /// Parses a head that the listener's guard has accepted.
    pub(super) fn parse(head: &[u8]) -> Option<Self> {
        let mut storage = [httparse::EMPTY_HEADER; MOST_FIELDS];
        let mut parsed = httparse::Request::new(&mut storage);
        parsed.parse(head).ok()?;
        let mut fields = HeaderMap::with_capacity(parsed.headers.len());
        for field in parsed.headers.iter() {
            let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
            fields.append(name, HeaderValue::from_bytes(field.value).ok()?);
        }
        Some(Self {
            target: parsed.path?.to_owned(),
            fields,
        })
    }

    pub(super) fn path(&self) -> &str {
        self.target
            .split_once('?')
            .map_or(&self.target, |(path, _)| path)
    }

    pub(super) fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.fields.get(name)?.to_str().ok()
    }

    /// What is wrong with it, by RFC 6455 §4.2.1. Its fields come once (§11.3).
    pub(super) fn check(&self) -> Result<(), Failure> {
        if only(&self.fields, "sec-websocket-version") != Some("13") {
            return Err(Failure::HandshakeVersion);
        }
        let key = only(&self.fields, "sec-websocket-key").unwrap_or_default();
        match STANDARD.decode(key) {
            Ok(bytes) if bytes.len() == 16 => Ok(()),
            _ => Err(Failure::HandshakeInvalid),
        }
    }

    /// Whether a page of this origin may open it: one of the instance's own names, or no page at
    /// all. The application behind may not ask, and cookies come along by themselves.
    pub(super) fn is_from(&self, site: &Site) -> bool {
        if !self.fields.contains_key("origin") {
            // Programs send none.
            return !site.strict_origin;
        }
        // RFC 6454 §7.1: one origin, of the schemes that pages come by here.
        let authority = only(&self.fields, "origin").and_then(|origin| {
            let (scheme, authority) = origin.split_once("://")?;
            let known = ["https", "http"]
                .iter()
                .any(|known| scheme.eq_ignore_ascii_case(known));
            known.then_some(authority)
        });
        let Ok((host, _)) = Hostname::from_authority(authority.unwrap_or_default()) else {
            return false;
        };
        site.redirect_from.contains(&host) || site.serves(&host)
    }

    /// The head for the replica: ours where it says who asks, the handshake intact.
    pub(super) fn to_replica(
        &self,
        origin: &Origin<'_>,
        target: &str,
        trace: &Trace,
        passage: Option<Passage>,
    ) -> Result<Vec<u8>, Failure> {
        let mut fields = self.fields.clone();
        remove_hop_by_hop(&mut fields);
        set_identity(&mut fields, origin).map_err(|_| Failure::Internal)?;
        trace.set(&mut fields);
        if let Some(passage) = passage {
            passage.set(&mut fields);
        }
        let mut head = format!("{} {target} HTTP/1.1\r\n", Method::GET).into_bytes();
        for (name, value) in &fields {
            write_field(&mut head, name.as_str(), value.as_bytes());
        }
        write_field(&mut head, "connection", b"Upgrade");
        write_field(&mut head, "upgrade", b"websocket");
        head.extend_from_slice(b"\r\n");
        Ok(head)
    }

    /// What a replica that understood must answer (RFC 6455 §4.2.2).
    fn accept(&self) -> String {
        const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
        let mut hash = Sha1::new();
        hash.update(self.text("sec-websocket-key").unwrap_or_default());
        hash.update(GUID);
        STANDARD.encode(hash.finalize())
    }
}

/// What a replica answered.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) version: Version,
    pub(super) status: StatusCode,
    pub(super) fields: HeaderMap,
    /// What came behind the head.
    pub(super) rest: Bytes,
}

impl Reply {
    /// `Ok(None)`: the head is not complete.
    ///
    /// # Errors
    /// What is no answer of HTTP/1.1.
    pub(super) fn parse(bytes: &mut BytesMut) -> Result<Option<Self>, Failure> {
        let mut storage = [httparse::EMPTY_HEADER; MOST_FIELDS];
        let mut parsed = httparse::Response::new(&mut storage);
        let length = match parsed.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if bytes.len() < LONGEST_ANSWER_HEAD => return Ok(None),
            _ => return Err(Failure::UpstreamFailed),
        };
        let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok());
        let mut fields = HeaderMap::with_capacity(parsed.headers.len());
        for field in parsed.headers.iter() {
            let name = HeaderName::from_bytes(field.name.as_bytes());
            let value = HeaderValue::from_bytes(field.value);
            if let (Ok(name), Ok(value)) = (name, value) {
                fields.append(name, value);
            }
        }
        let version = match parsed.version {
            Some(1) => Version::HTTP_11,
            _ => Version::HTTP_10,
        };
        let rest = bytes.split_off(length).freeze();
        Ok(Some(Self {
            version,
            status: status.ok_or(Failure::UpstreamFailed)?,
            fields,
            rest,
        }))
    }

    /// Whether the replica agreed to exactly this handshake. A 101 that does not match is no
    /// agreement: whoever sends it may be answering somebody else.
    pub(super) fn agrees(&self, request: &Request) -> bool {
        let text = |name: &str| self.fields.get(name).and_then(|value| value.to_str().ok());
        let lists = |name: &str, token: &str| {
            text(name).is_some_and(|value| {
                value
                    .split(',')
                    .any(|item| item.trim().eq_ignore_ascii_case(token))
            })
        };
        self.status == StatusCode::SWITCHING_PROTOCOLS
            && lists("upgrade", "websocket")
            && lists("connection", "upgrade")
            && only(&self.fields, "sec-websocket-accept") == Some(request.accept().as_str())
    }

    /// The head for the client.
    pub(super) fn to_client<'a>(
        &self,
        additions: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Vec<u8> {
        let switching = self.status == StatusCode::SWITCHING_PROTOCOLS;
        let mut fields = self.fields.clone();
        let framed = fields.get("transfer-encoding").cloned();
        remove_hop_by_hop(&mut fields);
        let reason = self.status.canonical_reason().unwrap_or_default();
        let mut head = String::new();
        // Writing to a String cannot fail.
        let _ = write!(head, "HTTP/1.1 {} {reason}\r\n", self.status.as_u16());
        let mut head = head.into_bytes();
        for (name, value) in &fields {
            write_field(&mut head, name.as_str(), value.as_bytes());
        }
        for (name, value) in additions {
            write_field(&mut head, name, value.as_bytes());
        }
        if switching {
            write_field(&mut head, "connection", b"Upgrade");
            write_field(&mut head, "upgrade", b"websocket");
        } else {
            // The body of a refusal is passed on as it is framed.
            if let Some(framed) = framed {
                write_field(&mut head, "transfer-encoding", framed.as_bytes());
            }
            write_field(&mut head, "connection", b"close");
        }
        head.extend_from_slice(b"\r\n");
        head
    }
}

/// The body of an answer that is no agreement, as it was framed and not a byte more.
#[derive(Debug)]
pub(super) struct Refusal {
    framing: Framing,
    chunks: Chunks,
    pub(super) bytes: Vec<u8>,
}

impl Refusal {
    const LONGEST: usize = 1 << 20;

    pub(super) fn new(framing: Framing, status: StatusCode) -> Self {
        // RFC 9112 §6.3: these have no body, whatever their fields say.
        let none = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        Self {
            framing: if none { Framing::Length(0) } else { framing },
            chunks: Chunks::default(),
            bytes: Vec::new(),
        }
    }

    /// Takes what belongs to the body, and says whether more of it is to come.
    ///
    /// # Errors
    /// Chunks that are none.
    pub(super) fn wants(&mut self, part: &[u8]) -> Result<bool, Failure> {
        let (length, more) = match &mut self.framing {
            Framing::Chunked => {
                let walked = self.chunks.walk(part);
                let (length, ended) = walked.map_err(|_| Failure::UpstreamFailed)?;
                (length, !ended)
            }
            Framing::Length(left) => {
                let here = u64::try_from(part.len()).unwrap_or(u64::MAX).min(*left);
                *left -= here;
                (usize::try_from(here).unwrap_or(part.len()), *left > 0)
            }
            Framing::UntilEnd => (part.len(), true),
        };
        self.bytes
            .extend_from_slice(part.get(..length).unwrap_or_default());
        Ok(more && self.bytes.len() < Self::LONGEST)
    }
}

/// The value of a field that comes once.
fn only<'m>(fields: &'m HeaderMap, name: &str) -> Option<&'m str> {
    let mut values = fields.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

fn write_field(head: &mut Vec<u8>, name: &str, value: &[u8]) {
    head.extend_from_slice(name.as_bytes());
    head.extend_from_slice(b": ");
    head.extend_from_slice(value);
    head.extend_from_slice(b"\r\n");
}

/// The answer for a handshake that is refused here.
pub(super) fn refusal(failure: Failure, reader: Reader<'_>) -> Vec<u8> {
    Answer::failure(failure, reader).to_last_bytes()
}

#[cfg(test)]
mod tests;
