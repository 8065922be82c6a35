//! A replica that believes nothing: it reads with the strict parser of [`wire`], writes down what
//! came over which connection, and answers whatever a test tells it to, well-formed or not.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::wire::{self, Message, Read};

/// What a replica answers to a request.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Written one after the other, with a pause between two.
    pub parts: Vec<Vec<u8>>,
    /// Answers as soon as the head is there, and reads the body afterwards.
    pub early: bool,
    /// Listens for so long before it answers, to hear what comes too early.
    pub after: Duration,
    pub then: Then,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Then {
    Keep,
    Close,
    /// What comes afterwards is no HTTP: it is only written down.
    Raw,
}

impl Reply {
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            parts: vec![bytes.into()],
            early: false,
            after: Duration::ZERO,
            then: Then::Keep,
        }
    }

    pub fn text(body: &str) -> Self {
        let length = body.len();
        Self::bytes(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
    }

    pub fn then(self, then: Then) -> Self {
        Self { then, ..self }
    }
}

/// A whole request that came.
#[derive(Clone, Debug)]
pub struct Recorded {
    pub connection: usize,
    pub message: Message,
}

/// Everything that came.
#[derive(Debug, Default)]
pub struct Seen {
    pub requests: Mutex<Vec<Recorded>>,
    /// What no strict reader accepts, with the bytes.
    pub broken: Mutex<Vec<String>>,
    /// Requests that ended before they were whole.
    pub cut: Mutex<Vec<String>>,
    /// Bytes that came behind a request before its answer was begun.
    pub early: Mutex<Vec<u8>>,
    /// Bytes that came behind an answer after which no HTTP is spoken.
    pub raw: Mutex<Vec<u8>>,
    /// Connections that were ended, by whoever.
    ended: Mutex<HashSet<usize>>,
    connections: Mutex<usize>,
}

type Script = dyn Fn(&Message) -> Reply + Send + Sync;

/// A replica in this process, until it is dropped.
#[derive(Debug)]
pub struct Recorder {
    pub address: SocketAddr,
    pub seen: Arc<Seen>,
    _task: JoinSet<()>,
}

impl Recorder {
    pub async fn start(script: impl Fn(&Message) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("address");
        let seen: Arc<Seen> = Arc::default();
        let mut task = JoinSet::new();
        task.spawn(serve(listener, Arc::new(script), Arc::clone(&seen)));
        Self {
            address,
            seen,
            _task: task,
        }
    }

    /// Tells every request its own target.
    pub async fn telling() -> Self {
        Self::start(|message| {
            let mut reply = Reply::text(&format!("you asked for {}", message.target()));
            reply.early = message.target().starts_with("/early");
            if message.method() == "HEAD" {
                let head = wire::find(&reply.parts[0], b"\r\n\r\n").expect("a head");
                reply.parts[0].truncate(head + 4);
            }
            reply
        })
        .await
    }

    pub fn requests(&self) -> Vec<Recorded> {
        self.seen.requests.lock().expect("lock").clone()
    }

    /// The targets of all requests.
    pub fn targets(&self) -> Vec<String> {
        let requests = self.seen.requests.lock().expect("lock");
        requests
            .iter()
            .map(|recorded| recorded.message.target().to_owned())
            .collect()
    }

    /// Whether a connection has ended.
    pub fn has_ended(&self, connection: usize) -> bool {
        self.seen.ended.lock().expect("lock").contains(&connection)
    }

    /// What was no request at all.
    pub fn broken(&self) -> Vec<String> {
        self.seen.broken.lock().expect("lock").clone()
    }
}

async fn serve(listener: TcpListener, script: Arc<Script>, seen: Arc<Seen>) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = open.join_next() => {}
            accepted = listener.accept() => {
                let Ok((tcp, _)) = accepted else { continue };
                let _ = tcp.set_nodelay(true);
                let id = {
                    let mut connections = seen.connections.lock().expect("lock");
                    *connections += 1;
                    *connections
                };
                let (script, seen) = (Arc::clone(&script), Arc::clone(&seen));
                open.spawn(async move {
                    converse(tcp, id, script, Arc::clone(&seen)).await;
                    seen.ended.lock().expect("lock").insert(id);
                });
            }
        }
    }
}

async fn converse(mut tcp: TcpStream, id: usize, script: Arc<Script>, seen: Arc<Seen>) {
    let mut bytes = Vec::new();
    loop {
        let mut answered = None;
        let message = loop {
            match wire::request(&bytes) {
                Read::Whole(message) => break message,
                Read::Broken(why) => {
                    let text = bytes.escape_ascii();
                    let told = format!("{why}: {text}");
                    seen.broken.lock().expect("lock").push(told);
                    return;
                }
                Read::More => {}
            }
            if let (None, Some(head)) = (&answered, wire::request_head(&bytes)) {
                let reply = script(&head);
                if reply.early {
                    write(&mut tcp, &reply).await;
                    answered = Some(reply);
                }
            }
            if !matches!(tcp.read_buf(&mut bytes).await, Ok(1..)) {
                if !bytes.is_empty() {
                    let text = bytes.escape_ascii().to_string();
                    seen.cut.lock().expect("lock").push(text);
                }
                return;
            }
        };
        bytes.drain(..message.length);
        let reply = answered.clone().unwrap_or_else(|| script(&message));
        let listens = async { while matches!(tcp.read_buf(&mut bytes).await, Ok(1..)) {} };
        if !reply.after.is_zero() && timeout(reply.after, listens).await.is_err() {
            seen.early.lock().expect("lock").extend_from_slice(&bytes);
        }
        // Written down before it is answered: whoever has the answer finds it here.
        let recorded = Recorded {
            connection: id,
            message,
        };
        seen.requests.lock().expect("lock").push(recorded);
        if answered.is_none() {
            write(&mut tcp, &reply).await;
        }
        match reply.then {
            Then::Keep => {}
            Then::Close => {
                let _ = tcp.shutdown().await;
                return;
            }
            Then::Raw => {
                while matches!(tcp.read_buf(&mut bytes).await, Ok(1..)) {}
                seen.raw.lock().expect("lock").extend_from_slice(&bytes);
                return;
            }
        }
    }
}

async fn write(tcp: &mut TcpStream, reply: &Reply) {
    for (index, part) in reply.parts.iter().enumerate() {
        if index > 0 {
            sleep(Duration::from_millis(20)).await;
        }
        // Who is hung up on has been answered as far as it wanted.
        let _ = tcp.write_all(part).await;
    }
}
