//! What has to be on the machine before anything is started.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::stack;
use super::wait::Outcome;

/// Names everything that is missing at once, and how to get it.
pub fn check() -> Outcome<()> {
    let mut missing = Vec::new();
    for (program, package) in [
        ("docker", "docker.io"),
        ("docker-compose", "docker-compose"),
        ("pebble", "pebble"),
        ("pebble-challtestsrv", "pebble"),
    ] {
        if !is_installed(program) {
            missing.push(format!(
                "{program} is not installed: apt-get install {package}"
            ));
        }
    }
    if is_installed("docker") {
        if !succeeds("docker", &["version"]) {
            missing.push(
                "no docker engine answers this user: start dockerd, or join its group".to_owned(),
            );
        } else if !succeeds("docker", &["image", "inspect", &stack::image()]) {
            missing.push(format!(
                "the image {} is missing: tests/acceptance/build-image.sh",
                stack::image()
            ));
        }
    }
    if missing.is_empty() {
        Ok(())
    } else {
        Err(format!("cannot begin\n  {}", missing.join("\n  ")))
    }
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder: PathBuf| folder.join(program))
        .any(|file| file.is_file())
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
