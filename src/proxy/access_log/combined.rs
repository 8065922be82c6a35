//! The line that nginx-proxy writes unless it is told otherwise, its `log_format vhost`: the combined
//! format with the host before it and the replica behind it.
//!
//! What a client chose cannot leave its quotes: bytes are escaped as nginx does (`escape=default`). Who
//! a client is by its password is not written. A websocket is one line, at its end, as there.

use std::io::{self, Write};
use std::time::SystemTime;

use jiff::tz::TimeZone;

use super::nginx_proxy::{request, status};
use super::{Line, without_query};
use crate::config::model::Addresses;

pub(super) fn write(
    out: &mut Vec<u8>,
    wall: SystemTime,
    line: &Line<'_>,
    addresses: Addresses,
    queries: bool,
) -> io::Result<()> {
    let peer = line.peer.and_then(|ip| addresses.shown(ip));
    escaped(out, line.host);
    out.push(b' ');
    escaped(out, peer.map(|ip| ip.to_string()).as_deref());
    write!(out, " - - [{}] \"", time_local(wall))?;
    escaped(out, Some(&request(line)));
    let sent = line.bytes_out.unwrap_or_default();
    write!(out, "\" {} {sent} \"", status(line))?;
    escaped(out, without_query(line.referrer, queries));
    out.extend_from_slice(b"\" \"");
    escaped(out, line.agent);
    out.extend_from_slice(b"\" \"");
    escaped(out, line.upstream.map(|to| to.to_string()).as_deref());
    out.push(b'"');
    Ok(())
}

/// In the zone of the machine: `22/Nov/2026:01:09:03 +0000`.
fn time_local(wall: SystemTime) -> String {
    let moment = jiff::Timestamp::try_from(wall).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let local = moment.to_zoned(TimeZone::system());
    local.strftime("%d/%b/%Y:%H:%M:%S %z").to_string()
}

/// Quotes, backslashes, control characters and whatever is not ASCII as `\xXX`; `-` for nothing.
fn escaped(out: &mut Vec<u8>, text: Option<&str>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.unwrap_or("-").bytes() {
        match byte {
            b'"' | b'\\' | 0..=31 | 127.. => {
                let [high, low] = [byte >> 4, byte & 15].map(|half| DIGITS[usize::from(half)]);
                out.extend_from_slice(&[b'\\', b'x', high, low]);
            }
            byte => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn written(line: &Line<'_>) -> String {
        let mut out = Vec::new();
        write(&mut out, UNIX_EPOCH, line, Addresses::Full, false).expect("written");
        let text = String::from_utf8(out).expect("ASCII");
        let (before, rest) = text.split_once('[').expect("a moment");
        let (_, after) = rest.split_once(']').expect("its end");
        format!("{before}[]{after}")
    }

    #[test]
    fn a_line_is_that_of_nginx_proxy() {
        let line = Line {
            host: Some("congress.example.org"),
            peer: Some([192, 0, 2, 7].into()),
            method: Some("GET"),
            path: Some("/agenda/1"),
            protocol: Some("h2"),
            status: Some(200),
            bytes_out: Some(512),
            referrer: Some("https://congress.example.org/?token=secret"),
            agent: Some("curl/8"),
            upstream: Some(([172, 18, 0, 5], 8000).into()),
            ..Line::EMPTY
        };
        assert_eq!(
            written(&line),
            "congress.example.org 192.0.2.7 - - [] \"GET /agenda/1 HTTP/2.0\" 200 512 \
             \"https://congress.example.org/\" \"curl/8\" \"172.18.0.5:8000\""
        );
        assert_eq!(
            written(&Line::EMPTY),
            "- - - - [] \"- / HTTP/1.1\" 0 0 \"-\" \"-\" \"-\""
        );
    }

    #[test]
    fn nothing_that_a_client_says_leaves_its_quotes() {
        let line = Line {
            path: Some("/\u{e9}\" 200"),
            agent: Some("a\" \\\t\u{1b}[2J\u{7f}"),
            ..Line::EMPTY
        };
        assert_eq!(
            written(&line),
            "- - - - [] \"- /\\xC3\\xA9\\x22 200 HTTP/1.1\" 0 0 \"-\" \
             \"a\\x22 \\x5C\\x09\\x1B[2J\\x7F\" \"-\""
        );
    }
}
