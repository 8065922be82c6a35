//! usher in a container, as most will run it.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::Value;

use super::client::{self, Front, secure};
use super::docker::{docker, inspect, must, usher_image};
use super::{Pki, configuration_at, prepare_process};

/// usher's container, which goes with the test.
#[derive(Debug)]
pub struct Contained {
    pub name: String,
    folder: tempfile::TempDir,
    pki: Pki,
}

impl Contained {
    /// With these tables, of which one is the instance `congress`. `owner` begins its name.
    pub fn start(owner: &str, tables: &str) -> Self {
        prepare_process();
        let folder = tempfile::tempdir().expect("a folder");
        let pki = Pki::new();
        pki.write_pair(&folder.path().join("certs"), &["congress.example.org"]);
        let tables = format!(
            "[listen]\nhttp = [\"0.0.0.0:80\"]\nhttps = [\"0.0.0.0:443\"]\n\
             [engine]\nkind = \"docker\"\n{tables}"
        );
        let inside = Path::new("/etc/usher");
        fs::write(
            folder.path().join("usher.toml"),
            configuration_at(inside, [0; 3], &tables),
        )
        .expect("written");
        let name = format!("{owner}usher");
        let mount = format!("{}:/etc/usher", folder.path().display());
        let label = format!("com.docker.compose.project={name}");
        let _ = docker(&["rm", "-f", &name]);
        must(&[
            "run",
            "-d",
            "--name",
            &name,
            "--label",
            &label,
            "-v",
            "/var/run/docker.sock:/var/run/docker.sock",
            "-v",
            &mount,
            &usher_image(),
            "run",
            "--config",
            "/etc/usher/usher.toml",
        ]);
        Self { name, folder, pki }
    }

    pub fn address(&self, port: u16) -> SocketAddr {
        let container = inspect(&self.name);
        let address = container["NetworkSettings"]["Networks"]["bridge"]["IPAddress"].clone();
        let address = address.as_str().and_then(|address| address.parse().ok());
        SocketAddr::new(address.expect("an address"), port)
    }

    pub fn networks(&self) -> Vec<String> {
        let container = inspect(&self.name);
        let networks = container["NetworkSettings"]["Networks"]
            .as_object()
            .cloned();
        networks.unwrap_or_default().keys().cloned().collect()
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn log(&self) -> String {
        let output = docker(&["logs", &self.name]);
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }

    pub async fn status(&self) -> u16 {
        let host = "congress.example.org";
        let client = self.pki.client(&["http/1.1"]);
        secure(self.address(443), client, host, "/").await.status
    }
}

impl Drop for Contained {
    fn drop(&mut self) {
        let _ = docker(&["rm", "-f", &self.name]);
    }
}

impl Contained {
    /// What an operator's command says.
    pub async fn order(&self, order: &Value) -> Value {
        client::order(&self.folder().join("control.sock"), order).await
    }

    /// The statistics, as the command line in the container prints them.
    pub fn stats(&self) -> Value {
        let control = ["exec", &self.name, "/usher", "status", "--format", "json"];
        let config = ["--config", "/etc/usher/usher.toml"];
        let output = docker(&[&control[..], &config[..]].concat());
        serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
    }
}

impl Front for Contained {
    fn http(&self) -> SocketAddr {
        self.address(80)
    }

    fn https(&self) -> SocketAddr {
        self.address(443)
    }

    fn trust(&self, protocols: &[&str]) -> rustls::ClientConfig {
        self.pki.client(protocols)
    }
}
