//! Which form and which part of a file answers a request, and with which fields
//! (RFC 9110 §12, §13, §14).

use std::time::SystemTime;

use http::StatusCode;

use super::conditions::{Conditions, Slice, Unsatisfiable, Verdict};
use super::hashed::is_hashed;
use super::negotiate::{Coding, PerCoding, is_compressible};

/// For names that carry a hash of their content: they are never asked for again (RFC 8246).
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// A file as caches know it.
#[derive(Clone, Debug)]
pub(super) struct Entity {
    pub(super) length: u64,
    modified: SystemTime,
    last_modified: String,
    content_type: String,
    compressible: bool,
    hashed: bool,
    /// Quoted. Each form has its own, because each has other bytes.
    tag: String,
    coded_tags: PerCoding<String>,
}

/// What is to be sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Part {
    /// `None` is the file itself.
    pub coding: Option<Coding>,
    pub slice: Slice,
}

/// An answer about a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reply {
    pub status: StatusCode,
    pub fields: Vec<(&'static str, String)>,
    /// `None` for answers without a body.
    pub part: Option<Part>,
}

impl Entity {
    /// `path` names the type; `version` differs whenever the file does; `coded` gives the version
    /// of what lies beside it, compressed beforehand.
    pub(super) fn new(
        path: &str,
        length: u64,
        modified: SystemTime,
        version: &str,
        coded: impl Fn(Coding) -> Option<String>,
    ) -> Self {
        let (essence, content_type) = content_type(path);
        Self {
            length,
            modified,
            last_modified: httpdate::fmt_http_date(modified),
            compressible: is_compressible(&essence),
            content_type,
            hashed: is_hashed(path),
            tag: format!("\"{version}\""),
            coded_tags: PerCoding::from_fn(|coding| {
                let version = coded(coding).unwrap_or_else(|| version.to_owned());
                format!("\"{version}-{}\"", coding.token())
            }),
        }
    }

    /// Whether it has other forms than itself.
    pub(super) fn is_compressible(&self) -> bool {
        self.compressible
    }

    fn tag_of(&self, coding: Option<Coding>) -> &str {
        coding.map_or(&self.tag, |coding| self.coded_tags.of(coding))
    }
}

/// Answers for a file that is there. `at_hand` gives the length of each coding that can be sent.
pub(super) fn reply(
    conditions: &Conditions,
    entity: &Entity,
    at_hand: impl Fn(Coding) -> Option<u64>,
    cache_control: Option<&str>,
) -> Reply {
    let cache_control = if entity.hashed {
        Some(FOR_EVER)
    } else {
        cache_control
    };
    let mut fields = Vec::with_capacity(10);
    fields.extend(cache_control.map(|value| ("cache-control", value.to_owned())));
    if entity.compressible {
        // On every answer about it, or a cache would keep the first for everybody.
        fields.push(("vary", "accept-encoding".to_owned()));
    }
    // Parts are parts of the file itself: those are what players and download managers put together,
    // they can be read from the middle, and they do not depend on what happens to be in memory.
    let coding = if conditions.wants_range() && conditions.accepted.accepts_identity() {
        None
    } else {
        let there_is = |coding| entity.compressible && at_hand(coding).is_some();
        conditions.accepted.choose(there_is)
    };
    let accepted = |coding: &Coding| entity.compressible && conditions.accepted.accepts(*coding);
    // What the client has is what it is told about, as long as it accepts it: the form that is made
    // a moment after the first visit costs nobody a second download.
    let forms = Coding::ALL.into_iter().filter(accepted).map(Some);
    let forms = forms.chain([None]);
    match conditions.judge(
        forms.clone().map(|form| entity.tag_of(form)),
        entity.modified,
    ) {
        Verdict::Failed => {
            fields.push(("content-length", "0".to_owned()));
            return Reply {
                status: StatusCode::PRECONDITION_FAILED,
                fields,
                part: None,
            };
        }
        Verdict::Unchanged => {
            let known = forms
                .map(|form| entity.tag_of(form))
                .find(|tag| conditions.has(tag));
            let tag = known.unwrap_or_else(|| entity.tag_of(coding));
            fields.push(("etag", tag.to_owned()));
            fields.push(("last-modified", entity.last_modified.clone()));
            return Reply {
                status: StatusCode::NOT_MODIFIED,
                fields,
                part: None,
            };
        }
        Verdict::Proceed => {}
    }
    let length = coding.and_then(&at_hand).unwrap_or(entity.length);
    fields.push(("etag", entity.tag_of(coding).to_owned()));
    fields.push(("last-modified", entity.last_modified.clone()));
    fields.push(("accept-ranges", "bytes".to_owned()));
    let asked = match coding {
        None => conditions.range(&entity.tag, entity.modified, length),
        Some(_) => None,
    };
    let (status, slice) = match asked {
        None => (StatusCode::OK, Slice { offset: 0, length }),
        Some(Ok(slice)) => {
            let last = slice.offset + slice.length - 1;
            let range = format!("bytes {}-{last}/{length}", slice.offset);
            fields.push(("content-range", range));
            (StatusCode::PARTIAL_CONTENT, slice)
        }
        Some(Err(Unsatisfiable)) => {
            // RFC 9110 §15.5.17
            fields.push(("content-range", format!("bytes */{length}")));
            fields.push(("content-length", "0".to_owned()));
            return Reply {
                status: StatusCode::RANGE_NOT_SATISFIABLE,
                fields,
                part: None,
            };
        }
    };
    fields.extend(coding.map(|coding| ("content-encoding", coding.token().to_owned())));
    fields.push(("content-type", entity.content_type.clone()));
    fields.push(("x-content-type-options", "nosniff".to_owned()));
    fields.push(("content-length", slice.length.to_string()));
    Reply {
        status,
        fields,
        part: (conditions.wants_body && slice.length > 0).then_some(Part { coding, slice }),
    }
}

/// Whether a file of this name has other forms than itself.
pub(super) fn has_codings(path: &str) -> bool {
    is_compressible(&content_type(path).0)
}

/// The media type without and with its parameters.
fn content_type(path: &str) -> (String, String) {
    let guess = mime_guess::from_path(path).first_or_octet_stream();
    let essence = guess.essence_str().to_owned();
    let text = guess.type_() == "text"
        || matches!(
            guess.subtype().as_str(),
            "javascript" | "json" | "xml" | "svg"
        );
    let whole = if text {
        format!("{essence}; charset=utf-8")
    } else {
        essence.clone()
    };
    (essence, whole)
}

#[cfg(test)]
mod tests;
