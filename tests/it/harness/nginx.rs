//! A real nginx as a replica, which writes down every request it understood.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Command;

use super::eventually;
use super::program::{Program, free_port};

#[derive(Debug)]
pub struct Nginx {
    pub address: SocketAddr,
    program: Program,
    folder: TempDir,
}

/// One request as nginx understood it.
#[derive(Clone, Debug)]
pub struct Understood {
    pub status: String,
    /// The fields `X-Case` and `X-Marker`, `-` where there is none.
    pub case: String,
    pub marker: String,
    pub line: String,
}

impl Nginx {
    /// Answers every request with its own target. A part of it that waits for the whole body, as
    /// nginx does where it passes a request on, asks another that answers.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path temporary;\n"))
            .concat();
        let text = format!(
            "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr warn;\n\
             events {{}}\nhttp {{\n{temporary}default_type text/plain;\n\
             log_format seen '$status $http_x_case $http_x_marker $request';\n\
             access_log seen.log seen;\nkeepalive_requests 1000000;\n\
             server {{\nlisten {address};\n\
             location / {{ proxy_pass http://unix:{folder}/inner.sock; }}\n}}\n\
             server {{\nlisten unix:{folder}/inner.sock;\naccess_log off;\n\
             location / {{ return 200 \"you asked for $request_uri\"; }}\n}}\n}}\n",
            folder = folder.path().display()
        );
        fs::write(folder.path().join("nginx.conf"), text).expect("written");
        let mut command = Command::new("nginx");
        command.arg("-p").arg(folder.path());
        command.args(["-e", "stderr", "-c", "nginx.conf"]);
        let program = Program::spawn(command);
        eventually("nginx answers", async || {
            std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1))
                .map_err(|error| (error, program.err()))
        })
        .await;
        Self {
            address,
            program,
            folder,
        }
    }

    /// Ends it, so that nothing is still to be written down, and tells what it understood.
    pub async fn understood(mut self) -> Vec<Understood> {
        self.program.signal(rustix::process::Signal::QUIT);
        self.program.ended().await;
        let log = fs::read_to_string(self.folder.path().join("seen.log")).expect("a log");
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
