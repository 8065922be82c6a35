//! Which part of a file answers a request, and with which fields (RFC 9110 §13, §14).

use std::time::SystemTime;

use http::header::{HeaderMap, HeaderName};
use http::{Method, StatusCode};

use super::root::OpenFile;

/// What the client says about what it has and wants.
#[derive(Clone, Copy, Debug)]
pub struct Conditions<'a> {
    pub method: &'a Method,
    pub fields: &'a HeaderMap,
}

/// A part of a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Slice {
    pub offset: u64,
    pub length: u64,
}

/// An answer about a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reply {
    pub status: StatusCode,
    pub fields: Vec<(&'static str, String)>,
    /// What is to be sent; `None` for answers without a body.
    pub body: Option<Slice>,
}

/// Answers for a file that is there.
pub fn reply(
    conditions: Conditions<'_>,
    file: &OpenFile,
    path: &str,
    cache_control: Option<&str>,
) -> Reply {
    let etag = format!("\"{}\"", file.version);
    let modified = httpdate::fmt_http_date(file.modified);
    let mut fields = vec![("etag", etag.clone()), ("last-modified", modified)];
    if let Some(value) = cache_control {
        fields.push(("cache-control", value.to_owned()));
    }
    let text = |name: HeaderName| conditions.fields.get(name)?.to_str().ok();
    if is_unchanged(&text, &etag, file.modified) {
        return Reply {
            status: StatusCode::NOT_MODIFIED,
            fields,
            body: None,
        };
    }
    fields.push(("accept-ranges", "bytes".to_owned()));
    fields.push(("content-type", content_type(path)));
    fields.push(("x-content-type-options", "nosniff".to_owned()));
    let whole = Slice {
        offset: 0,
        length: file.length,
    };
    let asked = text(http::header::RANGE)
        .filter(|_| *conditions.method == Method::GET)
        .filter(|_| range_applies(&text, &etag, file.modified))
        .and_then(|range| parse_range(range, file.length));
    let (status, slice) = match asked {
        None => (StatusCode::OK, whole),
        Some(Ok(slice)) => {
            let last = slice.offset + slice.length - 1;
            let range = format!("bytes {}-{last}/{}", slice.offset, file.length);
            fields.push(("content-range", range));
            (StatusCode::PARTIAL_CONTENT, slice)
        }
        Some(Err(Unsatisfiable)) => {
            // RFC 9110 §15.5.17
            fields.retain(|(name, _)| *name != "content-type");
            fields.push(("content-range", format!("bytes */{}", file.length)));
            fields.push(("content-length", "0".to_owned()));
            return Reply {
                status: StatusCode::RANGE_NOT_SATISFIABLE,
                fields,
                body: None,
            };
        }
    };
    fields.push(("content-length", slice.length.to_string()));
    Reply {
        status,
        fields,
        body: (*conditions.method == Method::GET && slice.length > 0).then_some(slice),
    }
}

/// RFC 9110 §13.2.2, the part for GET and HEAD: an entity tag decides alone where there is one.
fn is_unchanged<'a>(
    text: &impl Fn(HeaderName) -> Option<&'a str>,
    etag: &str,
    modified: SystemTime,
) -> bool {
    if let Some(tags) = text(http::header::IF_NONE_MATCH) {
        return tags
            .split(',')
            .map(str::trim)
            // §8.8.3.2: a weak comparison.
            .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag);
    }
    text(http::header::IF_MODIFIED_SINCE)
        .and_then(|date| httpdate::parse_http_date(date).ok())
        .is_some_and(|date| modified <= date)
}

/// RFC 9110 §13.1.5: with `If-Range`, the range counts only for the very same file.
fn range_applies<'a>(
    text: &impl Fn(HeaderName) -> Option<&'a str>,
    etag: &str,
    modified: SystemTime,
) -> bool {
    match text(http::header::IF_RANGE) {
        None => true,
        Some(tag) if tag.starts_with('"') => tag == etag,
        Some(date) => httpdate::parse_http_date(date).is_ok_and(|date| date == modified),
    }
}

#[derive(Debug, Eq, PartialEq)]
struct Unsatisfiable;

/// A single range of bytes. Anything else is ignored, as RFC 9110 §14.2 allows.
fn parse_range(text: &str, length: u64) -> Option<Result<Slice, Unsatisfiable>> {
    let range = text.strip_prefix("bytes=")?;
    let (first, last) = range.split_once('-')?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    let slice = |offset: u64, end: u64| {
        if offset < end {
            Ok(Slice {
                offset,
                length: end - offset,
            })
        } else {
            Err(Unsatisfiable)
        }
    };
    match (first.trim(), last.trim()) {
        ("", suffix) => Some(slice(length.saturating_sub(number(suffix)?), length)),
        (first, "") => Some(slice(number(first)?, length)),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return None;
            }
            Some(slice(first, last.saturating_add(1).min(length)))
        }
    }
}

fn content_type(path: &str) -> String {
    let guess = mime_guess::from_path(path).first_or_octet_stream();
    let text = guess.type_() == "text"
        || matches!(
            guess.subtype().as_str(),
            "javascript" | "json" | "xml" | "svg"
        );
    if text {
        format!("{}; charset=utf-8", guess.essence_str())
    } else {
        guess.essence_str().to_owned()
    }
}

#[cfg(test)]
mod tests;
