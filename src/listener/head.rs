//! Reading a request head strictly, before anybody else does.
//!
//! Whatever two readers could understand differently is refused here (RFC 9112 §11.2), because the
//! servers behind are old and forgiving. pingora sees only heads that have one meaning.

/// A head is not longer, target and fields included.
pub(super) const LONGEST_HEAD: usize = 32 * 1024;
const LONGEST_TARGET: usize = 8 * 1024;
const MOST_FIELDS: usize = 100;

/// What the bytes so far are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// No complete head yet.
    More,
    /// `skip` bytes of empty lines, then a head of `length` bytes.
    Head {
        skip: usize,
        length: usize,
        body: Framing,
        /// It asks to become a websocket.
        websocket: bool,
    },
    Refuse(Refusal),
}

/// How long the body is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Framing {
    Chunked,
    /// Zero where there is none: a request body is never framed by the end of the connection.
    Length(u64),
}

/// Why a head is not passed on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Refusal {
    /// Malformed, or with more than one meaning.
    Ambiguous(&'static str),
    /// RFC 9110 §10.1.1: it expects what nobody here can promise.
    Expectation,
    HeadTooLong,
    TargetTooLong,
    TooSlow,
}

impl Refusal {
    /// The whole answer, which is also the last one of the connection.
    pub(super) fn answer(self) -> &'static [u8] {
        match self {
            Self::Ambiguous(_) => {
                b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            }
            Self::Expectation => {
                b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            }
            Self::HeadTooLong => {
                b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            }
            Self::TargetTooLong => {
                b"HTTP/1.1 414 URI Too Long\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            }
            Self::TooSlow => {
                b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            }
        }
    }
}

/// Looks at the bytes of a connection from where a head begins. `seen` of them have been looked at
/// before without finding its end.
pub(super) fn inspect(bytes: &[u8], seen: usize) -> Verdict {
    let skip = empty_lines(bytes);
    let head = bytes.get(skip..).unwrap_or_default();
    // The end may straddle what was seen and what is new.
    let from = seen.saturating_sub(skip + 3).min(head.len());
    let end = head
        .get(from..)
        .and_then(|rest| find(rest, b"\r\n\r\n"))
        .map(|at| from + at + 4);
    match end {
        Some(length) if length <= LONGEST_HEAD => {
            let head = head.get(..length).unwrap_or_default();
            match read(head) {
                Ok((body, websocket)) => Verdict::Head {
                    skip,
                    length,
                    body,
                    websocket,
                },
                Err(refusal) => Verdict::Refuse(refusal),
            }
        }
        None if head.len() < LONGEST_HEAD => Verdict::More,
        _ => Verdict::Refuse(too_long(head)),
    }
}

/// RFC 9112 §2.2: an empty line or two before a request are an old client's fault, not an attack.
fn empty_lines(bytes: &[u8]) -> usize {
    [4, 2]
        .into_iter()
        .find(|length| bytes.get(..*length) == b"\r\n\r\n".get(..*length))
        .unwrap_or(0)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// A head that does not end: is it its target, or its fields?
fn too_long(head: &[u8]) -> Refusal {
    let line = find(head, b"\r\n").unwrap_or(head.len());
    if line > LONGEST_TARGET {
        Refusal::TargetTooLong
    } else {
        Refusal::HeadTooLong
    }
}

fn read(head: &[u8]) -> Result<(Framing, bool), Refusal> {
    check_lines(head)?;
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(Refusal::Ambiguous("head ends early")),
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::HeadTooLong),
        Err(_) => return Err(Refusal::Ambiguous("malformed head")),
    }
    let method = request.method.unwrap_or_default();
    let target = request.path.unwrap_or_default();
    let newest = request.version == Some(1);
    if target.len() > LONGEST_TARGET {
        return Err(Refusal::TargetTooLong);
    }
    if method == "CONNECT" {
        return Err(Refusal::Ambiguous("CONNECT"));
    }
    if !is_target(method, target) {
        return Err(Refusal::Ambiguous("illegal target"));
    }
    let body = framing(request.headers, newest)?;
    check_nominations(request.headers)?;
    check_expectation(request.headers)?;
    let hosts = values(request.headers, "host").count();
    if hosts > 1 || (newest && hosts == 0) {
        // RFC 9112 §3.2: exactly one, or 400.
        return Err(Refusal::Ambiguous("not exactly one Host"));
    }
    let asks = |name: &str, token: &str| {
        values(request.headers, name).any(|value| has_token(value, token))
    };
    let websocket = method == "GET"
        && newest
        && asks("upgrade", "websocket")
        && asks("connection", "upgrade")
        && body == Framing::Length(0);
    Ok((body, websocket))
}

