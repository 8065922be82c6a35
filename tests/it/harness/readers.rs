//! Real servers as replicas, each of which writes down every request as it understood it.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::process::Command;

use super::program::{Program, free_port};
use super::{client, eventually};

/// A server that was not written here. It answers every request with its own target, when it has
/// read the whole of it.
#[derive(Debug)]
pub struct Reader {
    pub address: SocketAddr,
    /// It leaves unanswered what is never whole. HAProxy only stops to wait for the rest.
    pub knows_the_end: bool,
    program: Program,
    folder: TempDir,
}

/// One request as the server understood it.
#[derive(Clone, Debug)]
pub struct Understood {
    /// What was answered, or the server's own word for a request that was never whole.
    pub status: String,
    /// The fields `X-Case` and `X-Marker`, `-` where there is none.
    pub case: String,
    pub marker: String,
    pub line: String,
}

impl Reader {
    /// nginx reads the whole body where it passes a request on, so it asks itself.
    pub async fn nginx() -> Self {
        Self::start(|folder, address| {
            let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .map(|name| format!("{name}_temp_path temporary;\n"))
                .concat();
            let text = format!(
                "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr warn;\n\
                 events {{}}\nhttp {{\n{temporary}default_type text/plain;\n\
                 log_format seen '$status $http_x_case $http_x_marker $request';\n\
                 access_log /dev/stdout seen;\nkeepalive_requests 1000000;\n\
                 server {{\nlisten {address};\n\
                 location / {{ proxy_pass http://unix:{inner}; }}\n}}\n\
                 server {{\nlisten unix:{inner};\naccess_log off;\n\
                 location / {{ return 200 \"you asked for $request_uri\"; }}\n}}\n}}\n",
                inner = folder.join("inner.sock").display()
            );
            fs::write(folder.join("nginx.conf"), text).expect("written");
            let mut command = Command::new("nginx");
            command.arg("-p").arg(folder);
            command.args(["-e", "stderr", "-c", "nginx.conf"]);
            command
        })
        .await
    }

    pub async fn haproxy() -> Self {
        let started = Self::start(|folder, address| {
            let text = format!(
                "global\nlog stdout format raw local0\nnbthread 1\n\
                 defaults\nmode http\noption dontlognull\ntimeout client 30s\n\
                 timeout http-request 30s\nlog global\n\
                 frontend all\nbind {address}\n\
                 log-format \"%ST %[capture.req.hdr(0)] %[capture.req.hdr(1)] %r\"\n\
                 capture request header X-Case len 16\n\
                 capture request header X-Marker len 16\n\
                 http-request wait-for-body time 10s\n\
                 http-request return status 200 content-type text/plain \
                 lf-string \"you asked for %[url]\"\n"
            );
            let path = folder.join("haproxy.cfg");
            fs::write(&path, text).expect("written");
            let mut command = Command::new("haproxy");
            command.arg("-db").arg("-f").arg(path);
            command
        });
        Self {
            knows_the_end: false,
            ..started.await
        }
    }

    /// daphne gives an application the whole body.
    pub async fn daphne() -> Self {
        const APPLICATION: &str = r#"
import sys


async def application(scope, receive, send):
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    fields = {name: value.decode("latin-1") for name, value in scope["headers"]}
    case, marker = (fields.get(name, "-") for name in (b"x-case", b"x-marker"))
    target = scope["raw_path"].decode("latin-1")
    if scope["query_string"]:
        target += "?" + scope["query_string"].decode("latin-1")
    print(200, case, marker, scope["method"], target, flush=True)
    body = b"" if scope["method"] == "HEAD" else b"you asked for " + target.encode("latin-1")
    head = {"type": "http.response.start", "status": 200, "headers": []}
    await send(head)
    await send({"type": "http.response.body", "body": body})
"#;
        Self::start(|folder, address| {
            fs::write(folder.join("application.py"), APPLICATION).expect("written");
            // Debian's own, which has Debian's packages.
            let mut command = Command::new("/usr/bin/python3");
            command.args(["-m", "daphne", "--verbosity", "0", "--bind"]);
            command.arg(address.ip().to_string());
            command.arg("--port").arg(address.port().to_string());
            command.arg("application:application").current_dir(folder);
            command
        })
        .await
    }

    async fn start(command: impl FnOnce(&Path, SocketAddr) -> Command) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let program = Program::spawn(command(folder.path(), address));
        eventually("the server answers", async || {
            std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1))
                .map_err(|error| (error, program.out(), program.err()))
        })
        .await;
        Self {
            address,
            knows_the_end: true,
            program,
            folder,
        }
    }

    /// Asks for the last time, ends the server, and tells what it understood.
    pub async fn understood(mut self) -> Vec<Understood> {
        client::plain(self.address, "localhost", "/the-last").await;
        self.program.signal(Signal::TERM);
        self.program.ended().await;
        let log = eventually("the last line", async || {
            let out = self.program.out();
            match out.contains("/the-last") {
                true => Ok(out),
                false => Err((out, self.program.err())),
            }
        })
        .await;
        log.lines()
            .map(|line| {
                let mut parts = line.splitn(4, ' ').map(ToOwned::to_owned);
                let mut next = || parts.next().unwrap_or_default();
                Understood {
                    status: next(),
                    case: next(),
                    marker: next(),
                    line: next(),
                }
            })
            .collect()
    }
}
