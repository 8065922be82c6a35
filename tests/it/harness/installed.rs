//! usher as it is installed: the binary, a configuration in a folder, signals and commands.

use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::Value;

use super::program::{Finished, Program, free_port, run};
use super::{Front, Pki, client, configuration_at, eventually, prepare_process, write_pairs};

#[derive(Debug)]
pub struct Installed {
    pub folder: tempfile::TempDir,
    pub pki: Pki,
    ports: [u16; 3],
}

impl Installed {
    /// A folder with a configuration around these tables, and a pair for every name in it.
    pub fn new(text: &str) -> Self {
        prepare_process();
        let installed = Self {
            folder: tempfile::tempdir().expect("a folder"),
            pki: Pki::new(),
            ports: [free_port(), free_port(), free_port()],
        };
        installed.write(text);
        let loaded = usher::config::load(&installed.file(), None);
        if let Some(config) = &loaded.config {
            write_pairs(
                &installed.pki,
                config,
                &installed.folder.path().join("certs"),
            );
        }
        installed
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path().join("usher.toml")
    }

    /// Puts other tables into the file.
    pub fn write(&self, text: &str) {
        let whole = configuration_at(self.folder.path(), self.ports, text);
        fs::write(self.file(), whole).expect("written");
    }

    /// Starts the binary and waits until it serves.
    pub async fn start(&self) -> Program {
        let mut program = Program::start(self.folder.path(), &["run", "--config", "usher.toml"]);
        program.says("\"serving\"").await;
        program
    }

    /// Starts the binary with variables of the environment.
    pub fn start_with(&self, variables: &[(&str, &OsStr)]) -> Program {
        let arguments = ["run", "--config", "usher.toml"];
        Program::start_with(self.folder.path(), &arguments, variables)
    }

    /// Runs a command of the binary to its end.
    pub async fn command(&self, arguments: &[&str]) -> Finished {
        let config = ["--config", "usher.toml"];
        run(self.folder.path(), &[arguments, &config].concat()).await
    }

    /// What an operator's command says, without a process of its own.
    pub async fn order(&self, order: &Value) -> Value {
        client::order(&self.folder.path().join("control.sock"), order).await
    }

    pub fn certs(&self) -> PathBuf {
        self.folder.path().join("certs")
    }

    pub fn admin(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.ports[2]).into()
    }

    pub async fn stats(&self) -> Value {
        client::plain(self.admin(), "localhost", "/stats")
            .await
            .json()
    }

    /// Waits until an answer has this status.
    pub async fn answers(&self, url: &str, status: u16) {
        eventually(&format!("{status} for {url}"), async || {
            let answer = self.ask(url).try_send().await;
            match answer {
                Ok(answer) if answer.status == status => Ok(()),
                other => Err(other),
            }
        })
        .await;
    }
}

impl Front for Installed {
    fn http(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.ports[0]).into()
    }

    fn https(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.ports[1]).into()
    }

    fn trust(&self, protocols: &[&str]) -> rustls::ClientConfig {
        self.pki.client(protocols)
    }
}