/// Line ends are CR LF and nothing else, nothing is folded, and no name has a space after it.
fn check_lines(head: &[u8]) -> Result<(), Refusal> {
    if head.starts_with(b"\r") {
        return Err(Refusal::Ambiguous("empty lines"));
    }
    let mut previous = 0;
    let mut line_start = true;
    for byte in head.iter().copied() {
        match byte {
            b'\n' if previous != b'\r' => return Err(Refusal::Ambiguous("bare LF")),
            0 => return Err(Refusal::Ambiguous("NUL")),
            _ if previous == b'\r' && byte != b'\n' => return Err(Refusal::Ambiguous("bare CR")),
            b' ' | b'\t' if line_start => return Err(Refusal::Ambiguous("folded line")),
            _ => {}
        }
        line_start = byte == b'\n';
        previous = byte;
    }
    Ok(())
}

/// RFC 9112 §3.2: a path, or an address of the schemes served here; `*` belongs to OPTIONS. Every other
/// form is an invitation to guess.
fn is_target(method: &str, target: &str) -> bool {
    let is_below = |scheme: &str| {
        let head = target.get(..scheme.len());
        head.is_some_and(|head| head.eq_ignore_ascii_case(scheme))
    };
    let formed = target.starts_with('/')
        || is_below("http://")
        || is_below("https://")
        || (method == "OPTIONS" && target == "*");
    formed && target.bytes().all(|b| b.is_ascii_graphic()) && !target.contains('#')
}

/// RFC 9110 §7.6.1: a field that every recipient needs is not about this connection. Taken away by
/// its nomination, it would leave a request with other bounds or for another site.
fn check_nominations(fields: &[httparse::Header<'_>]) -> Result<(), Refusal> {
    let nominated = |name| values(fields, "connection").any(|list| has_token(list, name));
    if ["content-length", "transfer-encoding", "host"]
        .into_iter()
        .any(nominated)
    {
        return Err(Refusal::Ambiguous("Connection"));
    }
    Ok(())
}

/// RFC 9110 §10.1.1 knows one expectation.
fn check_expectation(fields: &[httparse::Header<'_>]) -> Result<(), Refusal> {
    let mut expected = values(fields, "expect");
    match (expected.next(), expected.next()) {
        (None, _) => Ok(()),
        (Some(only), None) if only.eq_ignore_ascii_case(b"100-continue") => Ok(()),
        _ => Err(Refusal::Expectation),
    }
}

/// Whether a server that takes every sign for `-` would read this name as a framing field's.
pub fn is_framing_alias(name: &str) -> bool {
    ["content-length", "transfer-encoding"]
        .into_iter()
        .any(|known| {
            let plain = |b: u8| if b.is_ascii_alphanumeric() { b } else { b'-' };
            let same = |(a, b): (u8, u8)| plain(a).eq_ignore_ascii_case(&b);
            name.len() == known.len()
                && name.bytes().zip(known.bytes()).all(same)
                && !name.eq_ignore_ascii_case(known)
        })
}

/// RFC 9112 §6.3, without its leniencies.
fn framing(fields: &[httparse::Header<'_>], newest: bool) -> Result<Framing, Refusal> {
    if fields.iter().any(|field| is_framing_alias(field.name)) {
        return Err(Refusal::Ambiguous("framing by another name"));
    }
    let mut lengths = values(fields, "content-length");
    let mut codings = values(fields, "transfer-encoding");
    match (lengths.next(), codings.next()) {
        (None, None) => Ok(Framing::Length(0)),
        (Some(_), Some(_)) => Err(Refusal::Ambiguous("two framings")),
        (Some(length), None) => {
            let digits = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
            let value = std::str::from_utf8(length)
                .ok()
                .and_then(|text| text.parse().ok());
            match (digits, value, lengths.next()) {
                (true, Some(length), None) => Ok(Framing::Length(length)),
                _ => Err(Refusal::Ambiguous("Content-Length")),
            }
        }
        (None, Some(coding)) => {
            let only = codings.next().is_none() && coding.eq_ignore_ascii_case(b"chunked");
            if newest && only {
                Ok(Framing::Chunked)
            } else {
                Err(Refusal::Ambiguous("Transfer-Encoding"))
            }
        }
    }
}

fn values<'f, 'h>(
    fields: &'f [httparse::Header<'h>],
    name: &'f str,
) -> impl Iterator<Item = &'h [u8]> + use<'f, 'h> {
    fields
        .iter()
        .filter(move |field| field.name.eq_ignore_ascii_case(name))
        .map(|field| field.value)
}

/// Whether a name of fields or methods can hold this byte (RFC 9110 §5.6.2).
pub fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Whether a comma-separated list holds a token, in any case.
fn has_token(list: &[u8], token: &str) -> bool {
    list.split(|b| *b == b',')
        .any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

#[cfg(test)]
mod tests;
