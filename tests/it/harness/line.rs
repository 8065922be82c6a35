//! A client connection whose answers are read by the strict parser.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::client::{Duplex, Front, tls};
use super::wire::{self, Context, Message, Read};

/// No exchange here takes longer.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// How bytes leave: a reader must not depend on how they arrive.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pace {
    AtOnce,
    /// A pause behind every CR LF.
    ByLine,
    ByByte,
}

impl Pace {
    pub const ALL: [Self; 3] = [Self::AtOnce, Self::ByLine, Self::ByByte];
}

/// What a client hears next.
#[derive(Debug)]
pub enum Heard {
    Answer(Message),
    /// The end, and what came before it that is no whole answer.
    End(Vec<u8>),
    /// Not what a strict client accepts.
    Broken(String),
    /// Nothing more in time, and what came until then.
    Silence(Vec<u8>),
}

impl Heard {
    /// The status of an answer; zero for the end.
    pub fn status(&self) -> u16 {
        match self {
            Self::Answer(answer) => answer.status(),
            Self::End(_) | Self::Broken(_) | Self::Silence(_) => 0,
        }
    }
}

pub struct Line {
    reader: ReadHalf<Box<dyn Duplex>>,
    writer: WriteHalf<Box<dyn Duplex>>,
    bytes: Vec<u8>,
    /// Everything that ever came.
    pub heard: Vec<u8>,
}

impl Line {
    pub async fn plain(edge: &dyn Front) -> io::Result<Self> {
        let tcp = TcpStream::connect(edge.http()).await?;
        tcp.set_nodelay(true)?;
        Ok(Self::over(Box::new(tcp)))
    }

    pub async fn secure(edge: &dyn Front, name: &str) -> io::Result<Self> {
        let stream = tls(edge, name, &["http/1.1"]).await?;
        stream.get_ref().0.set_nodelay(true)?;
        Ok(Self::over(Box::new(stream)))
    }

    fn over(stream: Box<dyn Duplex>) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self {
            reader,
            writer,
            bytes: Vec::new(),
            heard: Vec::new(),
        }
    }

    /// Sends at a pace while it listens for the first answer: who is refused on the way is told on
    /// the way.
    pub async fn ask(&mut self, bytes: &[u8], pace: Pace) -> Heard {
        let Self {
            reader,
            writer,
            bytes: inbox,
            heard,
        } = self;
        let method_is_head = bytes.starts_with(b"HEAD ");
        let (_, heard) = tokio::join!(
            send(writer, bytes, pace),
            hear(reader, inbox, heard, method_is_head)
        );
        heard
    }

    /// The next answer, interim ones left out.
    pub async fn hear(&mut self) -> Heard {
        hear(&mut self.reader, &mut self.bytes, &mut self.heard, false).await
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        // The other side may have ended it.
        let _ = send(&mut self.writer, bytes, Pace::AtOnce).await;
    }

    /// Says that nothing more will be sent.
    pub async fn finish(&mut self) {
        let _ = self.writer.shutdown().await;
    }
}

async fn send(writer: &mut WriteHalf<Box<dyn Duplex>>, bytes: &[u8], pace: Pace) -> io::Result<()> {
    match pace {
        Pace::AtOnce => {
            writer.write_all(bytes).await?;
            writer.flush().await?;
        }
        Pace::ByLine => {
            let mut rest = bytes;
            while !rest.is_empty() {
                let end = wire::find(rest, b"\r\n").map_or(rest.len(), |at| at + 2);
                writer.write_all(&rest[..end]).await?;
                writer.flush().await?;
                rest = &rest[end..];
                sleep(Duration::from_millis(1)).await;
            }
        }
        Pace::ByByte => {
            for byte in bytes {
                writer.write_all(&[*byte]).await?;
                writer.flush().await?;
                tokio::task::yield_now().await;
            }
        }
    }
    Ok(())
}

async fn hear(
    reader: &mut ReadHalf<Box<dyn Duplex>>,
    bytes: &mut Vec<u8>,
    heard: &mut Vec<u8>,
    to_head: bool,
) -> Heard {
    let mut ended = false;
    let read = async {
        loop {
            match wire::response(bytes, Context { to_head, ended }) {
                Read::Whole(answer) => {
                    bytes.drain(..answer.length);
                    if matches!(answer.status(), 100..=199) && answer.status() != 101 {
                        continue;
                    }
                    return Heard::Answer(answer);
                }
                Read::Broken(why) => {
                    return Heard::Broken(format!("{why}: {}", bytes.escape_ascii()));
                }
                Read::More if ended => return Heard::End(std::mem::take(bytes)),
                Read::More => {}
            }
            let before = bytes.len();
            // A reset is an end as well.
            ended = !matches!(reader.read_buf(bytes).await, Ok(1..));
            heard.extend_from_slice(&bytes[before..]);
        }
    };
    match timeout(PATIENCE, read).await {
        Ok(heard) => heard,
        Err(_) => Heard::Silence(bytes.clone()),
    }
}
