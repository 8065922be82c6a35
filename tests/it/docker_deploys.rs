//! Deployments by an operator who knows nothing of usher, on the real engine.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_tungstenite::tungstenite::Error;

use crate::harness::audience::{URL, attendees, replicas, service};
use crate::harness::docker::{Project, inspect, must, origin_image};
use crate::harness::eventually::{check, within};
use crate::harness::pki::Pki;
use crate::harness::program::{Program, free_port, run};
use crate::harness::{Edge, Front, Setup, configuration_at, write_pairs};

const PATIENCE: Duration = Duration::from_secs(60);
const QUIET: Duration = Duration::from_secs(4);

fn web(image: &str, version: u32) -> String {
    format!(
        "  web:\n    image: {image}\n    stop_grace_period: 2s\n    environment: {{VERSION: \"{version}\"}}\n"
    )
}

fn tables(project: &Project) -> String {
    format!(
        "[engine]\nkind = \"docker\"\n\
         [[instance]]\nname = \"congress\"\nstack = \"{}\"\ndomains = [\"congress.example.org\"]\n\
         [instance.scale]\nsessions-per-replica = 2\ndown-after = \"2m\"\n\
         [instance.limits]\nreplica-drain = \"20s\"\nreplica-stop = \"2s\"\n\
         [instance.service.web]\nrole = \"sessions\"\nport = 8000\nprobe = \"/\"\nmax = 3\n",
        project.name
    )
}

async fn edge(project: &Project, more: &str) -> Edge {
    let text = format!("{}{more}", tables(project));
    let edge = Setup::new(&text).quiet(QUIET).start().await;
    replicas(&edge, "web", 1).await;
    edge
}

/// All containers of the project, those that do not run included.
fn all(project: &Project) -> Vec<String> {
    let filter = format!("label=com.docker.compose.project={}", project.name);
    let listed = must(&["ps", "-a", "--filter", &filter, "--format", "{{.Names}}"]);
    let mut names: Vec<_> = listed.lines().map(ToOwned::to_owned).collect();
    names.sort();
    names
}

/// A path, the answer to it, and how long that took.
type Seen = (&'static str, u16, Duration);

/// The ids of the web containers that run, by name.
fn ids(project: &Project) -> Vec<String> {
    let names = project.running("web");
    names
        .iter()
        .map(|name| must(&["inspect", "-f", "{{.Id}}", name]))
        .collect()
}

/// The origin's image once more, as another one.
fn another_image(project: &Project) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = format!("FROM {}\nLABEL deployed={}\n", origin_image(), project.name);
    std::fs::write(folder.path().join("Dockerfile"), file).unwrap();
    let tag = format!("{}:new", project.name);
    must(&[
        "build",
        "-q",
        "-t",
        &tag,
        &folder.path().display().to_string(),
    ]);
    tag
}

#[tokio::test]
#[ignore = "needs docker"]
async fn siblings_that_a_plain_up_removes_come_back_when_compose_is_done() {
    let project = Project::new("plainup");
    project.up(&web("IMAGE", 1));
    let original = project.running("web");
    let edge = edge(&project, "").await;
    let _sockets = attendees(&edge, 5).await;
    replicas(&edge, "web", 3).await;

    project.compose(&["up", "-d"]);
    assert_eq!(project.running("web"), original, "Compose's own number");
    // Those whose siblings went have come back to the original.
    let _again = attendees(&edge, 3).await;
    let back = replicas(&edge, "web", 3).await;
    println!("three again {back:?} after a plain `up -d`");
    assert_eq!(all(&project), project.running("web"), "none is left over");

    project.compose(&["down"]);
    within(PATIENCE, "the stack is forgotten", async || {
        let web = service(&edge, "web").await;
        check(web["replicas"].as_array().is_some_and(Vec::is_empty), web)
    })
    .await;
    assert_eq!(all(&project), Vec::<String>::new());
}

