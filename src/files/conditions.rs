//! What a client says about what it has and wants (RFC 9110 §12.5.3, §13.1, §14.2).

use std::time::SystemTime;

use http::Method;
use http::header::{
    self, HeaderMap, HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE,
};

use super::negotiate::Accepted;

/// A part of a form of a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Slice {
    pub offset: u64,
    pub length: u64,
}

/// The conditions of one GET or HEAD, taken out of its fields.
#[derive(Clone, Debug)]
pub struct Conditions {
    /// False for HEAD.
    pub(super) wants_body: bool,
    pub(super) accepted: Accepted,
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
    if_modified_since: Option<SystemTime>,
    if_unmodified_since: Option<SystemTime>,
    if_range: Option<String>,
    range: Option<String>,
}

/// A list of entity tags.
#[derive(Clone, Debug)]
enum Tags {
    /// `*`
    Any,
    Listed(Vec<String>),
}

/// What the preconditions say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// 412
    Failed,
    Proceed,
    /// 304
    Unchanged,
}

#[derive(Debug, Eq, PartialEq)]
pub(super) struct Unsatisfiable;

impl Conditions {
    pub fn parse(method: &Method, fields: &HeaderMap) -> Self {
        let text = |name: HeaderName| fields.get(name)?.to_str().ok();
        // RFC 9110 §13.1.3: a date that is none is as good as no field.
        let date = |name| text(name).and_then(|date| httpdate::parse_http_date(date).ok());
        let is_get = *method == Method::GET;
        // RFC 9110 §14.2: a range is defined for GET only.
        let range = text(header::RANGE).filter(|_| is_get);
        Self {
            wants_body: is_get,
            accepted: Accepted::parse(fields),
            if_match: Tags::parse(fields, IF_MATCH),
            if_none_match: Tags::parse(fields, IF_NONE_MATCH),
            if_modified_since: date(IF_MODIFIED_SINCE),
            if_unmodified_since: date(IF_UNMODIFIED_SINCE),
            if_range: text(header::IF_RANGE)
                .filter(|_| range.is_some())
                .map(str::to_owned),
            range: range.map(str::to_owned),
        }
    }

    /// In the order of RFC 9110 §13.2.2. `tags` are those of every form that the client could be
    /// sent: it has the file if it has any of them.
    pub(super) fn judge<'t>(
        &self,
        mut tags: impl Iterator<Item = &'t str> + Clone,
        modified: SystemTime,
    ) -> Verdict {
        match (&self.if_match, self.if_unmodified_since) {
            (Some(wanted), _) if !tags.clone().any(|tag| wanted.contain_strong(tag)) => {
                return Verdict::Failed;
            }
            (None, Some(date)) if modified > date => return Verdict::Failed,
            _ => {}
        }
        let unchanged = match (&self.if_none_match, self.if_modified_since) {
            (Some(known), _) => tags.any(|tag| known.contain_weak(tag)),
            (None, Some(date)) => modified <= date,
            (None, None) => false,
        };
        if unchanged {
            Verdict::Unchanged
        } else {
            Verdict::Proceed
        }
    }

    /// Whether the client has the form with this tag.
    pub(super) fn has(&self, tag: &str) -> bool {
        self.if_none_match
            .as_ref()
            .is_some_and(|known| known.contain_weak(tag))
    }

    /// The part that is asked for, of the very file that the client knows (RFC 9110 §13.1.5).
    /// Anything but a single range of bytes is ignored, as §14.2 allows.
    pub(super) fn range(
        &self,
        tag: &str,
        modified: SystemTime,
        length: u64,
    ) -> Option<Result<Slice, Unsatisfiable>> {
        let same = match self.if_range.as_deref() {
            None => true,
            Some(known) if known.starts_with('"') => known == tag,
            Some(date) => httpdate::parse_http_date(date).is_ok_and(|date| date == modified),
        };
        parse_range(self.range.as_deref().filter(|_| same)?, length)
    }

    pub(super) fn wants_range(&self) -> bool {
        self.range.is_some()
    }
}

impl Tags {
    fn parse(fields: &HeaderMap, name: HeaderName) -> Option<Self> {
        let mut listed = Vec::new();
        let mut present = false;
        for value in fields.get_all(name) {
            present = true;
            let tags = value.to_str().unwrap_or_default().split(',').map(str::trim);
            listed.extend(tags.map(str::to_owned));
        }
        if listed.iter().any(|tag| tag == "*") {
            return Some(Self::Any);
        }
        present.then_some(Self::Listed(listed))
    }

    /// RFC 9110 §8.8.3.2: as different as their bytes.
    fn contain_strong(&self, tag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(tags) => tags.iter().any(|known| known == tag),
        }
    }

    /// RFC 9110 §8.8.3.2: good enough not to send it again.
    fn contain_weak(&self, tag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(tags) => tags
                .iter()
                .any(|known| known.strip_prefix("W/").unwrap_or(known) == tag),
        }
    }
}

/// `bytes=0-99`, `bytes=100-`, `bytes=-100`; `None` for everything else.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_range_never_leaves_the_file(text in "[bytes=0-9 ,-]{0,24}", length in 0_u64..20) {
            if let Some(Ok(slice)) = parse_range(&text, length) {
                prop_assert!(slice.length > 0);
                prop_assert!(slice.offset + slice.length <= length);
            }
        }
    }
}
