//! Heads that the listener's guard does not see, judged as strictly: requests that came in frames,
//! which can say what no line can, and what replicas answer.

use http::HeaderMap;
use http::Version;
use http::header::{CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING};
use pingora::http::RequestHeader;

use super::failure::Failure;
use crate::listener::{is_framing_alias, is_token};

/// How long the body of an answer is, where it may have one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Framing {
    Chunked,
    Length(u64),
    /// As long as the connection lasts.
    UntilEnd,
}

/// Judges a request.
///
/// # Errors
/// A target, a name or a framing with more than one meaning, and an expectation that is not known.
pub(super) fn check_request(request: &RequestHeader) -> Result<(), Failure> {
    let target = request.uri.path_and_query().map_or("/", |all| all.as_str());
    if !target.starts_with('/') && target != "*" {
        // RFC 9113 §8.3.1: a path, or `*` for OPTIONS; that has no route.
        return Err(Failure::Ambiguous);
    }
    for name in request.headers.keys() {
        if is_framing_alias(name.as_str()) || !name.as_str().bytes().all(is_token) {
            return Err(Failure::Ambiguous);
        }
    }
    length(&request.headers)?;
    let mut expected = request.headers.get_all(EXPECT).iter();
    match (expected.next(), expected.next()) {
        (None, _) => Ok(()),
        (Some(only), None) if only.as_bytes().eq_ignore_ascii_case(b"100-continue") => Ok(()),
        _ => Err(Failure::Expectation),
    }
}

/// Judges how an answer is framed, by RFC 9112 §6.3 without its leniencies.
///
/// # Errors
/// [`Failure::UpstreamFailed`] for every framing but one length, or `chunked` alone in HTTP/1.1.
pub(super) fn check_answer(version: Version, fields: &HeaderMap) -> Result<Framing, Failure> {
    let length = length(fields).map_err(|_| Failure::UpstreamFailed)?;
    let mut codings = fields.get_all(TRANSFER_ENCODING).iter();
    match (length, codings.next(), codings.next()) {
        (None, None, _) => Ok(Framing::UntilEnd),
        (Some(length), None, _) => Ok(Framing::Length(length)),
        (None, Some(coding), None)
            if version == Version::HTTP_11
                && coding.as_bytes().eq_ignore_ascii_case(b"chunked") =>
        {
            Ok(Framing::Chunked)
        }
        _ => Err(Failure::UpstreamFailed),
    }
}

/// `Content-Length`: once, and nothing but digits (RFC 9110 §8.6).
fn length(fields: &HeaderMap) -> Result<Option<u64>, Failure> {
    let mut lengths = fields.get_all(CONTENT_LENGTH).iter();
    let Some(length) = lengths.next() else {
        return Ok(None);
    };
    let digits = length.as_bytes().iter().all(u8::is_ascii_digit);
    let value = length.to_str().ok().and_then(|text| text.parse().ok());
    match (digits, value, lengths.next()) {
        (true, Some(length), None) => Ok(Some(length)),
        _ => Err(Failure::Ambiguous),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(path: &[u8], fields: &[(&'static str, &str)]) -> Result<(), Failure> {
        let mut request = RequestHeader::build("POST", path, None).expect("a request");
        for (name, value) in fields {
            request.append_header(*name, *value).expect("a field");
        }
        check_request(&request)
    }

    #[test]
    fn one_meaning_passes() {
        assert_eq!(checked(b"/a?b", &[("content-length", "3")]), Ok(()));
        assert_eq!(checked(b"/", &[("expect", "100-Continue")]), Ok(()));
    }

    #[test]
    fn two_meanings_do_not() {
        for (path, fields) in [
            ("?a=b", &[][..]),
            ("/", &[("content_length", "3")]),
            ("/", &[("transfer.encoding", "chunked")]),
            ("/", &[("content-length", "3"), ("content-length", "3")]),
            ("/", &[("content-length", "")]),
            ("/", &[("content-length", "+3")]),
        ] {
            let checked = checked(path.as_bytes(), fields);
            assert_eq!(checked, Err(Failure::Ambiguous), "{path} {fields:?}");
        }
    }

    #[test]
    fn only_one_expectation_is_known() {
        for fields in [
            &[("expect", "x")][..],
            &[("expect", "100-continue"), ("expect", "100-continue")],
        ] {
            assert_eq!(checked(b"/", fields), Err(Failure::Expectation));
        }
    }

    #[test]
    fn an_answer_is_framed_in_one_way() {
        let framed = |version, fields: &[(&'static str, &str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in fields {
                map.append(*name, value.parse().expect("a value"));
            }
            check_answer(version, &map)
        };
        let new = |fields| framed(Version::HTTP_11, fields);
        assert_eq!(new(&[]), Ok(Framing::UntilEnd));
        assert_eq!(new(&[("content-length", "3")]), Ok(Framing::Length(3)));
        let chunked = [("transfer-encoding", "Chunked")];
        assert_eq!(new(&chunked), Ok(Framing::Chunked));
        let failed = Err(Failure::UpstreamFailed);
        assert_eq!(framed(Version::HTTP_10, &chunked), failed);
        for fields in [
            &[("transfer-encoding", "gzip, chunked")][..],
            &[("transfer-encoding", "")],
            &[
                ("transfer-encoding", "chunked"),
                ("transfer-encoding", "chunked"),
            ],
            &[("transfer-encoding", "chunked"), ("content-length", "3")],
            &[("content-length", "3"), ("content-length", "3")],
            &[("content-length", "3, 3")],
        ] {
            assert_eq!(new(fields), failed, "{fields:?}");
        }
    }
}
