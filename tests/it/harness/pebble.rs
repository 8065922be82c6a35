//! A real ACME server: Debian's pebble as a child process, with a DNS server that knows every name
//! as 127.0.0.1.

use std::path::PathBuf;

use rustls::ClientConfig;
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;

use super::acme_fault::AcmeFault;
use super::program::{Program, free_port};
use super::{Pki, client, eventually};

#[derive(Debug)]
pub struct Pebble {
    server: Program,
    _names: Program,
    folder: TempDir,
    port: u16,
    management: u16,
    dns_management: u16,
    pki: Pki,
}

/// How the server behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it validates HTTP-01 and TLS-ALPN-01.
    pub http_port: u16,
    pub https_port: u16,
    /// Percent of the nonces that it refuses.
    pub nonces_refused: u8,
    /// Percent of the authorizations that it uses again.
    pub authorizations_reused: u8,
    /// Seconds, at most, that it waits before it validates; chosen at random.
    pub validation_waits: u8,
    pub chain_length: u8,
    /// Roots besides the first.
    pub alternate_roots: u8,
    /// A key identifier and a key in base64url, without which nobody may register.
    pub external_account: Option<(&'static str, &'static str)>,
}

impl Options {
    /// As real servers are: some nonces are refused, nothing waits for long.
    pub fn at(http_port: u16) -> Self {
        Self {
            http_port,
            https_port: free_port(),
            nonces_refused: 5,
            authorizations_reused: 50,
            validation_waits: 0,
            chain_length: 1,
            alternate_roots: 0,
            external_account: None,
        }
    }
}

impl Pebble {
    /// Starts a server that validates HTTP-01 at this port.
    pub async fn start(http_port: u16) -> Self {
        Self::start_with(&Options::at(http_port)).await
    }

    pub async fn start_with(options: &Options) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let pki = Pki::new();
        pki.write_pair(folder.path(), &["localhost"]);
        std::fs::write(folder.path().join("ca.pem"), pki.root_pem()).expect("written");
        let (acme, management, dns, dns_management) =
            (free_port(), free_port(), free_port(), free_port());
        let mut config = json!({
            "listenAddress": format!("127.0.0.1:{acme}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": "localhost.crt",
            "privateKey": "localhost.key",
            "httpPort": options.http_port,
            "tlsPort": options.https_port,
        });
        if let Some((kid, key)) = options.external_account {
            config["externalAccountBindingRequired"] = json!(true);
            config["externalAccountMACKeys"] = json!({ kid: key });
        }
        let config = json!({ "pebble": config });
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
        server.current_dir(folder.path());
        let mut set = |name: &str, value: u8| {
            server.env(name, value.to_string());
        };
        set("PEBBLE_WFE_NONCEREJECT", options.nonces_refused);
        set("PEBBLE_AUTHZREUSE", options.authorizations_reused);
        set("PEBBLE_CHAIN_LENGTH", options.chain_length);
        set("PEBBLE_ALTERNATE_ROOTS", options.alternate_roots);
        match options.validation_waits {
            0 => set("PEBBLE_VA_NOSLEEP", 1),
            seconds => set("PEBBLE_VA_SLEEPTIME", seconds),
        }
        let server = Program::spawn(server);
        let pebble = Self {
            server,
            _names: names,
            folder,
            port: acme,
            management,
            dns_management,
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
        self.tables_at(self.port)
    }

    /// The tables that make usher reach it through the proxy.
    pub fn tables_behind(&self, fault: &AcmeFault) -> String {
        self.tables_at(fault.port())
    }

    fn tables_at(&self, port: u16) -> String {
        format!(
            "[acme]\nemail = \"ops@example.org\"\ndirectories = [\"pebble\"]\npreflight = false\n\
             {}",
            self.directory("pebble", port)
        )
    }

    /// A directory of this name. One that is nobody's but the test's has no limits.
    pub fn directory(&self, name: &str, port: u16) -> String {
        format!(
            "[acme.directory.{name}]\nurl = \"https://localhost:{port}/dir\"\n\
             ca-bundle = \"{}\"\nrequests-per-second = 1000\nrate-limits = false\n",
            self.ca_bundle().display()
        )
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where the records of its DNS are changed.
    pub fn dns_management(&self) -> u16 {
        self.dns_management
    }

    /// The authority of its own TLS.
    pub fn pki(&self) -> &Pki {
        &self.pki
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
