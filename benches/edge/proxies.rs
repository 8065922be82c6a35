//! usher, nginx and HAProxy in front of the same upstream, each with the same certificate.

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};
use rustls::ClientConfig;
use rustls::client::Resumption;
use tokio::process::Command;

use crate::harness::program::{self, Program, free_port};
use crate::harness::{Front, Installed, Pki, eventually};
use crate::process;

/// The name that is asked for.
pub const NAME: &str = "congress.example.org";
/// Beside it, as on a host of many events.
const OTHER_INSTANCES: u32 = 100;
const NAMES_OF_EACH: u32 = 10;
/// A script of the size of OpenSlides' own; below this path it is served from disk.
pub const SCRIPT: &str = "/static/app.js";
pub const SCRIPT_LENGTH: usize = 2_500_000;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    Usher,
    Nginx,
    Haproxy,
}

/// How nginx serves files to clients that take gzip.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Packing {
    /// As they are, which is nginx-proxy's default.
    #[default]
    None,
    OnTheWay,
    /// The `.gz` beside the file.
    Before,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Usher => "usher",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
        }
    }

    fn is_installed(self) -> bool {
        // Debian keeps servers out of the path of users.
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/local/sbin:/usr/sbin:/sbin";
        let name = self.name();
        self == Self::Usher
            || path
                .split(':')
                .any(|dir| Path::new(dir).join(name).exists())
    }
}

/// The upstream, and a folder with what the proxies need.
pub struct Stage {
    pub kinds: Vec<Kind>,
    installed: Installed,
    upstream: SocketAddr,
    _origin: Program,
}

impl Stage {
    pub async fn new() -> Self {
        let upstream = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut command = Command::new(program::origin());
        command.env("ORIGIN_NAME", "origin");
        command.env("PORT", upstream.port().to_string());
        let origin = Program::spawn(command);
        eventually("the upstream listens", async || {
            let out = origin.out();
            out.contains("listens on").then_some(()).ok_or(out)
        })
        .await;
        let mut kinds = vec![Kind::Usher];
        for peer in [Kind::Nginx, Kind::Haproxy] {
            if peer.is_installed() {
                kinds.push(peer);
            } else {
                eprintln!("{} is not installed: measuring without it", peer.name());
            }
        }
        let installed = Installed::new(&usher_tables(upstream));
        write_script(&installed.folder.path().join("root/static"));
        Self {
            kinds,
            installed,
            upstream,
            _origin: origin,
        }
    }

    /// Who has signed the certificates.
    pub fn pki(&self) -> &Pki {
        &self.installed.pki
    }

    /// Starts one and waits until an answer comes through it.
    pub async fn start(&self, kind: Kind) -> Proxy {
        self.start_packing(kind, Packing::None).await
    }

    /// As [`Self::start`]; nginx packs files like this.
    pub async fn start_packing(&self, kind: Kind, packing: Packing) -> Proxy {
        let mut client = self.installed.pki.client(&[]);
        client.resumption = Resumption::disabled();
        let (http, https, program) = if kind == Kind::Usher {
            let mut command = Command::new(program::usher());
            command
                .args(["run", "--config", "usher.toml"])
                .current_dir(self.installed.folder.path())
                // As many workers as its peers have.
                .env("TOKIO_WORKER_THREADS", "1");
            let mut program = Program::spawn(command);
            program.says("\"serving\"").await;
            (self.installed.http(), self.installed.https(), program)
        } else {
            let ports = [free_port(), free_port()];
            let [http, https] = ports.map(|port| ([127, 0, 0, 1], port).into());
            let program = Program::spawn(self.peer(kind, http, https, packing));
            (http, https, program)
        };
        let mut proxy = Proxy {
            kind,
            processes: Vec::new(),
            http,
            https,
            program,
            client,
        };
        proxy.answers().await;
        // Complete now: whoever answers has started its workers.
        proxy.processes = process::family(proxy.program.id());
        proxy
    }

    /// The command that runs a peer, its configuration written.
    fn peer(&self, kind: Kind, http: SocketAddr, https: SocketAddr, packing: Packing) -> Command {
        let folder = self.installed.folder.path();
        let pair = folder.join("certs").join(NAME);
        let pair = pair.display();
        let [cert, key] = [format!("{pair}.crt"), format!("{pair}.key")];
        let path = folder.join(format!("{}.conf", kind.name()));
        let mut command = Command::new(kind.name());
        command.env("PATH", "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin");
        let text = if kind == Kind::Nginx {
            command.arg("-p").arg(folder).args(["-e", "stderr"]);
            command.arg("-c").arg(&path);
            nginx_text(self.upstream, http, https, &cert, &key, packing)
        } else {
            let both = [&cert, &key].map(|file| fs::read_to_string(file).expect("a pair"));
            let pem = folder.join("haproxy.pem");
            fs::write(&pem, both.concat()).expect("written");
            command.arg("-db").arg("-f").arg(&path);
            haproxy_text(self.upstream, http, https, &pem)
        };
        fs::write(path, text).expect("written");
        command
    }
}

fn usher_tables(upstream: SocketAddr) -> String {
    let mut text = format!(
        "[log]\naccess = true\n\n\
         [limits]\nsessions-hard = 8000\n\n\
         [[instance]]\nname = \"congress\"\ndomains = [\"{NAME}\"]\nhttps = \"both\"\n\n\
         [instance.service.web]\nrole = \"sessions\"\naddresses = [\"{upstream}\"]\n\n\
         [[instance.route]]\nprefix = \"/\"\nto = \"web\"\n\n\
         [[instance.route]]\nprefix = \"/static/\"\nfiles = {{ dir = \"root/static\" }}\n\n"
    );
    for instance in 0..OTHER_INSTANCES {
        let names: Vec<String> = (0..NAMES_OF_EACH)
            .map(|name| format!("\"n{name}.event{instance}.example.org\""))
            .collect();
        let _ = write!(
            text,
            "[[instance]]\nname = \"event{instance}\"\ndomains = [{}]\n\
             [instance.service.web]\nrole = \"sessions\"\naddresses = [\"{upstream}\"]\n\n",
            names.join(", ")
        );
    }
    text
}

