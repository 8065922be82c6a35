//! One line per request, two per websocket, as JSON or text.
//!
//! Lines are gathered in memory and written by a thread of their own; when that thread cannot keep
//! up, lines are dropped and counted. A request never waits for a disk.

use std::io::Write;
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use serde::Serialize;

mod combined;
mod nginx_proxy;

use crate::config::model::{AccessFormat, AccessKeys, Addresses, Log, LogFormat};
use crate::moment::text;

/// More than this many bytes do not wait to be written.
const LARGEST_BACKLOG: usize = 4 << 20;
/// Lines are gathered for this long before they are written together.
const GATHER: Duration = Duration::from_millis(50);

/// Writes the access log.
#[derive(Debug)]
pub struct AccessLog {
    shared: Arc<Shared>,
    enabled: bool,
    format: LogFormat,
    addresses: Addresses,
    queries: bool,
    keys: AccessKeys,
    lines: AccessFormat,
    writer: Option<thread::JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    pending: Mutex<Pending>,
    wake: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Pending {
    lines: Vec<u8>,
    closed: bool,
}

/// One line. What is `None` is left out.
#[derive(Debug, Serialize)]
pub(super) struct Line<'a> {
    pub(super) time: &'a str,
    pub(super) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) instance: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) replica: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) host: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) path: Option<&'a str>,
    /// Written only where the operator wants it: attendees' tokens travel there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) query: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) protocol: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) duration_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bytes_in: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bytes_out: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<&'static str>,
    /// The word of back-pressure that the replica said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) signal: Option<&'static str>,
    /// The id that the replica was given as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trace: Option<&'a str>,
    // What only the keys of nginx-proxy tell.
    #[serde(skip)]
    pub(super) peer: Option<IpAddr>,
    #[serde(skip)]
    pub(super) forwarded_for: Option<&'a str>,
    #[serde(skip)]
    pub(super) referrer: Option<&'a str>,
    #[serde(skip)]
    pub(super) agent: Option<&'a str>,
    #[serde(skip)]
    pub(super) upstream: Option<SocketAddr>,
    /// From when the replica was asked.
    #[serde(skip)]
    pub(super) upstream_ms: Option<u64>,
}

impl Line<'_> {
    pub(super) const EMPTY: Self = Self {
        time: "",
        kind: "request",
        instance: None,
        replica: None,
        client: None,
        host: None,
        method: None,
        path: None,
        query: None,
        protocol: None,
        status: None,
        duration_ms: None,
        bytes_in: None,
        bytes_out: None,
        reason: None,
        signal: None,
        trace: None,
        peer: None,
        forwarded_for: None,
        referrer: None,
        agent: None,
        upstream: None,
        upstream_ms: None,
    };
}

impl AccessLog {
    /// Writes to `output` from a thread of its own.
    pub fn new(log: &Log, output: impl Write + Send + 'static) -> Self {
        let shared = Arc::new(Shared::default());
        let writer = log.access.then(|| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.write_to(output))
        });
        Self {
            shared,
            enabled: log.access,
            format: log.format,
            addresses: log.addresses,
            queries: log.queries,
            keys: log.access_keys,
            lines: log.access_format,
            writer,
        }
    }

    /// Lines that were dropped since the start.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// What may be shown of a client's address.
    pub(super) fn shown(&self, client: IpAddr) -> Option<IpAddr> {
        self.addresses.shown(client)
    }

    /// What may be shown of a query.
    pub(super) fn shown_query<'a>(&self, query: Option<&'a str>) -> Option<&'a str> {
        query.filter(|_| self.queries)
    }

    pub(super) fn write(&self, wall: SystemTime, line: &Line<'_>) {
        let combined = self.lines == AccessFormat::Combined;
        let as_nginx_proxy = combined || self.keys == AccessKeys::NginxProxy;
        if !self.enabled || (as_nginx_proxy && !nginx_proxy::tells(line)) {
            return;
        }
        let time = text(wall);
        let line = Line {
            time: &time,
            client: line.client.and_then(|client| self.addresses.shown(client)),
            ..*line
        };
        let mut bytes = Vec::with_capacity(256);
        let written = match self.format {
            _ if combined => {
                combined::write(&mut bytes, wall, &line, self.addresses, self.queries).is_ok()
            }
            _ if as_nginx_proxy => {
                nginx_proxy::write(&mut bytes, &line, self.addresses, self.queries).is_ok()
            }
            // JSON escapes whatever a client put into its path, line breaks included.
            LogFormat::Json => serde_json::to_writer(&mut bytes, &line).is_ok(),
            LogFormat::Text => write_text(&mut bytes, &line).is_ok(),
        };
        if !written {
            return;
        }
        bytes.push(b'\n');
        let mut pending = self.shared.lock();
        if pending.lines.len() + bytes.len() > LARGEST_BACKLOG {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let was_empty = pending.lines.is_empty();
        pending.lines.extend_from_slice(&bytes);
        drop(pending);
        if was_empty {
            self.shared.wake.notify_one();
        }
    }
}

/// What may be shown of where a client comes from.
fn without_query(referrer: Option<&str>, queries: bool) -> Option<&str> {
    match queries {
        true => referrer,
        false => referrer.map(|referrer| referrer.split('?').next().unwrap_or_default()),
    }
}

fn write_text(out: &mut Vec<u8>, line: &Line<'_>) -> std::io::Result<()> {
    let or_dash = |text: Option<&str>| text.unwrap_or("-").escape_debug().to_string();
    let client = line
        .client
        .map_or_else(|| "-".to_owned(), |ip| ip.to_string());
    let (question, query) = match line.query {
        Some(query) => ("?", query.escape_debug().to_string()),
        None => ("", String::new()),
    };
    write!(
        out,
        "{} {} {client} {} \"{} {}{question}{query}\" {} {}ms {} {} {}",
        line.time,
        line.kind,
        or_dash(line.host),
        or_dash(line.method),
        or_dash(line.path),
        line.status.unwrap_or_default(),
        line.duration_ms.unwrap_or_default(),
        or_dash(line.replica),
        line.signal.or(line.reason).unwrap_or("-"),
        line.trace.unwrap_or("-"),
    )
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        // Bytes of whole lines: good after every operation, whoever panicked in between.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_to(&self, mut output: impl Write) {
        loop {
            let mut pending = self.lock();
            while pending.lines.is_empty() && !pending.closed {
                pending = self
                    .wake
                    .wait(pending)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            let closed = pending.closed;
            if !closed {
                drop(pending);
                thread::sleep(GATHER);
                pending = self.lock();
            }
            let lines = mem::take(&mut pending.lines);
            drop(pending);
            // Nowhere to complain to: a closed pipe must not end the service.
            let _ = output.write_all(&lines).and_then(|()| output.flush());
            if closed {
                return;
            }
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.wake.notify_one();
        if let Some(writer) = self.writer.take() {
            // What is pending is written; a writer that hangs would be the disk's fault.
            let _ = writer.join();
        }
    }
}
