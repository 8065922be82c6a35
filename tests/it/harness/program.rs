//! The binary itself, as an operator starts it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::eventually;

const PATIENCE: Duration = Duration::from_secs(40);

pub fn usher() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_usher"))
}

/// The origin as a program, which cargo builds beside the tests.
pub fn origin() -> PathBuf {
    let path = usher().with_file_name("examples").join("origin");
    assert!(
        path.exists(),
        "{} is missing: `cargo build --example origin`",
        path.display()
    );
    path
}

/// A program of what this part of `tests/setup` installs.
pub fn cached(part: &str, program: &str) -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").expect("HOME")).join(".cache");
    let folder = cache.unwrap_or_else(home).join("usher").join(part);
    let path = folder.join("bin").join(program);
    assert!(path.exists(), "{}: tests/setup {part}", path.display());
    path
}

/// A finished run.
#[derive(Debug)]
pub struct Finished {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// Runs usher to its end in this folder.
pub async fn run(folder: &Path, arguments: &[&str]) -> Finished {
    run_with(folder, arguments, &[]).await
}

/// As [`run`], with variables of the environment.
pub async fn run_with(folder: &Path, arguments: &[&str], variables: &[(&str, &OsStr)]) -> Finished {
    let output = command(usher(), folder, arguments)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output();
    let output = timeout(PATIENCE, output)
        .await
        .expect("an end in time")
        .expect("started");
    Finished {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn command(program: &Path, folder: &Path, arguments: &[impl AsRef<OsStr>]) -> Command {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(folder)
        .kill_on_drop(true);
    clean(&mut command);
    command
}

/// Without what the environment of the tests would have it do.
fn clean(command: &mut Command) {
    command
        .env_remove("DOCKER_HOST")
        .env_remove("NOTIFY_SOCKET")
        .env_remove("WATCHDOG_USEC")
        .env_remove("USHER_LOG")
        .env_remove("RUST_LOG");
}

/// A program that runs until it is told to stop, or dropped.
#[derive(Debug)]
pub struct Program {
    child: Child,
    out: Arc<Mutex<String>>,
    err: Arc<Mutex<String>>,
}

impl Program {
    /// usher with these arguments, in this folder.
    pub fn start(folder: &Path, arguments: &[&str]) -> Self {
        Self::spawn(command(usher(), folder, arguments))
    }

    /// As [`Program::start`], with variables of the environment.
    pub fn start_with(folder: &Path, arguments: &[&str], variables: &[(&str, &OsStr)]) -> Self {
        let mut command = command(usher(), folder, arguments);
        command.envs(variables.iter().copied());
        Self::spawn(command)
    }

    /// usher with system calls that fail or kill it, as `strace -e inject` says.
    ///
    /// What is traced is its own process alone, which stays the child of this one; the lines about
    /// what was injected go to `trace`.
    pub fn start_traced(
        folder: &Path,
        arguments: &[&str],
        inject: &[String],
        trace: &Path,
    ) -> Self {
        let mut traced = Command::new("strace");
        traced.args(["-D", "-f", "-qq", "-o"]).arg(trace);
        traced.args(inject).arg("--").arg(usher()).args(arguments);
        traced.current_dir(folder);
        clean(&mut traced);
        Self::spawn(traced)
    }

    pub fn spawn(mut command: Command) -> Self {
        let command = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().expect("started");
        let out = collect(child.stdout.take().expect("piped"));
        let err = collect(child.stderr.take().expect("piped"));
        Self { child, out, err }
    }

    /// Whether it has not ended yet.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("status").is_none()
    }

    pub fn id(&self) -> u32 {
        self.child.id().expect("running")
    }

    /// What it has printed until now.
    pub fn out(&self) -> String {
        self.out.lock().expect("lock").clone()
    }

    pub fn err(&self) -> String {
        self.err.lock().expect("lock").clone()
    }

    /// Waits until its standard error has a line with this text, and gives the line.
    pub async fn says(&mut self, text: &str) -> String {
        eventually(&format!("`{text}` in the log"), async || {
            let err = self.err();
            let ended = self.child.try_wait().expect("status");
            let found = err
                .lines()
                .find(|line| line.contains(text))
                .map(ToOwned::to_owned);
            assert!(
                found.is_some() || ended.is_none(),
                "ended with {ended:?}: {err}"
            );
            found.ok_or(err)
        })
        .await
    }

    /// Sends a signal to this process alone.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let id = i32::try_from(self.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(id.expect("an id"), signal).expect("signalled");
    }

    pub async fn ended(&mut self) -> ExitStatus {
        let ended = timeout(PATIENCE, self.child.wait()).await;
        ended
            .unwrap_or_else(|_| panic!("still running: {}", self.err()))
            .expect("status")
    }
}

fn collect(stream: impl AsyncRead + Send + Unpin + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&text);
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let mut text = text.lock().expect("lock");
            text.push_str(&line);
            text.push('\n');
        }
    });
    kept
}

/// A port that nobody uses now.
///
/// Below those that the kernel gives to outgoing connections (from 32768 on): thousands of them are
/// made by tests beside this one, and one would have it before usher does.
pub fn free_port() -> u16 {
    let port = std::iter::repeat_with(|| rand::random_range(10_000..32_000u16));
    let mut free = port.filter(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.next().expect("it goes on for ever")
}
