//! An HTTP/2 client that sends what no client should: frames and header blocks written by hand.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_rustls::client::TlsStream;

use super::client::{Front, tls};
use super::eventually;
use super::h2wire::{
    ACK, GOAWAY, HEADERS, PREFACE, RST_STREAM, SETTINGS, frame, push_text, status,
};

/// Settings by their numbers (RFC 9113 §6.5.2).
pub const HEADER_TABLE_SIZE: u16 = 0x1;
pub const MAX_CONCURRENT_STREAMS: u16 = 0x3;
pub const INITIAL_WINDOW_SIZE: u16 = 0x4;
pub const MAX_HEADER_LIST_SIZE: u16 = 0x6;

/// A frame as it came.
#[derive(Clone, Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// How a connection was ended by the other side.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// The reason of the last GOAWAY.
    pub goaway: Option<u32>,
    pub after: Duration,
}

pub struct Raw {
    writer: WriteHalf<TlsStream<TcpStream>>,
    seen: Arc<Mutex<Vec<Frame>>>,
    reader: JoinHandle<()>,
}

impl Raw {
    /// Connects, sends these settings, and reads whatever comes from then on.
    pub async fn connect(edge: &dyn Front, host: &str, settings: &[(u16, u32)]) -> Self {
        let stream = tls(edge, host, &["h2"]).await.expect("TLS");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (reader, writer) = split(stream);
        let seen = Arc::default();
        let reader = tokio::spawn(read(reader, Arc::clone(&seen)));
        let mut raw = Self {
            writer,
            seen,
            reader,
        };
        let mut payload = Vec::new();
        for (id, value) in settings {
            payload.extend(id.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        let first = [PREFACE, &frame(SETTINGS, 0, 0, &payload)].concat();
        assert!(raw.send(&first).await);
        raw
    }

    /// Whether the other side took it.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        self.writer.write_all(bytes).await.is_ok() && self.writer.flush().await.is_ok()
    }

    pub fn frames(&self) -> Vec<Frame> {
        self.seen.lock().expect("lock").clone()
    }

    /// The value of a setting of the other side.
    pub async fn setting(&self, id: u16) -> u32 {
        let settings = self.first("SETTINGS", |frame| {
            frame.kind == SETTINGS && frame.flags & ACK == 0
        });
        let payload = settings.await.payload;
        let pair = payload.chunks(6).find(|pair| pair[..2] == id.to_be_bytes());
        number(&pair.expect("the setting")[2..])
    }

    /// The status of the answer on a stream.
    pub async fn status(&self, stream: u32) -> u16 {
        let head = self.first("an answer", |frame| {
            frame.kind == HEADERS && frame.stream == stream
        });
        let block = head.await.payload;
        status(&block).unwrap_or_else(|| panic!("no status in {block:?}"))
    }

    /// The code with which a stream was reset.
    pub async fn reset(&self, stream: u32) -> u32 {
        let reset = self.first("a reset", |frame| {
            frame.kind == RST_STREAM && frame.stream == stream
        });
        number(&reset.await.payload)
    }

    async fn first(&self, what: &str, is: impl Fn(&Frame) -> bool) -> Frame {
        eventually(what, async || {
            let frames = self.frames();
            let found = frames.iter().find(|frame| is(frame)).cloned();
            found.ok_or(frames)
        })
        .await
    }

    /// Waits until the other side has closed the connection.
    pub async fn ended(&mut self, within: Duration) -> Option<Ended> {
        let began = Instant::now();
        timeout(within, &mut self.reader).await.ok()?.expect("read");
        let frames = self.frames();
        let goaway = frames.iter().rfind(|frame| frame.kind == GOAWAY);
        Some(Ended {
            goaway: goaway.map(|frame| number(&frame.payload[4..8])),
            after: began.elapsed(),
        })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn read(mut stream: ReadHalf<TlsStream<TcpStream>>, seen: Arc<Mutex<Vec<Frame>>>) {
    loop {
        let mut head = [0; 9];
        if stream.read_exact(&mut head).await.is_err() {
            return;
        }
        let length = usize::try_from(number(&head[..3])).expect("24 bits");
        let mut payload = vec![0; length];
        if stream.read_exact(&mut payload).await.is_err() {
            return;
        }
        let frame = Frame {
            kind: head[3],
            flags: head[4],
            stream: number(&head[5..]),
            payload,
        };
        seen.lock().expect("lock").push(frame);
    }
}

fn number(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .take(4)
        .fold(0, |all, byte| all << 8 | u32::from(*byte))
}

/// The pseudo fields of a request.
pub fn block(method: &str, host: &str, path: &str) -> Vec<u8> {
    let mut block = vec![0x87];
    for (index, value) in [(0x02, method), (0x01, host), (0x04, path)] {
        // A literal without indexing, its name from the static table (RFC 7541 §6.2.2).
        block.push(index);
        push_text(&mut block, value.as_bytes());
    }
    block
}

/// A field that takes the first place of the dynamic table, where [`AGAIN`] finds it.
pub fn indexed(name: &str, value: &str) -> Vec<u8> {
    let mut field = vec![0x40];
    for text in [name, value] {
        push_text(&mut field, text.as_bytes());
    }
    field
}

/// The newest entry of the dynamic table, in one byte.
pub const AGAIN: u8 = 0x80 | 62;
