//! Deployments by an operator who knows nothing of usher, on the real engine.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::harness::audience::{attendees, replicas, service};
use crate::harness::docker::{Project, inspect, must, origin_image};
use crate::harness::eventually::{check, within};
use crate::harness::pki::Pki;
use crate::harness::program::{Program, free_port, run};
use crate::harness::{Edge, Setup, configuration_at, write_pairs};

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
