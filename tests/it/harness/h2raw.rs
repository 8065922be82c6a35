//! A client of HTTP/2 that asks what no library would, and tells what became of each stream.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::client::{Front, tls};
use super::h2wire::{
    ACK, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS,
    frame, push_text, status,
};

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
                push_text(&mut block, text);
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
