//! A Docker daemon of a test's own, which can be restarted.
//!
//! It lives in namespaces of its own: its bridges and packet filters are not the machine's, it sees
//! no socket of the machine's daemon, and everything it ever started ends with the [`Apart`], however
//! the test ends.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tempfile::TempDir;

use super::docker::Cli;
use super::eventually::{check, eventually};
use super::program::Program;

/// The first process there. It waits, and takes the end of those whose parents are gone.
const FIRST: &str = "ip link set lo up && mount -t tmpfs none /run && echo apart && \
                     while sleep 60; do :; done";

/// Namespaces for the network, for mounts and for processes.
#[derive(Debug)]
pub struct Apart {
    holder: Child,
}

impl Apart {
    /// Needs root.
    pub fn new() -> Self {
        let mut holder = Command::new("unshare")
            .args(["--net", "--mount", "--pid", "--mount-proc"])
            .args(["--fork", "--kill-child", "sh", "-c", FIRST])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare");
        let mut said = String::new();
        let output = holder.stdout.take().expect("piped");
        let read = BufReader::new(output).read_line(&mut said);
        read.expect("read");
        assert_eq!(said.trim(), "apart");
        Self { holder }
    }

    /// Runs a test whose sockets are all in this network, the ones of the threads it starts as well.
    pub fn inside<F: Future>(&self, test: impl FnOnce() -> F + Send)
    where
        F::Output: Send,
    {
        let network = fs::File::open(self.namespace("net")).expect("the network");
        let within = || {
            let network = std::os::fd::AsFd::as_fd(&network);
            move_into_link_name_space(network, Some(LinkNameSpaceType::Network)).expect("moved");
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build().expect("a runtime");
            runtime.block_on(test());
        };
        let ended = thread::scope(|scope| scope.spawn(within).join());
        if let Err(panic) = ended {
            std::panic::resume_unwind(panic);
        }
    }

    /// A path there, as this process finds it.
    pub fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.holder.id()))
    }

    fn namespace(&self, kind: &str) -> String {
        format!("/proc/{}/ns/{kind}", self.holder.id())
    }

    /// A program among these mounts and processes; the network is the one of the caller.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--mount={}", self.namespace("mnt")))
            .arg(format!("--pid={}", self.namespace("pid_for_children")))
            .arg(program);
        command
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// A daemon that runs, or may be started again.
#[derive(Debug)]
pub struct Daemon<'a> {
    apart: &'a Apart,
    running: Option<Program>,
    folder: TempDir,
}

impl<'a> Daemon<'a> {
    /// Starts it with nothing in it. To be called [inside](Apart::inside).
    pub async fn start(apart: &'a Apart) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // The machine's own configuration is not for this one.
        fs::write(folder.path().join("daemon.json"), "{}").expect("written");
        let mut daemon = Self {
            apart,
            running: None,
            folder,
        };
        daemon.resume().await;
        daemon
    }

    pub fn cli(&self) -> Cli {
        Cli::at(&self.socket())
    }

    pub fn socket(&self) -> PathBuf {
        self.path("docker.sock")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts it again on what it has.
    pub async fn resume(&mut self) {
        let mut command = self.apart.command("dockerd");
        for (option, name) in [
            ("config-file", "daemon.json"),
            ("data-root", "data"),
            ("exec-root", "exec"),
            ("pidfile", "pid"),
        ] {
            command.arg(format!("--{option}={}", self.path(name).display()));
        }
        command.arg(format!("--host=unix://{}", self.socket().display()));
        command.args(["--live-restore", "--storage-driver=vfs"]);
        let running = Program::spawn(command.into());
        let cli = self.cli();
        eventually("the daemon answers", async || {
            let output = cli.docker(&["version"]);
            check(output.status.success(), running.err())
        })
        .await;
        self.running = Some(running);
    }

    /// Tells it to end, and waits until it has.
    pub async fn stop(&mut self) {
        let pid = fs::read_to_string(self.path("pid")).expect("its id");
        let mut kill = self.apart.command("kill");
        let told = kill.args(["-TERM", pid.trim()]).status().expect("kill");
        assert!(told.success());
        let mut running = self.running.take().expect("it runs");
        let status = running.ended().await;
        assert!(status.success(), "{status}: {}", running.err());
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        // Its folder is about to go.
        let pid = fs::read_to_string(self.path("pid")).unwrap_or_default();
        let mut kill = self.apart.command("kill");
        let _ = kill.args(["-KILL", pid.trim()]).status();
    }
}
