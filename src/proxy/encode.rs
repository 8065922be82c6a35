//! Text from replicas is compressed on its way to the client.
//!
//! Not what streams, what is encoded already, or what says `no-transform`, which is how an
//! application opts out of this altogether.
//!
//! BREACH: whoever can make a browser ask for pages with his text in them, and see how long the
//! encrypted answers are, can guess the secrets in them letter by letter. Such requests come from
//! his page, so an answer to a request with credentials is compressed only when the browser says
//! that a page of this very origin asked, or the user (`Sec-Fetch-Site`). Sites of other tenants
//! below one domain are strangers here as well.

use std::fmt;
use std::io::{self, Write};
use std::mem;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT_RANGES, AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_TYPE, COOKIE, ETAG, HeaderMap, TRANSFER_ENCODING, VARY,
};
use http::{Method, StatusCode, Version};
use pingora::http::ResponseHeader;
use pingora::prelude::Result;
use zstd::zstd_safe::CParameter;

use crate::files::{Accepted, Coding, is_text};

/// Below this the fields of an answer weigh more than what is saved.
const SMALLEST: u64 = 1024;
/// What is made for one client only is made quickly.
const GZIP_LEVEL: u32 = 5;
const ZSTD_LEVEL: i32 = 3;
/// As a power of two: 256 KiB, so that an answer under way costs no more than a megabyte.
const ZSTD_WINDOW: u32 = 18;
/// Fields about the very bytes of an answer, which would be wrong about others.
const DIGESTS: [&str; 4] = ["content-digest", "content-md5", "digest", "repr-digest"];

/// What is done with an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verdict {
    /// With a known length it may be collected; otherwise every part leaves when it comes.
    Encode {
        coding: Coding,
        flush: bool,
    },
    Leave,
    /// Left as it is for this client; another may get it compressed.
    LeaveThisOne,
}

/// A request, as far as its answer's coding depends on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) version: Version,
    pub(super) method: &'a Method,
    pub(super) fields: &'a HeaderMap,
    pub(super) path: &'a str,
    /// Of the route.
    pub(super) cache_control: Option<&'a str>,
}

/// The body of an answer under way.
pub(super) struct Encoding {
    encoder: Encoder,
    flush: bool,
}

