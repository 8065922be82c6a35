//! A client of HTTP/2 that writes its frames by hand, lawful or not (RFC 9113 §4, RFC 7541 §6).

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::client::{Front, tls};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

pub type Field = (Vec<u8>, Vec<u8>);

pub struct RawH2 {
    stream: TlsStream<TcpStream>,
    inbox: Vec<u8>,
    streams: HashMap<u32, Outcome>,
    /// Why the other side ended the connection.
    pub goaway: Option<u32>,
}

/// What has become of a stream.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Outcome {
    pub status: Option<u16>,
    pub body: Vec<u8>,
    pub reset: Option<u32>,
    pub ended: bool,
}

impl RawH2 {
    pub async fn connect(edge: &dyn Front, name: &str) -> io::Result<Self> {
        let mut stream = tls(edge, name, &["h2"]).await?;
        stream.get_ref().0.set_nodelay(true)?;
        // Without a dynamic table every answer can be read by itself.
        let settings = [0, 1, 0, 0, 0, 0];
        stream.write_all(PREFACE).await?;
        stream.write_all(&frame(SETTINGS, 0, 0, &settings)).await?;
        Ok(Self {
            stream,
            inbox: Vec::new(),
            streams: HashMap::new(),
            goaway: None,
        })
    }

    /// A header block of these fields, none of them compressed.
    pub async fn headers(&mut self, id: u32, fields: &[Field], end: bool) {
        let mut block = Vec::new();
        for (name, value) in fields {
            block.push(0);
            for text in [name, value] {
                push_length(&mut block, text.len());
                block.extend_from_slice(text);
            }
        }
        let flags = END_HEADERS | if end { END_STREAM } else { 0 };
        self.send(&frame(HEADERS, flags, id, &block)).await;
    }

    pub async fn data(&mut self, id: u32, bytes: &[u8], end: bool) {
        let flags = if end { END_STREAM } else { 0 };
        self.send(&frame(DATA, flags, id, bytes)).await;
    }

    async fn send(&mut self, bytes: &[u8]) {
        // The other side may have ended it.
        let _ = self.stream.write_all(bytes).await;
        let _ = self.stream.flush().await;
    }

    /// Reads until this stream has ended, or nothing more comes.
    pub async fn outcome(&mut self, id: u32, patience: Duration) -> Outcome {
        let read = async {
            loop {
                while self.take_frame().await {}
                let outcome = self.streams.entry(id).or_default();
                if outcome.ended || outcome.reset.is_some() {
                    return;
                }
                if !matches!(self.stream.read_buf(&mut self.inbox).await, Ok(1..)) {
                    return;
                }
            }
        };
        let _ = timeout(patience, read).await;
        self.streams.get(&id).cloned().unwrap_or_default()
    }

    /// Takes one frame from the inbox, if it is whole.
    async fn take_frame(&mut self) -> bool {
        let Some(&[a, b, c, kind, flags, d, e, f, g]) = self.inbox.first_chunk() else {
            return false;
        };
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        if self.inbox.len() < 9 + length {
            return false;
        }
        let id = u32::from_be_bytes([d & 0x7f, e, f, g]);
        let payload = self.inbox[9..9 + length].to_vec();
        self.inbox.drain(..9 + length);
        let number = |at: usize| {
            let bytes = payload
                .get(at..at + 4)
                .and_then(|bytes| bytes.try_into().ok());
            bytes.map(u32::from_be_bytes)
        };
        match kind {
            SETTINGS | PING if flags & ACK == 0 => {
                let echo = if kind == PING { &payload[..] } else { &[] };
                self.send(&frame(kind, ACK, 0, echo)).await;
            }
            GOAWAY => self.goaway = number(4),
            HEADERS | DATA | RST_STREAM => {
                let outcome = self.streams.entry(id).or_default();
                match kind {
                    HEADERS => {
                        let status = status(&payload);
                        if status.is_some_and(|status| status >= 200) {
                            outcome.status = status;
                        }
                    }
                    DATA => outcome.body.extend_from_slice(&payload),
                    _ => outcome.reset = number(0),
                }
                outcome.ended |= kind != RST_STREAM && flags & END_STREAM != 0;
            }
            _ => {}
        }
        true
    }
}

pub fn frame(kind: u8, flags: u8, id: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload");
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(id.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// An integer with a prefix of seven bits, Huffman bit unset (RFC 7541 §5.1).
fn push_length(block: &mut Vec<u8>, length: usize) {
    let byte = |value: usize| u8::try_from(value).expect("a byte");
    if length < 127 {
        block.push(byte(length));
        return;
    }
    block.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        block.push(byte(rest % 128 + 128));
        rest /= 128;
    }
    block.push(byte(rest));
}

/// `:status`, which comes first (RFC 9113 §8.3); the rest of the block is nobody's business here.
fn status(mut block: &[u8]) -> Option<u16> {
    const INDEXED: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    // Updates of the table's size come before everything (RFC 7541 §4.2).
    while let [0x20..=0x3f, rest @ ..] = block {
        block = rest;
    }
    match block {
        [first @ 0x88..=0x8e, ..] => INDEXED.get(usize::from(first - 0x88)).copied(),
        // A literal with the name of entry 8.
        [0x48 | 0x18 | 0x08, length, text @ ..] => {
            let text = text.get(..usize::from(length & 0x7f))?;
            if length & 0x80 == 0 {
                return std::str::from_utf8(text).ok()?.parse().ok();
            }
            digits(text)
        }
        _ => None,
    }
}

/// Three digits in Huffman's code: 0 to 2 have five bits, the others six (RFC 7541 appendix B).
fn digits(coded: &[u8]) -> Option<u16> {
    let bits: String = coded.iter().map(|byte| format!("{byte:08b}")).collect();
    let mut rest = bits.as_str();
    let mut number = 0;
    for _ in 0..3 {
        let five = u16::from_str_radix(rest.get(..5)?, 2).ok()?;
        let (digit, length) = match five {
            0..=2 => (five, 5),
            _ => (u16::from_str_radix(rest.get(..6)?, 2).ok()? - 0x19 + 3, 6),
        };
        number = number * 10 + digit;
        rest = &rest[length..];
    }
    Some(number)
}
