//! Volumes of a driver that is no part of the engine.

use std::fs;
use std::time::Duration;

use crate::harness::audience::replicas;
use crate::harness::daemon::{Apart, Daemon};
use crate::harness::docker::Project;
use crate::harness::eventually::{check, eventually};
use crate::harness::volume_driver::{Says, VolumeDriver};
use crate::harness::{Edge, Setup};

const FILE: &str = "https://congress.example.org/static/site.css";
const STACK: &str = "  web:\n    image: IMAGE\n    stop_grace_period: 1s\n\
                     \u{20} collector:\n    image: IMAGE\n    stop_grace_period: 1s\n    \
                     volumes: [\"static:/static\"]\n    environment: {ROLE: idle}\n";

fn tables(daemon: &Daemon<'_>, project: &Project) -> String {
    format!(
        "[engine]\nkind = \"docker\"\nendpoint = \"unix://{}\"\n\
         [[instance]]\nname = \"congress\"\nstack = \"{}\"\ndomains = [\"congress.example.org\"]\n\
         [instance.scale]\nmode = \"off\"\n\
         [instance.service.web]\nrole = \"sessions\"\nport = 8000\nprobe = \"/\"\n\
         [[instance.route]]\nprefix = \"/\"\nto = \"web\"\n\
         [[instance.route]]\nprefix = \"/static/\"\nfiles = {{ volume = \"static\" }}\n",
        daemon.socket().display(),
        project.name
    )
}

async fn answers(edge: &Edge, status: u16) {
    eventually(&format!("{status} for a file of it"), async || {
        let answer = edge.get(FILE).await;
        check(answer.status == status, (answer.status, answer.text()))
    })
    .await;
}

async fn says(edge: &Edge, words: &str) {
    eventually(&format!("a reason with {words}"), async || {
        let reasons = edge.instance("congress").await["reasons"].to_string();
        check(reasons.contains(words), reasons)
    })
    .await;
}

#[test]
#[ignore = "takes minutes, needs root and dockerd"]
fn files_of_a_drivers_volume_are_served_while_it_is_mounted_and_its_silence_costs_nobody_else() {
    let apart = Apart::new();
    apart.inside(|| driven(&apart));
}

async fn driven(apart: &Apart) {
    let daemon = Daemon::start(apart).await;
    let plugins = apart.path("/run/docker/plugins");
    // The engine goes on asking for all that it has ever used.
    let mut drivers = Vec::new();
    for (name, kind, reason) in [
        ("sometimes", Says::WhileMounted, "is not mounted"),
        ("always", Says::Always, "nothing is mounted on it"),
    ] {
        let driver = VolumeDriver::start(&plugins, name, kind);
        let project = Project::on(daemon.cli(), name);
        project.up_with(STACK, &format!("volumes:\n  static:\n    driver: {name}\n"));
        let folder = driver.place(&format!("{}_static", project.name));
        fs::write(folder.join("site.css"), "body { color: red }").unwrap();
        let edge = Setup::new(&tables(&daemon, &project)).start().await;
        replicas(&edge, "web", 1).await;
        answers(&edge, 200).await;

        project.compose(&["stop", "collector"]);
        answers(&edge, 503).await;
        says(&edge, reason).await;
        println!("{kind:?}: {}", edge.instance("congress").await["reasons"]);
        project.compose(&["start", "collector"]);
        answers(&edge, 200).await;

        // The engine waits a minute for it, and with it whoever asks the engine for volumes, as is done
        // when there is another one.
        driver.mute(true);
        let label = format!("com.docker.compose.project={}", project.name);
        daemon.cli().must(&["volume", "create", "--label", &label]);
        project.compose(&["up", "-d", "--scale", "web=2"]);
        let up = replicas(&edge, "web", 2).await;
        project.compose(&["up", "-d", "--scale", "web=1"]);
        let down = replicas(&edge, "web", 1).await;
        println!(
            "with a silent driver a container was followed after {up:.1?}, its end after {down:.1?}"
        );
        assert!(up.max(down) < Duration::from_secs(3), "{up:?} {down:?}");
        assert_eq!(edge.stats().await["engine"]["connected"], true);
        answers(&edge, 200).await;
        driver.mute(false);
        edge.running.stop().await;
        drivers.push(driver);
    }
}