/// A script that packs about as well as a real one: words of a few kinds in no order.
fn write_script(folder: &Path) {
    const WORDS: [&str; 16] = [
        "function",
        "return",
        "const ",
        "this.",
        "prototype",
        "=>",
        "{",
        "}",
        "(",
        ")",
        ";\n",
        "value",
        "Observable",
        "subscribe",
        "undefined",
        "=",
    ];
    let mut script = String::with_capacity(SCRIPT_LENGTH + 16);
    let mut state = 0x9e37_79b9_u32;
    while script.len() < SCRIPT_LENGTH {
        // A linear congruence: the same script every time.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let index = usize::try_from(state >> 28).unwrap_or(0);
        script.push_str(WORDS.get(index).copied().unwrap_or(";"));
        if state & 0x3f00 == 0 {
            let _ = write!(script, "a{:x}", state >> 12);
        }
    }
    script.truncate(SCRIPT_LENGTH);
    fs::create_dir_all(folder).expect("a folder");
    let path = folder.join("app.js");
    fs::write(&path, script).expect("written");
    let packed = std::process::Command::new("gzip")
        .args(["--keep", "--force", "-6"])
        .arg(&path)
        .status();
    assert!(packed.expect("gzip").success());
    // usher is to make its own.
    fs::create_dir_all(folder.join("packed")).expect("a folder");
    fs::rename(folder.join("app.js.gz"), folder.join("packed/app.js.gz")).expect("moved");
    fs::copy(&path, folder.join("packed/app.js")).expect("copied");
}

/// As the common templates for nginx as a proxy have it, without limits that end connections.
fn nginx_text(
    upstream: SocketAddr,
    http: SocketAddr,
    https: SocketAddr,
    cert: &str,
    key: &str,
    packing: Packing,
) -> String {
    let (gzip, root) = match packing {
        Packing::None => ("gzip off;", "root/static/"),
        Packing::OnTheWay => (
            "gzip on; gzip_types application/javascript;",
            "root/static/",
        ),
        Packing::Before => ("gzip_static on;", "root/static/packed/"),
    };
    format!(
        "daemon off;
worker_processes 1;
user root;
pid nginx.pid;
error_log stderr error;
events {{ worker_connections 16384; }}
http {{
    access_log access.log;
    types {{ application/javascript js; }}
    sendfile on;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    keepalive_requests 1000000;
    map $http_upgrade $connection_field {{ default upgrade; '' ''; }}
    upstream origin {{
        server {upstream};
        keepalive 64;
        keepalive_requests 1000000;
    }}
    server {{
        listen {http};
        listen {https} ssl http2;
        server_name {NAME};
        ssl_certificate {cert};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.2 TLSv1.3;
        proxy_http_version 1.1;
        proxy_set_header Host $host;
        proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $connection_field;
        proxy_read_timeout 1h;
        location / {{ proxy_pass http://origin; }}
        location /static/ {{ {gzip} alias {root}; }}
    }}
}}
"
    )
}

fn haproxy_text(upstream: SocketAddr, http: SocketAddr, https: SocketAddr, pem: &Path) -> String {
    let pem = pem.display();
    format!(
        "global
    nbthread 1
    maxconn 8000
    log stdout format raw local0
defaults
    mode http
    log global
    option httplog
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    timeout tunnel 1h
frontend edge
    bind {http}
    bind {https} ssl crt {pem} alpn h2,http/1.1
    option forwardfor
    http-request set-header X-Real-IP %[src]
    http-request set-header X-Forwarded-Proto https if {{ ssl_fc }}
    default_backend origin
backend origin
    http-reuse always
    server origin {upstream}
"
    )
}

/// One of them, running.
pub struct Proxy {
    pub kind: Kind,
    /// Its processes, the one that was started first.
    pub processes: Vec<u32>,
    http: SocketAddr,
    https: SocketAddr,
    program: Program,
    client: ClientConfig,
}

impl Proxy {
    async fn answers(&self) {
        let name = self.kind.name();
        eventually(&format!("an answer through {name}"), async || {
            let answer = self.ask(&format!("http://{NAME}/")).try_send().await;
            match answer {
                Ok(answer) if answer.status == 200 => Ok(()),
                other => Err((other.map(|answer| answer.status), self.program.err())),
            }
        })
        .await;
    }

    pub async fn stop(mut self) {
        // usher drains on TERM; the others stop at once.
        let usher = self.kind == Kind::Usher;
        let signal = if usher { Signal::INT } else { Signal::TERM };
        self.program.signal(signal);
        self.program.ended().await;
        self.processes.clear();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // After a failure the program itself is killed when it is dropped; its children are not.
        let children = self.processes.iter().skip(1);
        for child in children.filter_map(|id| Pid::from_raw(i32::try_from(*id).ok()?)) {
            let _ = kill_process(child, Signal::KILL);
        }
    }
}

impl Front for Proxy {
    fn http(&self) -> SocketAddr {
        self.http
    }

    fn https(&self) -> SocketAddr {
        self.https
    }

    fn trust(&self, protocols: &[&str]) -> ClientConfig {
        let mut client = self.client.clone();
        client.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        client
    }
}
