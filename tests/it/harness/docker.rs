//! The real Docker engine, through the programs an operator has.
//!
//! The engine is the machine's own, or one of a test's own (see [`super::daemon`]). Everything a test
//! makes carries the test's own project name and goes with the [`Project`]. The
//! one image there is was built FROM scratch around the origin of these tests.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use super::program;

/// The programs, for one engine.
#[derive(Clone, Debug, Default)]
pub struct Cli {
    /// As in `DOCKER_HOST`; without it, the engine of the machine.
    host: Option<String>,
}

impl Cli {
    /// For the engine that listens here.
    pub fn at(socket: &Path) -> Self {
        Self {
            host: Some(format!("unix://{}", socket.display())),
        }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        if let Some(host) = &self.host {
            command.env("DOCKER_HOST", host);
        }
        command
    }

    /// Runs `docker` to its end.
    pub fn docker(&self, arguments: &[&str]) -> Output {
        self.command("docker")
            .args(arguments)
            .output()
            .expect("the docker command line")
    }

    /// As [`Cli::docker`], for what has to succeed. Gives what it printed.
    pub fn must(&self, arguments: &[&str]) -> String {
        let output = self.docker(arguments);
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "docker {arguments:?}: {err}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Builds an image FROM scratch that runs `program`, unless it is there already.
    fn image(&self, name: &str, program: &Path, entry: &str) -> String {
        let content = std::fs::read(program).expect("the program");
        let tag = format!("{name}:{:016x}", fingerprint(&content));
        if self.docker(&["image", "inspect", &tag]).status.success() {
            return tag;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let file = format!("FROM scratch\nCOPY program {entry}\nENTRYPOINT [\"{entry}\"]\n");
        std::fs::write(folder.path().join("Dockerfile"), file).expect("written");
        std::fs::copy(program, folder.path().join("program")).expect("copied");
        // Those of earlier builds are of no use any more; one that is used stays.
        for old in self.must(&["image", "ls", "-q", name]).lines() {
            let _ = self.docker(&["image", "rm", old]);
        }
        let context = folder.path().display().to_string();
        self.must(&["build", "-q", "-t", &tag, &context]);
        tag
    }

    fn origin_image(&self) -> String {
        self.image("usher-test-origin", &program::origin(), "/origin")
    }
}

/// Runs `docker` to its end, for the engine of the machine.
pub fn docker(arguments: &[&str]) -> Output {
    Cli::default().docker(arguments)
}

/// As [`docker`], for what has to succeed. Gives what it printed.
pub fn must(arguments: &[&str]) -> String {
    Cli::default().must(arguments)
}

/// Everything the engine says about a container, network or volume.
pub fn inspect(what: &str) -> Value {
    let text = must(&["inspect", what]);
    let mut all: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    all.remove(0)
}

pub fn origin_image() -> String {
    Cli::default().origin_image()
}

pub fn usher_image() -> String {
    Cli::default().image("usher-test-usher", program::usher(), "/usher")
}

/// FNV-1a: a name for a content, and nothing a secret hangs on.
fn fingerprint(content: &[u8]) -> u64 {
    content.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// A Compose project that ends with the test.
#[derive(Debug)]
pub struct Project {
    pub name: String,
    folder: TempDir,
    cli: Cli,
}

impl Project {
    /// A project with a name of its own and nothing in it.
    pub fn new(name: &str) -> Self {
        Self::on(Cli::default(), name)
    }

    /// As [`Project::new`], on this engine.
    pub fn on(cli: Cli, name: &str) -> Self {
        let project = Self {
            name: format!("ushertest{}{name}", std::process::id()),
            folder: tempfile::tempdir().expect("a folder"),
            cli,
        };
        project.remove();
        project
    }

    /// Brings up these services, as YAML below `services:`. `IMAGE` stands for the origin's image.
    pub fn up(&self, services: &str) {
        self.up_with(services, "");
    }

    /// As [`Project::up`], with further top-level sections.
    pub fn up_with(&self, services: &str, sections: &str) {
        let services = services.replace("IMAGE", &self.cli.origin_image());
        let file = format!("version: \"2.4\"\nservices:\n{services}\n{sections}\n");
        std::fs::write(self.folder.path().join("docker-compose.yml"), file).expect("written");
        self.compose(&["up", "-d", "--no-color"]);
    }

    /// Runs Compose on the project and gives what it printed to both outputs.
    pub fn compose(&self, arguments: &[&str]) -> String {
        let output = self
            .cli
            .command("docker-compose")
            .arg("--project-name")
            .arg(&self.name)
            .args(arguments)
            .current_dir(self.folder.path())
            .output()
            .expect("docker-compose");
        let said = [&output.stdout[..], &output.stderr[..]].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(
            output.status.success(),
            "docker-compose {arguments:?}: {said}"
        );
        said
    }

    /// The names of the project's containers that run, sorted.
    pub fn running(&self, service: &str) -> Vec<String> {
        let project = format!("label=com.docker.compose.project={}", self.name);
        let service = format!("label=com.docker.compose.service={service}");
        let filters = ["--filter", &project, "--filter", &service];
        let listed = self
            .cli
            .must(&[&["ps", "--format", "{{.Names}}"], &filters[..]].concat());
        let mut names: Vec<_> = listed.lines().map(ToOwned::to_owned).collect();
        names.sort();
        names
    }

    /// Ends everything that has the project's name, whoever made it.
    fn remove(&self) {
        let filter = format!("label=com.docker.compose.project={}", self.name);
        for (list, remove) in [
            (vec!["ps", "-aq"], vec!["rm", "-fv"]),
            (vec!["network", "ls", "-q"], vec!["network", "rm"]),
            (vec!["volume", "ls", "-q"], vec!["volume", "rm", "-f"]),
        ] {
            let found = self
                .cli
                .docker(&[&list[..], &["--filter", &filter]].concat());
            let found = String::from_utf8_lossy(&found.stdout).into_owned();
            let ids: Vec<&str> = found.lines().collect();
            if !ids.is_empty() {
                self.cli.docker(&[&remove[..], &ids[..]].concat());
            }
        }
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        self.remove();
    }
}