#[tokio::test]
#[ignore = "needs docker"]
async fn a_new_image_is_followed_and_static_files_and_requests_go_on() {
    let project = Arc::new(Project::new("newimage"));
    project.up(&web("IMAGE", 1));
    let files = tempfile::tempdir().unwrap();
    std::fs::write(files.path().join("app.css"), "body {}").unwrap();
    let routes = format!(
        "[[instance.route]]\nprefix = \"/static/\"\nfiles = {{ dir = \"{}\" }}\n\
         [[instance.route]]\nprefix = \"/\"\nto = \"web\"\n",
        files.path().display()
    );
    let edge = edge(&project, &routes).await;
    let sockets = attendees(&edge, 3).await;
    replicas(&edge, "web", 2).await;
    let image = another_image(&project);

    // Compose has to recreate every container of the service.
    let over = Cell::new(false);
    let asking = async {
        let mut seen = Vec::new();
        while !over.get() {
            for path in ["/", "/static/app.css"] {
                let url = format!("https://congress.example.org{path}");
                seen.push((path, edge.get(&url).await.status));
            }
            sleep(Duration::from_millis(20)).await;
        }
        seen
    };
    let deployed = async {
        let (project, services) = (Arc::clone(&project), web(&image, 2));
        let up = tokio::task::spawn_blocking(move || project.up(&services));
        up.await.unwrap();
        replicas(&edge, "web", 1).await;
        over.set(true);
    };
    let (seen, ()) = tokio::join!(asking, deployed);
    let bad: Vec<_> = seen.iter().filter(|(_, status)| *status != 200).collect();
    println!(
        "{} requests over a deployment, {} not answered with 200",
        seen.len(),
        bad.len()
    );
    assert!(bad.is_empty(), "{bad:?}");
    drop(sockets);

    let mut sockets = attendees(&edge, 5).await;
    replicas(&edge, "web", 3).await;
    for name in project.running("web") {
        assert_eq!(inspect(&name)["Config"]["Image"], image.as_str(), "{name}");
    }
    for socket in &mut sockets {
        assert!(socket.echo("here").await.ends_with("here"));
    }
    drop(project);
    must(&["image", "rm", "-f", &image]);
}

#[tokio::test]
#[ignore = "needs docker"]
async fn when_compose_recreates_all_at_once_whoever_comes_is_held_and_static_files_go_on() {
    let project = Arc::new(Project::new("recreate"));
    project.up(&web("IMAGE", 1));
    project.compose(&["up", "-d", "--scale", "web=3"]);
    let files = tempfile::tempdir().unwrap();
    std::fs::write(files.path().join("app.css"), "body {}").unwrap();
    let routes = format!(
        "[[instance.route]]\nprefix = \"/static/\"\nfiles = {{ dir = \"{}\" }}\n\
         [[instance.route]]\nprefix = \"/\"\nto = \"web\"\n",
        files.path().display()
    );
    let text = format!("{}{routes}", tables(&project));
    let edge = Setup::new(&text).quiet(QUIET).start().await;
    replicas(&edge, "web", 3).await;
    let before: Vec<_> = ids(&project);
    let sockets = attendees(&edge, 6).await;

    let over = Cell::new(false);
    let asking = async |path: &'static str| {
        let mut seen = Vec::new();
        while !over.get() {
            let began = Instant::now();
            let url = format!("https://congress.example.org{path}");
            seen.push((path, edge.get(&url).await.status, began.elapsed()));
            sleep(Duration::from_millis(20)).await;
        }
        seen
    };
    // Whoever loses a websocket opens another at once, and once more where that meets a container in
    // the moment of its end.
    let attending = async {
        let mut met = 0;
        for socket in sockets {
            socket.closed().await;
            while let Err(error) = edge.ask(URL).websocket().await {
                let ended = matches!(&error, Error::Http(answer) if answer.status() == 502);
                assert!(ended, "{error:?}");
                met += 1;
            }
        }
        met
    };
    let recreated = async {
        let project = Arc::clone(&project);
        let again = ["up", "-d", "--force-recreate", "--scale", "web=3"];
        let up = tokio::task::spawn_blocking(move || project.compose(&again));
        up.await.unwrap();
        replicas(&edge, "web", 3).await;
    };
    let all = async {
        let (back, ()) = tokio::join!(attending, recreated);
        over.set(true);
        back
    };
    let (pages, styles, back) = tokio::join!(asking("/"), asking("/static/app.css"), all);
    let bad = |seen: &[Seen]| {
        let bad = seen.iter().filter(|(_, status, _)| *status != 200);
        bad.copied()
            .map(|(path, status, took)| format!("{path} {status} {took:?}"))
            .collect::<Vec<_>>()
    };
    let slowest = |seen: &[Seen]| seen.iter().map(|one| one.2).max();
    println!(
        "{} pages, the slowest after {:?}; {} static files, the slowest after {:?}",
        pages.len(),
        slowest(&pages),
        styles.len(),
        slowest(&styles),
    );
    // One after the other asks, so that each of the three ends catches one of them at most: what a
    // container had been asked when it was ended is asked nobody else.
    let caught = bad(&pages);
    println!(
        "{} pages and {back} websockets were with a container that ended: {caught:?}",
        caught.len()
    );
    assert!(
        caught.len() <= 3 && caught.iter().all(|one| one.contains(" 502 ")),
        "{caught:?}"
    );
    assert!(back <= 6, "{back}");
    assert_eq!(bad(&styles), [""; 0]);
    assert!(slowest(&styles) < Some(Duration::from_secs(2)));
    for socket in &mut attendees(&edge, 6).await {
        assert!(socket.echo("back").await.ends_with("back"));
    }
    let after = ids(&project);
    assert!(after.iter().all(|id| !before.contains(id)), "all are new");
}

