//! usher in a container, as most will run it.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::OnceLock;

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
    /// On the engine's own bridge.
    bridged: OnceLock<IpAddr>,
}

impl Contained {
    /// With these tables, of which one is the instance `congress`. `owner` begins its name.
    pub fn start(owner: &str, tables: &str) -> Self {
        Self::start_with(owner, tables, &[])
    }

    /// As [`Contained::start`], with further files beside the configuration.
    pub fn start_with(owner: &str, tables: &str, files: &[(&str, &str)]) -> Self {
        let contained = Self::written(owner, tables, files);
        contained.run(&[], &["run", "--config", "/etc/usher/usher.toml"]);
        contained
    }

    /// As [`Contained::start`], on a machine whose memory is what the file `meminfo` says.
    pub fn start_within(owner: &str, tables: &str, meminfo: &str) -> Self {
        let contained = Self::written(owner, tables, &[("meminfo", meminfo)]);
        let file = contained.folder.path().join("meminfo");
        let mount = format!("{}:/proc/meminfo:ro", file.display());
        contained.run(
            &["-v", &mount],
            &["run", "--config", "/etc/usher/usher.toml"],
        );
        contained
    }

    /// As [`Contained::start`], with one more mount, as `docker run -v` takes it.
    pub fn start_mounting(owner: &str, tables: &str, mount: &str) -> Self {
        let contained = Self::written(owner, tables, &[]);
        contained.run(
            &["-v", mount],
            &["run", "--config", "/etc/usher/usher.toml"],
        );
        contained
    }

    fn written(owner: &str, tables: &str, files: &[(&str, &str)]) -> Self {
        let contained = Self::prepare(owner);
        let folder = contained.folder.path();
        let certs = folder.join("certs");
        contained.pki.write_pair(&certs, &["congress.example.org"]);
        let tables = format!(
            "[listen]\nhttp = [\"0.0.0.0:80\"]\nhttps = [\"0.0.0.0:443\"]\n\
             [engine]\nkind = \"docker\"\n{tables}"
        );
        let inside = Path::new("/etc/usher");
        let text = configuration_at(inside, [0; 3], &tables);
        for (name, text) in [("usher.toml", text.as_str())].iter().chain(files) {
            fs::write(folder.join(name), text).expect("written");
        }
        contained
    }

    /// As [`Contained::start`], as this user and group, with the group of the engine's socket.
    pub fn start_as(owner: &str, tables: &str, user: u32) -> Self {
        use std::os::unix::fs::{MetadataExt, chown};
        let contained = Self::written(owner, tables, &[]);
        let folder = contained.folder.path();
        for path in [
            folder.to_owned(),
            folder.join("usher.toml"),
            folder.join("certs"),
        ] {
            chown(path, Some(user), Some(user)).expect("its own");
        }
        for pair in fs::read_dir(folder.join("certs")).expect("a folder") {
            chown(pair.expect("a file").path(), Some(user), Some(user)).expect("its own");
        }
        let socket = fs::metadata("/var/run/docker.sock").expect("the socket");
        let (user, group) = (format!("{user}:{user}"), socket.gid().to_string());
        contained.run(
            &["--user", &user, "--group-add", &group, "--cap-drop", "ALL"],
            &["run", "--config", "/etc/usher/usher.toml"],
        );
        contained
    }

    /// As the image is run without a file: containers name themselves. Only those with the label
    /// `usher.test=OWNER` are there for it, and `arguments` are further ones of `docker run`.
    pub fn open(owner: &str, arguments: &[&str]) -> Self {
        let contained = Self::prepare(owner);
        let filter = format!("DOCKER_CONTAINER_FILTERS=label=usher.test={owner}");
        let arguments = [&["-e", &filter], arguments].concat();
        contained.run(&arguments, &["run", "--names-from-containers", "open"]);
        contained
    }

    fn prepare(owner: &str) -> Self {
        prepare_process();
        let name = format!("{owner}usher");
        let _ = docker(&["rm", "-f", &name]);
        Self {
            name,
            folder: tempfile::tempdir().expect("a folder"),
            pki: Pki::new(),
            bridged: OnceLock::new(),
        }
    }

    fn run(&self, arguments: &[&str], command: &[&str]) {
        let name = &self.name;
        let mount = format!("{}:/etc/usher", self.folder.path().display());
        let label = format!("com.docker.compose.project={name}");
        let socket = "/var/run/docker.sock:/var/run/docker.sock";
        // Where a test has it elsewhere, it is there alone.
        let own = arguments.iter().any(|one| one.ends_with("docker.sock"));
        let usual = ["run", "-d", "--name", name, "--label", &label];
        // As every way to deploy it has it.
        let apart = ["--sysctl", "net.ipv4.ip_forward=0"];
        let apart = match arguments.contains(&"host") {
            // The network's own settings are the host's.
            true => &[][..],
            false => &apart[..],
        };
        let mounts = ["-v", &mount, "-v", socket];
        let mounts = if own { &mounts[..2] } else { &mounts[..] };
        let image = usher_image();
        must(&[&usual[..], apart, mounts, arguments, &[&image], command].concat());
    }

    pub fn address(&self, port: u16) -> SocketAddr {
        let ip = self.bridged.get_or_init(|| self.ip("bridge", "IPAddress"));
        SocketAddr::new(*ip, port)
    }

    /// Its address on a network: `IPAddress`, or `GlobalIPv6Address`.
    pub fn ip(&self, network: &str, kind: &str) -> IpAddr {
        let container = inspect(&self.name);
        let address = container["NetworkSettings"]["Networks"][network][kind].clone();
        let address = address.as_str().and_then(|address| address.parse().ok());
        address.expect("an address")
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
        let config = match self.folder.path().join("usher.toml").exists() {
            true => &config[..],
            false => &[][..],
        };
        let output = docker(&[&control[..], config].concat());
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