enum Encoder {
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(zstd::Encoder<'static, Vec<u8>>),
    /// The end has been written.
    Over,
}

impl fmt::Debug for Encoding {
    fn fmt(&self, output: &mut fmt::Formatter<'_>) -> fmt::Result {
        output.debug_struct("Encoding").finish_non_exhaustive()
    }
}

/// Decides about an answer, and changes its head accordingly.
pub(super) fn begin(asked: Asked<'_>, response: &mut ResponseHeader) -> Result<Option<Encoding>> {
    let verdict = judge(asked, response.status, &response.headers);
    if verdict == Verdict::Leave {
        return Ok(None);
    }
    if !lists(&response.headers, VARY.as_str(), &["accept-encoding", "*"]) {
        response.append_header(VARY, "accept-encoding")?;
    }
    let Verdict::Encode { coding, flush } = verdict else {
        return Ok(None);
    };
    let Some(encoder) = Encoder::new(coding) else {
        return Ok(None);
    };
    // The same content in other bytes (RFC 9110 §8.8.1).
    let strong = response.headers.get(ETAG).and_then(|tag| tag.to_str().ok());
    let weak = strong.filter(|tag| tag.starts_with('"'));
    if let Some(weak) = weak.map(|tag| format!("W/{tag}")) {
        response.insert_header(ETAG, weak)?;
    }
    response.insert_header(CONTENT_ENCODING, coding.token())?;
    response.remove_header(&CONTENT_LENGTH);
    response.remove_header(&ACCEPT_RANGES);
    // On HTTP/2 pingora leaves it out.
    response.insert_header(TRANSFER_ENCODING, "chunked")?;
    Ok(Some(Encoding { encoder, flush }))
}

fn judge(asked: Asked<'_>, status: StatusCode, fields: &HeaderMap) -> Verdict {
    let text = |name| fields.get(name)?.to_str().ok();
    let essence = text(CONTENT_TYPE).map(|kind| kind.split(';').next().unwrap_or_default());
    let essence = essence.map(|kind| kind.trim().to_ascii_lowercase());
    let has_text = essence.is_some_and(|essence| is_text(&essence))
        && !status.is_informational()
        && !matches!(
            status,
            StatusCode::NO_CONTENT | StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED
        );
    let is_touchable = !fields.contains_key(CONTENT_ENCODING)
        && !fields.contains_key(CONTENT_RANGE)
        && !lists(fields, CACHE_CONTROL.as_str(), &["no-transform"])
        && !asked
            .cache_control
            .is_some_and(|value| holds(value, &["no-transform"]))
        && !DIGESTS.iter().any(|digest| fields.contains_key(*digest));
    let length = text(CONTENT_LENGTH).map(|length| length.parse::<u64>().unwrap_or(0));
    // `X-Accel-Buffering` is how applications tell nginx of a stream.
    let streams = asked.path.trim_end_matches('/').ends_with("autoupdate")
        || lists(fields, "x-accel-buffering", &["no"]);
    // Without a length, HTTP/1.0 could not tell the end of an answer from a broken connection.
    let ends_visibly = asked.version != Version::HTTP_10;
    if !has_text
        || !is_touchable
        || !ends_visibly
        || streams
        || length.is_some_and(|length| length < SMALLEST)
    {
        return Verdict::Leave;
    }
    // Brotli takes several times as much memory and time for what is sent once.
    let there_is = |coding| matches!(coding, Coding::Gzip | Coding::Zstd);
    match Accepted::parse(asked.fields).choose(there_is) {
        Some(coding) if *asked.method != Method::HEAD && is_trusted(asked.fields) => {
            Verdict::Encode {
                coding,
                flush: length.is_none(),
            }
        }
        Some(_) | None => Verdict::LeaveThisOne,
    }
}

/// Whether nobody but the site itself and the user can have made the browser ask.
fn is_trusted(fields: &HeaderMap) -> bool {
    let has_secrets = fields.contains_key(COOKIE) || fields.contains_key(AUTHORIZATION);
    let mut from = fields.get_all("sec-fetch-site").into_iter();
    let own = match (from.next(), from.next()) {
        (Some(from), None) => from == "same-origin" || from == "none",
        _ => false,
    };
    !has_secrets || own
}

/// Whether a field that is a list holds one of these, in any case.
fn lists(fields: &HeaderMap, name: &str, wanted: &[&str]) -> bool {
    let values = fields.get_all(name).into_iter();
    values
        .filter_map(|value| value.to_str().ok())
        .any(|value| holds(value, wanted))
}

fn holds(list: &str, wanted: &[&str]) -> bool {
    list.split(',').map(str::trim).any(|element| {
        wanted
            .iter()
            .any(|wanted| element.eq_ignore_ascii_case(wanted))
    })
}

impl Encoding {
    /// Takes a part of the body and gives what leaves for it; nothing, while it is being collected.
    ///
    /// # Errors
    /// What the encoder says, or a part after the end.
    pub(super) fn push(&mut self, part: &[u8], ends: bool) -> io::Result<Option<Bytes>> {
        let bytes = match (&mut self.encoder, ends) {
            (_, true) => self.encoder.finish(part)?,
            (Encoder::Gzip(encoder), false) => {
                encoder.write_all(part)?;
                if self.flush {
                    encoder.flush()?;
                }
                mem::take(encoder.get_mut())
            }
            (Encoder::Zstd(encoder), false) => {
                encoder.write_all(part)?;
                if self.flush {
                    encoder.flush()?;
                }
                mem::take(encoder.get_mut())
            }
            (Encoder::Over, false) => return Err(io::ErrorKind::WriteZero.into()),
        };
        Ok((!bytes.is_empty()).then(|| bytes.into()))
    }
}

impl Encoder {
    fn new(coding: Coding) -> Option<Self> {
        match coding {
            Coding::Brotli => None,
            Coding::Gzip => {
                let level = Compression::new(GZIP_LEVEL);
                Some(Self::Gzip(GzEncoder::new(Vec::new(), level)))
            }
            Coding::Zstd => {
                let mut encoder = zstd::Encoder::new(Vec::new(), ZSTD_LEVEL).ok()?;
                let window = CParameter::WindowLog(ZSTD_WINDOW);
                encoder.set_parameter(window).ok()?;
                Some(Self::Zstd(encoder))
            }
        }
    }

    fn finish(&mut self, part: &[u8]) -> io::Result<Vec<u8>> {
        match mem::replace(self, Self::Over) {
            Self::Gzip(mut encoder) => {
                encoder.write_all(part)?;
                encoder.finish()
            }
            Self::Zstd(mut encoder) => {
                encoder.write_all(part)?;
                encoder.finish()
            }
            Self::Over if part.is_empty() => Ok(Vec::new()),
            Self::Over => Err(io::ErrorKind::WriteZero.into()),
        }
    }
}

#[cfg(test)]
mod tests;
