//! Which route a path takes, whatever the order of declaration: a pattern that fits, else the longest
//! prefix.
//!
//! So does nginx, whose users write patterns to take something out of what a prefix means, however long
//! that is. Of several patterns the first of the alphabet counts: that is the order in which nginx-proxy
//! writes them down, and nginx asks them.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::plan::Route;

/// Routes in the order they are asked: patterns, then the longest prefix first.
#[derive(Debug)]
pub(super) struct RouteList(Vec<Arc<Route>>);

impl RouteList {
    pub(super) fn new(routes: &[Route]) -> Self {
        let mut sorted: Vec<Arc<Route>> = routes.iter().cloned().map(Arc::new).collect();
        sorted.sort_by(|a, b| {
            let by_shape = b.pattern.is_some().cmp(&a.pattern.is_some());
            let by_length = match (&a.pattern, &b.pattern) {
                (None, None) => b.prefix.len().cmp(&a.prefix.len()),
                _ => Ordering::Equal,
            };
            // Equal lengths cannot both fit, unless one is loose; the strict one is more specific.
            by_shape
                .then(by_length)
                .then(a.loose.cmp(&b.loose))
                .then(a.prefix.cmp(&b.prefix))
        });
        Self(sorted)
    }

    pub(super) fn find(&self, path: &str) -> Option<&Arc<Route>> {
        self.0.iter().find(|route| fits(route, path))
    }
}

fn fits(route: &Route, path: &str) -> bool {
    if let Some(pattern) = &route.pattern {
        return pattern.fits(path);
    }
    let prefix = route.prefix.as_str();
    let Some(head) = path.as_bytes().get(..prefix.len()) else {
        // `/static/` also means the folder itself, without its slash.
        return !route.loose && prefix.strip_suffix('/') == Some(path) && !path.is_empty();
    };
    if route.loose {
        return head.eq_ignore_ascii_case(prefix.as_bytes());
    }
    head == prefix.as_bytes()
        && (prefix.ends_with('/') || matches!(path.as_bytes().get(prefix.len()), None | Some(b'/')))
}

/// Decodes the path of a request target once. Slashes in a row become one, because most servers take
/// them for one, and a route must not be passed by on the way to it. `None` means that two readers could understand it
/// differently: encodings that are none, control characters, backslashes, dot segments.
pub fn decode(path: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        let byte = if byte == b'%' {
            let digit = |b: Option<u8>| char::from(b?).to_digit(16);
            let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
            u8::try_from(high * 16 + low).ok()?
        } else {
            byte
        };
        if byte.is_ascii_control() || byte == b'\\' {
            return None;
        }
        if (byte, decoded.last()) != (b'/', Some(&b'/')) {
            decoded.push(byte);
        }
    }
    let decoded = String::from_utf8(decoded).ok()?;
    let plain = decoded
        .split('/')
        .all(|segment| !matches!(segment, "." | ".."));
    (decoded.starts_with('/') && plain).then_some(decoded)
}

#[cfg(test)]
mod tests;
