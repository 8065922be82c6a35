//! A real ACME server: Debian's pebble as a child process, with a DNS server that knows every name
//! as 127.0.0.1.

use std::path::PathBuf;

use rustls::ClientConfig;
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;

use super::program::{Program, free_port};
use super::{Pki, client, eventually};

#[derive(Debug)]
pub struct Pebble {
    server: Program,
    _names: Program,
    folder: TempDir,
    directory: String,
    management: u16,
    pki: Pki,
}

impl Pebble {
    /// Starts a server that validates HTTP-01 at this port.
    pub async fn start(http_port: u16) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let pki = Pki::new();
        pki.write_pair(folder.path(), &["localhost"]);
        std::fs::write(folder.path().join("ca.pem"), pki.root_pem()).expect("written");
        let (acme, management, dns, dns_management) =
            (free_port(), free_port(), free_port(), free_port());
        let config = json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{acme}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": "localhost.crt",
            "privateKey": "localhost.key",
            "httpPort": http_port,
            "tlsPort": free_port(),
        }});
        std::fs::write(folder.path().join("pebble.json"), config.to_string()).expect("written");
        let mut names = Command::new("pebble-challtestsrv");
        names.args([
            "-defaultIPv6",
            "",
            "-http01",
            "",
            "-https01",
            "",
            "-tlsalpn01",
            "",
        ]);
        names.args(["-dns01", &format!("127.0.0.1:{dns}")]);
        names.args(["-management", &format!("127.0.0.1:{dns_management}")]);
        let names = Program::spawn(names);
        let mut server = Command::new("pebble");
        server.args([
            "-config",
            "pebble.json",
            "-dnsserver",
            &format!("127.0.0.1:{dns}"),
        ]);
        // Validation without the random wait; refused nonces stay in, as real servers refuse some.
        server
            .current_dir(folder.path())
            .env("PEBBLE_VA_NOSLEEP", "1");
        let server = Program::spawn(server);
        let pebble = Self {
            server,
            _names: names,
            folder,
            directory: format!("https://localhost:{acme}/dir"),
            management,
            pki,
        };
        eventually("pebble answers", async || {
            std::net::TcpStream::connect(("127.0.0.1", acme)).map_err(|error| (error, pebble.log()))
        })
        .await;
        pebble
    }

    /// The tables that make usher use it.
    pub fn tables(&self) -> String {
        format!(
            "[acme]\nemail = \"ops@example.org\"\ndirectories = [\"pebble\"]\npreflight = false\n\
             [acme.directory.pebble]\nurl = \"{}\"\nca-bundle = \"{}\"\n",
            self.directory,
            self.ca_bundle().display()
        )
    }

    pub fn ca_bundle(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    pub fn log(&self) -> String {
        self.server.out() + &self.server.err()
    }

    /// A client that trusts what this server issues.
    pub async fn trusting(&self) -> ClientConfig {
        let address = ([127, 0, 0, 1], self.management).into();
        let root = client::secure(address, self.pki.client(&[]), "localhost", "/roots/0").await;
        super::pki::trusting(&root.text())
    }
}