#[tokio::test]
#[ignore = "needs docker"]
async fn a_number_that_an_operator_gives_to_compose_is_heeded_and_kept_up_to_date() {
    let project = Project::new("byhand");
    project.up(&web("IMAGE", 1));
    let text = tables(&project).replace("down-after = \"2m\"", "down-after = \"1s\"");
    let edge = Setup::new(&text).quiet(QUIET).start().await;
    replicas(&edge, "web", 1).await;
    project.compose(&["up", "-d", "--scale", "web=2"]);
    within(PATIENCE, "a floor for half an hour", async || {
        let web = service(&edge, "web").await;
        check(!web["override_until"].is_null() && web["ready"] == 2, web)
    })
    .await;
    // Nobody is there, and for longer than it takes to shrink.
    sleep(Duration::from_secs(3)).await;
    let before = ids(&project);
    assert_eq!(before.len(), 2);

    // One of usher's own comes on top, and Compose has nothing to do.
    let _sockets = attendees(&edge, 5).await;
    replicas(&edge, "web", 3).await;
    let three = ids(&project);
    let said = project.compose(&["up", "-d", "--scale", "web=3"]);
    for word in ["Recreating", "Creating", "Starting", "Stopping"] {
        assert!(!said.contains(word), "it is up to date: {said}");
    }
    assert_eq!(ids(&project), three);
    assert!(before.iter().all(|id| three.contains(id)));
}

#[tokio::test]
#[ignore = "needs docker"]
async fn a_kill_in_the_middle_of_a_scale_up_leaks_nothing() {
    let project = Project::new("killed");
    project.up(&web("IMAGE", 1));
    let folder = tempfile::tempdir().unwrap();
    let text = tables(&project).replace("max = 3", "min = 3\nmax = 3");
    let ports = [0; 3].map(|_: u16| free_port());
    let file = folder.path().join("usher.toml");
    std::fs::write(&file, configuration_at(folder.path(), ports, &text)).unwrap();
    let config = usher::config::load(&file, None).config.unwrap();
    write_pairs(&Pki::new(), &config, &folder.path().join("certs"));
    let file = file.display().to_string();
    let mut killed = Program::start(folder.path(), &["run", "--config", &file]);
    killed.says("start ").await;
    killed.signal(rustix::process::Signal::KILL);
    killed.ended().await;

    let edge = Setup::new(&text).quiet(QUIET).start().await;
    replicas(&edge, "web", 3).await;
    assert_eq!(all(&project), project.running("web"), "none is left over");
    assert_eq!(all(&project).len(), 3);
}

#[tokio::test]
#[ignore = "needs docker"]
async fn the_output_of_containers_is_merged_and_followed() {
    let project = Project::new("logs");
    project.up("  web:\n    image: IMAGE\n    environment: {ORIGIN_NAME: origin}\n  worker:\n    image: IMAGE\n    tty: true\n");
    project.compose(&["up", "-d", "--scale", "web=2"]);
    let text = format!(
        "{}[instance.service.worker]\nrole = \"fixed\"\n",
        tables(&project)
    );
    let edge = Setup::new(&text).start().await;
    replicas(&edge, "web", 2).await;
    let folder = edge.folder.path();
    let socket = folder.join("control.sock").display().to_string();
    let said = run(folder, &["logs", "congress", "--socket", &socket]).await;
    assert_eq!(said.code, 0, "{said:?}");
    for name in project.running("web") {
        let line = format!("{name} stdout | origin listens on 8000");
        assert!(said.out.contains(&line), "{line}: {}", said.out);
    }
    assert!(said.out.contains("worker_1 terminal | "), "{}", said.out);

    let mut following =
        Program::start(folder, &["logs", "-f", "congress/web", "--socket", &socket]);
    project.compose(&["up", "-d", "--scale", "web=3"]);
    let third = format!("{}_web_3 stdout | origin listens on 8000", project.name);
    within(PATIENCE, "the line of a new container", async || {
        check(following.out().contains(&third), following.out())
    })
    .await;
    following.signal(rustix::process::Signal::INT);
    following.ended().await;
}
