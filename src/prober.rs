//! Asks replicas whether they are ready. Nothing else in usher decides that.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::names::{InstanceName, ReplicaId, ServiceName};
use crate::plan::UpstreamTls;
use crate::sealed::{Sealer, Wire};
use crate::shared::Map;
use crate::shutdown::Shutdown;

/// A whole probe, connecting included.
const PROBE_WITHIN: Duration = Duration::from_secs(5);
/// While a replica answers.
const EVERY: Duration = Duration::from_secs(5);
/// While it does not: quickly at first.
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(1);
/// And never later than this until a newcomer has answered for the first time: people wait for it.
const NEWCOMER_RETRY: Duration = Duration::from_millis(200);
/// So often; what has not come up in a minute is not awaited any more.
const NEWCOMER_TRIES: u32 = 300;
/// Heads of answers are not longer; a body is not read.
const LONGEST_HEAD: usize = 16 * 1024;

/// Who is asked, and for whom: the same container may be a replica to two instances.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Subject {
    pub instance: InstanceName,
    pub service: ServiceName,
    pub replica: ReplicaId,
}

/// One replica to ask, and how.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Target {
    pub subject: Subject,
    pub address: SocketAddr,
    /// What comes before the question.
    pub tls: Option<UpstreamTls>,
    pub question: Question,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Question {
    /// Is there an answer below 500 to a GET?
    Http { host: String, path: String },
    /// Is a connection accepted?
    Tcp,
}

/// Everybody who is asked, by the instances they are for. A list is the same value while it says the
/// same.
pub type Targets = Map<InstanceName, [Target]>;

/// What one probe found.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub subject: Subject,
    /// The error completes the sentence "its probe fails: …".
    pub result: Result<(), String>,
}

/// Probes the newest set of targets until shutdown, each at its own pace.
pub async fn run(
    mut targets: watch::Receiver<Arc<Targets>>,
    outcomes: mpsc::Sender<Outcome>,
    mut shutdown: Shutdown,
) {
    let mut running: HashMap<Subject, AbortHandle> = HashMap::new();
    let mut set = JoinSet::new();
    let sealer = Arc::new(Sealer::default());
    let mut before = Arc::<Targets>::default();
    loop {
        let wanted = Arc::clone(&targets.borrow_and_update());
        for found in before.differences(&wanted) {
            let [old, new] = [found.before, found.now].map(|one| one.map_or(&[][..], |all| all));
            for target in old.iter().filter(|one| !new.contains(one)) {
                if let Some(task) = running.remove(&target.subject) {
                    task.abort();
                }
            }
            for target in new.iter().filter(|one| !old.contains(one)) {
                let task = set.spawn(probe_for_ever(
                    target.clone(),
                    Arc::clone(&sealer),
                    outcomes.clone(),
                ));
                if let Some(other) = running.insert(target.subject.clone(), task) {
                    other.abort();
                }
            }
        }
        before = wanted;
        loop {
            tokio::select! {
                biased;
                () = shutdown.begun() => return,
                changed = targets.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return,
                },
                Some(_) = set.join_next() => {}
            }
        }
    }
}

async fn probe_for_ever(target: Target, sealer: Arc<Sealer>, outcomes: mpsc::Sender<Outcome>) {
    let mut retry = FIRST_RETRY;
    let mut newcomer = NEWCOMER_TRIES;
    loop {
        let result = match timeout(PROBE_WITHIN, ask(&target, &sealer)).await {
            Ok(result) => result,
            Err(_) => Err(format!("no answer within {} s", PROBE_WITHIN.as_secs())),
        };
        let pause = if result.is_ok() {
            retry = FIRST_RETRY;
            newcomer = 0;
            EVERY
        } else {
            let pause = retry;
            let most = if newcomer > 0 {
                NEWCOMER_RETRY
            } else {
                LAST_RETRY
            };
            newcomer = newcomer.saturating_sub(1);
            retry = (retry * 3 / 2).min(most);
            pause
        };
        let outcome = Outcome {
            subject: target.subject.clone(),
            result,
        };
        if outcomes.send(outcome).await.is_err() {
            return;
        }
        sleep(pause).await;
    }
}

async fn ask(target: &Target, sealer: &Sealer) -> Result<(), String> {
    let address = target.address;
    let tcp = TcpStream::connect(address)
        .await
        .map_err(|error| format!("cannot connect to {address}: {error}"))?;
    let mut stream = sealer
        .wire(tcp, target.tls.as_ref(), address)
        .await
        .map_err(|error| format!("no TLS with {address}: {error}"))?;
    match &target.question {
        Question::Tcp => Ok(()),
        Question::Http { host, path } => {
            let status = http_status(&mut stream, host, path)
                .await
                .map_err(|error| format!("GET {path} at {address}: {error}"))?;
            if status < 500 {
                Ok(())
            } else {
                Err(format!("GET {path} at {address} answers {status}"))
            }
        }
    }
}

async fn http_status(
    stream: &mut Wire,
    host: &str,
    path: &str,
) -> Result<u16, Box<dyn std::error::Error + Send + Sync>> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: usher-probe\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut head = Vec::with_capacity(1024);
    loop {
        if stream.read_buf(&mut head).await? == 0 {
            return Err("the connection was closed without an answer".into());
        }
        let mut fields = [httparse::EMPTY_HEADER; 100];
        let mut answer = httparse::Response::new(&mut fields);
        let complete = answer.parse(&head)?.is_complete();
        if let (true, Some(code)) = (complete, answer.code) {
            return Ok(code);
        }
        if head.len() > LONGEST_HEAD {
            return Err("the head of the answer is too long".into());
        }
    }
}

#[cfg(test)]
mod tests;
