//! Requests that came in frames, judged as the listener judges heads of HTTP/1: frames can say what
//! no line can, and behind usher there are only lines.

use http::header::{CONTENT_LENGTH, EXPECT};
use pingora::http::RequestHeader;

use super::failure::Failure;
use crate::listener::{is_framing_alias, is_token};

/// What is wrong with a request, if anything.
///
/// # Errors
/// A target, a name or a framing with more than one meaning, and an expectation that is not known.
pub(super) fn check(request: &RequestHeader) -> Result<(), Failure> {
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
    let mut lengths = request.headers.get_all(CONTENT_LENGTH).iter();
    if let Some(length) = lengths.next() {
        let digits = length.as_bytes().iter().all(u8::is_ascii_digit);
        if !digits || length.is_empty() || lengths.next().is_some() {
            return Err(Failure::Ambiguous);
        }
    }
    let mut expected = request.headers.get_all(EXPECT).iter();
    match (expected.next(), expected.next()) {
        (None, _) => Ok(()),
        (Some(only), None) if only.as_bytes().eq_ignore_ascii_case(b"100-continue") => Ok(()),
        _ => Err(Failure::Expectation),
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
        check(&request)
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
}
