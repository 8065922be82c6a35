//! The application: three Compose services under a project name of this run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::process::Command;
use tokio::time::Instant;

use super::harness::docker::{Project, docker, inspect, must};
use super::wait::{Outcome, ensure};

pub const WEB: &str = "web";
pub const WORKER: &str = "worker";
pub const REDIS: &str = "redis";

/// How long redis is listened to for who does its work.
const LISTEN: Duration = Duration::from_secs(3);

/// The image that the Compose file names.
pub fn image() -> String {
    std::env::var("USHER_ACCEPTANCE_IMAGE").unwrap_or_else(|_| "usher-acceptance".to_owned())
}

/// Everything in it is removed when it is dropped.
#[derive(Debug)]
pub struct Stack {
    project: Project,
}

impl Stack {
    /// An empty one: nothing is started yet, so that it can be dropped at any time.
    pub fn new() -> Self {
        Self {
            project: Project::new("acceptance"),
        }
    }

    pub fn name(&self) -> &str {
        &self.project.name
    }

    /// A container's name without the project's.
    pub fn short<'a>(&self, container: &'a str) -> &'a str {
        let rest = container.strip_prefix(self.name());
        rest.map_or(container, |rest| rest.trim_start_matches(['_', '-']))
    }

    pub async fn up(&self) -> Outcome<()> {
        let output = Command::new("docker-compose")
            .arg("--file")
            .arg(compose_file())
            .args(["--project-name", self.name(), "up", "-d", "--no-color"])
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| format!("docker-compose: {error}"))?;
        ensure(output.status.success(), || {
            format!(
                "docker-compose up: {}",
                String::from_utf8_lossy(&output.stderr)
            )
        })
    }

    /// The names of a service's running containers, sorted.
    pub fn running(&self, service: &str) -> Vec<String> {
        self.project.running(service)
    }

    /// The names of all running containers, by service.
    pub fn all_running(&self) -> BTreeMap<&'static str, Vec<String>> {
        [WEB, WORKER, REDIS]
            .map(|service| (service, self.running(service)))
            .into()
    }

    /// Every container of the project, stopped ones included.
    pub fn containers(&self) -> Vec<String> {
        let filter = format!("label=com.docker.compose.project={}", self.name());
        let listed = must(&["ps", "-a", "--filter", &filter, "--format", "{{.Names}}"]);
        let mut names: Vec<_> = listed.lines().map(ToOwned::to_owned).collect();
        names.sort();
        names
    }

    /// How many commands each container of a service gave to redis within a moment, other than
    /// asking for work. A worker that has nothing to do only asks.
    pub async fn work_of(&self, service: &str) -> Outcome<BTreeMap<String, usize>> {
        let addresses: BTreeMap<String, String> = self
            .running(service)
            .into_iter()
            .map(|name| (address(&name), self.short(&name).to_owned()))
            .collect();
        let redis = self.running(REDIS);
        let redis = redis.first().ok_or("redis does not run")?;
        let seconds = LISTEN.as_secs().to_string();
        let output = Command::new("docker")
            .args(["exec", redis, "timeout", &seconds, "redis-cli", "monitor"])
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| format!("docker exec: {error}"))?;
        let mut work: BTreeMap<String, usize> =
            addresses.values().map(|name| (name.clone(), 0)).collect();
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let Some((from, command)) = monitored(line) else {
                continue;
            };
            let asks = command.eq_ignore_ascii_case("blpop");
            if let (false, Some(name)) = (asks, addresses.get(from)) {
                *work.entry(name.clone()).or_default() += 1;
            }
        }
        Ok(work)
    }

    /// The last words of every container, for a run that failed.
    pub fn logs(&self) -> String {
        let mut all = String::new();
        for name in self.containers() {
            let output = docker(&["logs", "--tail", "15", &name]);
            let said = [&output.stdout[..], &output.stderr[..]].concat();
            all.push_str(&format!(
                "--- {name}\n{}\n",
                String::from_utf8_lossy(&said).trim_end()
            ));
        }
        all
    }
}

/// When the engine started a container.
pub fn started(container: &str) -> Outcome<Instant> {
    let text = inspect(container)["State"]["StartedAt"].clone();
    let moment: jiff::Timestamp = text
        .as_str()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| format!("{container} was started at {text}"))?;
    let ago = SystemTime::now()
        .duration_since(SystemTime::from(moment))
        .unwrap_or_default();
    Instant::now()
        .checked_sub(ago)
        .ok_or_else(|| format!("{container} is older than this machine"))
}

fn compose_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/acceptance/docker-compose.yml")
}

fn address(container: &str) -> String {
    let networks = inspect(container)["NetworkSettings"]["Networks"].clone();
    let mut addresses = networks
        .as_object()
        .into_iter()
        .flat_map(|networks| networks.values())
        .filter_map(|network| network["IPAddress"].as_str());
    addresses.next().unwrap_or_default().to_owned()
}

/// The address and the command of a line like `1700000000.12 [0 172.18.0.4:5124] "EVALSHA" "…"`.
fn monitored(line: &str) -> Option<(&str, &str)> {
    let (_, rest) = line.split_once('[')?;
    let (source, rest) = rest.split_once(']')?;
    let (_, from) = source.split_once(' ')?;
    let (address, _) = from.rsplit_once(':')?;
    let command = rest
        .trim_start()
        .trim_start_matches('"')
        .split('"')
        .next()?;
    Some((address, command))
}

/// What the engine still has of a project.
pub fn leftovers(project: &str) -> Vec<String> {
    let filter = format!("label=com.docker.compose.project={project}");
    let lists: [&[&str]; 3] = [
        &["ps", "-aq"],
        &["network", "ls", "-q"],
        &["volume", "ls", "-q"],
    ];
    lists
        .iter()
        .flat_map(|list| {
            let found = must(&[*list, &["--filter", &filter]].concat());
            found.lines().map(ToOwned::to_owned).collect::<Vec<_>>()
        })
        .collect()
}
