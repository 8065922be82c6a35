//! A channel layer as daphne 1.x and its workers have one: lists of a real Redis.
//!
//! Whoever serves visitors puts each request and each handshake into a list and waits for the answer
//! in a list of its own; workers take one after the other.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

/// Messages that a list holds, as OpenSlides has it.
const CAPACITY: u64 = 1_000;
/// What workers take, the first first.
const QUEUES: [&str; 2] = ["http.request", "websocket.connect"];

/// A connection to Redis (its protocol, version 2).
#[derive(Debug)]
pub struct Redis(BufStream<TcpStream>);

impl Redis {
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        Ok(Self(BufStream::new(TcpStream::connect(address).await?)))
    }

    /// Says something; the texts of the answer, none where it is nothing.
    pub async fn call(&mut self, words: &[&str]) -> io::Result<Vec<String>> {
        let mut said = format!("*{}\r\n", words.len());
        for word in words {
            said.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.0.write_all(said.as_bytes()).await?;
        self.0.flush().await?;
        let first = self.line().await?;
        match first.split_at(1) {
            ("*", count) => {
                let mut texts = Vec::new();
                for _ in 0..count.parse().unwrap_or(0) {
                    let length = self.line().await?;
                    texts.extend(self.text(&length).await?);
                }
                Ok(texts)
            }
            ("$", _) => Ok(self.text(&first).await?.into_iter().collect()),
            ("-", error) => Err(io::Error::other(error.to_owned())),
            (_, text) => Ok(vec![text.to_owned()]),
        }
    }

    async fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line).await? < 3 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }

    async fn text(&mut self, length: &str) -> io::Result<Option<String>> {
        let Ok(length) = length.trim_start_matches('$').parse::<usize>() else {
            return Ok(None);
        };
        let mut bytes = vec![0; length + 2];
        self.0.read_exact(&mut bytes).await?;
        bytes.truncate(length);
        Ok(String::from_utf8(bytes).ok())
    }
}

/// The side of whoever serves visitors.
#[derive(Debug)]
pub struct Channel(mpsc::Sender<Asked>);

/// What a worker is to answer.
#[derive(Debug)]
struct Asked {
    queue: &'static str,
    /// True once a worker has answered, false where the list is full.
    answer: oneshot::Sender<bool>,
}

type Waiting = Arc<Mutex<HashMap<String, oneshot::Sender<bool>>>>;

impl Channel {
    /// With answers in a list of this name.
    pub async fn open(address: SocketAddr, name: String) -> io::Result<Arc<Self>> {
        let redis = Redis::connect(address).await?;
        let answers = Redis::connect(address).await?;
        let (asks, asked) = mpsc::channel(1024);
        let waiting = Waiting::default();
        tokio::spawn(listen(answers, name.clone(), Arc::clone(&waiting)));
        tokio::spawn(send(redis, name, asked, waiting));
        Ok(Arc::new(Self(asks)))
    }

    /// Has a worker answer; false where the list is full.
    pub async fn ask(&self, handshake: bool) -> io::Result<bool> {
        let queue = QUEUES[usize::from(handshake)];
        let (answer, answered) = oneshot::channel();
        let asked = Asked { queue, answer };
        self.0.send(asked).await.map_err(io::Error::other)?;
        answered.await.map_err(io::Error::other)
    }
}

/// Puts what is asked into the lists, until Redis goes.
async fn send(
    mut redis: Redis,
    name: String,
    mut asked: mpsc::Receiver<Asked>,
    waiting: Waiting,
) -> io::Result<()> {
    let mut number = 0_u64;
    while let Some(Asked { queue, answer }) = asked.recv().await {
        let length = redis.call(&["LLEN", queue]).await?;
        if length.first().and_then(|length| length.parse().ok()) >= Some(CAPACITY) {
            let _ = answer.send(false);
            continue;
        }
        number += 1;
        let number = number.to_string();
        waiting.lock().expect("lock").insert(number.clone(), answer);
        let message = format!("{name} {number}");
        redis.call(&["RPUSH", queue, &message]).await?;
    }
    Ok(())
}

/// Hands answers to those who wait for them, until Redis goes.
async fn listen(mut redis: Redis, name: String, waiting: Waiting) -> io::Result<()> {
    loop {
        let told = redis.call(&["BLPOP", &name, "0"]).await?;
        let number = told.into_iter().nth(1).unwrap_or_default();
        let answer = waiting.lock().expect("lock").remove(&number);
        if let Some(answer) = answer {
            let _ = answer.send(true);
        }
    }
}

/// A worker: one message after the other, each for this long, until `leaves` says so between two.
pub async fn work(
    address: SocketAddr,
    each: Duration,
    leaves: impl Fn() -> bool,
) -> io::Result<()> {
    let mut redis = Redis::connect(address).await?;
    while !leaves() {
        let taken = redis.call(&["BLPOP", QUEUES[0], QUEUES[1], "1"]).await?;
        let Some((list, number)) = taken.get(1).and_then(|message| message.split_once(' ')) else {
            continue;
        };
        sleep(each).await;
        redis.call(&["RPUSH", list, number]).await?;
    }
    Ok(())
}
