//! The header with which a proxy in front says whose connection it passes on (HAProxy's
//! proxy-protocol.txt, versions 1 and 2).
//!
//! Pure: bytes in, whose connection it is out. Strict, because what stands here is believed: one
//! spelling per meaning, and nothing of it is guessed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// §2.1: the longest line of version 1, its end included.
const LONGEST_LINE: usize = 107;
/// A header of version 2, with everything that proxies append to it. The format allows 64 KiB; a
/// client certificate's name and an identifier or two need some hundred bytes.
pub(super) const LONGEST: usize = 2048;
const LINE: &[u8] = b"PROXY ";
/// §2.2: what no other protocol begins with.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const FIXED: usize = 16;

/// What the bytes of a connection begin with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// All of these bytes belong to a header that has not ended.
    More,
    /// A header of `length` bytes; whatever is behind it is the client's.
    Header {
        length: usize,
        /// `None`: the proxy speaks for itself, or does not know.
        named: Option<Named>,
    },
    Refuse(Malformed),
}

/// Both ends of the connection that is passed on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Named {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
}

/// Why the bytes are no header.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("an address that is none")]
    Address,
    #[error("neither TCP over IPv4 nor TCP over IPv6")]
    Family,
    #[error("no PROXY header")]
    NoHeader,
    #[error("longer than a header may be")]
    TooLong,
    #[error("shorter than its addresses")]
    TooShort,
    #[error("an unknown version or command")]
    Version,
}

/// Looks at everything a connection has sent.
pub(super) fn inspect(bytes: &[u8]) -> Verdict {
    let verdict = if begins(bytes, SIGNATURE) {
        binary(bytes)
    } else if begins(bytes, LINE) {
        line(bytes)
    } else {
        Err(Malformed::NoHeader)
    };
    verdict.unwrap_or_else(Verdict::Refuse)
}

/// Whether the bytes, as far as they go, are those of the mark.
fn begins(bytes: &[u8], mark: &[u8]) -> bool {
    bytes.iter().zip(mark).all(|(byte, known)| byte == known)
}

/// Version 1: a line of text.
fn line(bytes: &[u8]) -> Result<Verdict, Malformed> {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
        return if bytes.len() < LONGEST_LINE {
            Ok(Verdict::More)
        } else {
            Err(Malformed::TooLong)
        };
    };
    let length = end + 1;
    if length > LONGEST_LINE {
        return Err(Malformed::TooLong);
    }
    let text = bytes.get(LINE.len()..end).unwrap_or_default();
    let text = text.strip_suffix(b"\r").ok_or(Malformed::NoHeader)?;
    let text = std::str::from_utf8(text).map_err(|_| Malformed::Address)?;
    let mut words = text.split(' ');
    let addresses: fn(&str) -> Option<IpAddr> = match words.next() {
        Some("TCP4") => |word| word.parse().ok().map(IpAddr::V4),
        Some("TCP6") => |word| word.parse().ok().map(IpAddr::V6),
        // The rest of the line is ignored, as the format asks.
        Some("UNKNOWN") => {
            return Ok(Verdict::Header {
                length,
                named: None,
            });
        }
        _ => return Err(Malformed::Family),
    };
    let named = (|| {
        let (source, destination) = (addresses(words.next()?)?, addresses(words.next()?)?);
        let (from, to) = (port(words.next()?)?, port(words.next()?)?);
        words.next().is_none().then_some(Named {
            source: SocketAddr::new(source, from),
            destination: SocketAddr::new(destination, to),
        })
    })();
    Ok(Verdict::Header {
        length,
        named: Some(named.ok_or(Malformed::Address)?),
    })
}

/// Digits and nothing else, and only as many as are needed.
fn port(word: &str) -> Option<u16> {
    let plain = word.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = word == "0" || !word.starts_with('0');
    (plain && canonical).then(|| word.parse().ok())?
}

/// Version 2: sixteen bytes, addresses, and fields of which none is needed here.
fn binary(bytes: &[u8]) -> Result<Verdict, Malformed> {
    let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED>() else {
        return Ok(Verdict::More);
    };
    let [.., command, family, high, low] = *fixed;
    let announced = usize::from(u16::from_be_bytes([high, low]));
    let length = FIXED + announced;
    let local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(Malformed::Version),
    };
    // All of this is known before the rest has come, and so is what is wrong with it.
    let (v4, needed) = match family {
        _ if local => (false, 0),
        0x00 => (false, 0),
        0x11 => (true, 12),
        0x21 => (false, 36),
        _ => return Err(Malformed::Family),
    };
    if length > LONGEST {
        return Err(Malformed::TooLong);
    }
    if announced < needed {
        return Err(Malformed::TooShort);
    }
    if rest.len() < announced {
        return Ok(Verdict::More);
    }
    let named = match needed {
        0 => None,
        _ if v4 => ends::<4>(rest),
        _ => ends::<16>(rest),
    };
    Ok(Verdict::Header { length, named })
}

/// Source and destination address of `N` bytes each, then both ports.
fn ends<const N: usize>(bytes: &[u8]) -> Option<Named>
where
    [u8; N]: Octets,
{
    let (source, rest) = bytes.split_first_chunk::<N>()?;
    let (destination, rest) = rest.split_first_chunk::<N>()?;
    let (from, rest) = rest.split_first_chunk::<2>()?;
    let (to, _) = rest.split_first_chunk::<2>()?;
    Some(Named {
        source: SocketAddr::new(source.address(), u16::from_be_bytes(*from)),
        destination: SocketAddr::new(destination.address(), u16::from_be_bytes(*to)),
    })
}

trait Octets {
    fn address(self) -> IpAddr;
}

impl Octets for [u8; 4] {
    fn address(self) -> IpAddr {
        Ipv4Addr::from(self).into()
    }
}

impl Octets for [u8; 16] {
    fn address(self) -> IpAddr {
        Ipv6Addr::from(self).into()
    }
}

#[cfg(test)]
mod tests;
