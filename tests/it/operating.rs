//! What an operator types, and what it does.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::harness::docker_api::DockerApi;
use crate::harness::eventually::{check, eventually};
use crate::harness::program::{Program, origin, usher};
use crate::harness::{Front, Installed, Origin, instance};

async fn webs(installed: &Installed) -> Vec<Value> {
    let stats = installed.stats().await;
    let replicas = &stats["instances"][0]["services"][0]["replicas"];
    replicas.as_array().cloned().unwrap_or_default()
}

#[tokio::test]
async fn a_replica_is_drained_and_replaced_and_its_sessions_end_by_themselves() {
    let text = format!(
        "[engine]\nkind = \"processes\"\n\
         [[instance]]\nname = \"congress\"\ndomains = [\"congress.example.org\"]\n\
         [instance.service.web]\nrole = \"sessions\"\ncommand = [\"{}\"]\nmin = 2\nmax = 3\n\
         probe = \"/\"\n",
        origin().display()
    );
    let installed = Installed::new(&text);
    let _usher = installed.start().await;
    let ready = async |count: usize| {
        eventually("replicas that are ready", async || {
            let webs = webs(&installed).await;
            let ready = webs.iter().filter(|web| web["state"] == "ready").count();
            check(ready == count, webs.clone()).map(|()| webs)
        })
        .await
    };
    ready(2).await;
    let url = "wss://congress.example.org/ws/";
    let mut socket = installed.ask(url).websocket().await.unwrap();
    let with = eventually("whose it is", async || {
        let webs = webs(&installed).await;
        let found = webs.iter().find(|web| web["websockets"] == 1).cloned();
        found.ok_or(webs)
    })
    .await;
    let name = with["name"].as_str().unwrap().to_owned();
    let target = format!("congress/web/{name}");
    let mut drain = Program::start(
        installed.folder.path(),
        &["drain", &target, "--config", "usher.toml"],
    );
    drain.says("is draining: 1 session is open").await;
    // Two are wanted, so a third comes; who is inside stays there.
    let webs = ready(2).await;
    let left = webs.iter().find(|web| web["id"] == with["id"]).unwrap();
    assert_eq!(left["state"], "draining", "{webs:?}");
    assert!(socket.echo("here").await.ends_with(": here"));
    assert!(drain.runs(), "{}", drain.err());
    socket.close().await;
    drain.says(&format!("{name} has left")).await;
    assert_eq!(drain.ended().await.code(), Some(0));

    let wrong = installed.command(&["drain", "congress/web"]).await;
    assert_eq!(wrong.code, 2, "{wrong:?}");
    let wrong = installed.command(&["drain", "congress/web/nobody"]).await;
    assert_eq!(wrong.code, 1, "{wrong:?}");
    assert!(wrong.err.contains("there is no one replica"), "{wrong:?}");
}

#[tokio::test]
async fn the_status_is_watched_and_has_no_colours_for_a_pipe() {
    let origin = Origin::start("one").await;
    let installed = Installed::new(&instance("congress", &[origin.address]));
    let mut watch = Program::start(
        installed.folder.path(),
        &["status", "--watch", "--config", "usher.toml"],
    );
    // It is there before usher is, and outlives it.
    let shows = async |watch: &Program, text: &str| {
        eventually(text, async || {
            let out = watch.out();
            check(
                out.lines().last().is_some_and(|line| line.contains(text)),
                out,
            )
        })
        .await;
    };
    shows(&watch, "error: no usher answers").await;
    let usher = installed.start().await;
    shows(&watch, "overall: healthy").await;
    assert!(!watch.out().contains('\x1b'), "{}", watch.out());
    drop(usher);
    shows(&watch, "error: no usher answers").await;
    assert!(watch.runs());
}

#[test]
fn a_password_is_hashed_as_files_of_passwords_have_it() {
    let hashed = |arguments: &[&str], typed: &str| {
        let mut child = Command::new(usher())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(typed.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    let (code, line, err) = hashed(&["hash-password", "ops"], "correct horse\n");
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(
        line.starts_with("ops:$2y$10$") && line.ends_with('\n'),
        "{line}"
    );
    assert!(!line.contains("horse"));
    let (code, line, err) = hashed(&["hash-password"], "");
    assert_eq!((code, line.as_str()), (Some(2), ""));
    assert!(err.contains("empty"), "{err}");
}

#[test]
fn every_command_can_be_completed() {
    let output = |arguments: &[&str]| {
        let output = Command::new(usher()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let help = output(&["--help"]);
    let commands: Vec<&str> = help
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split("  ").next())
        .filter(|name| !name.is_empty() && !name.starts_with([' ', '-']))
        .collect();
    assert!(commands.len() > 15, "{help}");
    for shell in ["bash", "zsh", "fish"] {
        let script = output(&["completions", shell]);
        for command in &commands {
            assert!(script.contains(command), "{command} in {shell}");
        }
    }
    let unknown = Command::new(usher())
        .args(["completions", "edlin"])
        .output();
    assert_eq!(unknown.unwrap().status.code(), Some(2));
}

#[tokio::test]
async fn a_service_that_is_not_scaled_is_stopped_when_nobody_is_inside_and_started_again() {
    let api = DockerApi::start();
    api.compose("congress", "web", 1).await;
    api.compose("congress", "shop", 1).await;
    let text = format!(
        "[engine]\nkind = \"docker\"\nendpoint = \"unix://{}\"\n\
         [[instance]]\nname = \"congress\"\ndomains = [\"congress.example.org\"]\n\
         [instance.service.web]\nrole = \"sessions\"\nport = 8000\nprobe = \"/\"\nmax = 2\n\
         [instance.service.shop]\nrole = \"fixed\"\nport = 8000\nprobe = \"/\"\n\
         [[instance.route]]\nprefix = \"/\"\nto = \"shop\"\n\
         [[instance.route]]\nprefix = \"/web/\"\nto = \"web\"\n",
        api.socket().display()
    );
    let installed = Installed::new(&text);
    let _usher = installed.start().await;
    installed
        .answers("https://congress.example.org/", 200)
        .await;
    let url = "wss://congress.example.org/ws/";
    let mut socket = installed.ask(url).websocket().await.unwrap();
    eventually("it is counted", async || {
        let open = installed.stats().await["totals"]["websockets"].clone();
        check(open == 1, open)
    })
    .await;

    let stop = installed.command(&["stop", "congress/shop"]).await;
    assert_eq!(stop.code, 0, "{stop:?}");
    assert!(stop.out.contains("1 open now"), "{stop:?}");
    eventually("it drains", async || {
        let stats = installed.stats().await;
        let services = stats["instances"][0]["services"].as_array().cloned();
        let shop = services.unwrap_or_default().into_iter();
        let shop = shop.filter(|one| one["name"] == "shop").collect::<Vec<_>>();
        check(shop[0]["replicas"][0]["state"] == "draining", shop)
    })
    .await;
    assert!(socket.echo("here").await.ends_with(": here"));
    assert_eq!(api.running(), ["congress_shop_1", "congress_web_1"]);
    socket.close().await;
    eventually("it is stopped", async || {
        check(api.running() == ["congress_web_1"], api.running())
    })
    .await;
    assert_eq!(api.cut(), Vec::<String>::new());

    let start = installed.command(&["start", "congress/shop"]).await;
    assert_eq!(start.code, 0, "{start:?}");
    installed
        .answers("https://congress.example.org/", 200)
        .await;
    assert_eq!(api.running(), ["congress_shop_1", "congress_web_1"]);
    assert_eq!(api.calls("POST /containers/create").len(), 0);

    let scaled = installed.command(&["stop", "congress/web"]).await;
    assert_eq!(scaled.code, 1, "{scaled:?}");
    assert!(
        scaled.err.contains("usher scale congress/web"),
        "{scaled:?}"
    );
    let usage = installed.command(&["start", "congress"]).await;
    assert_eq!(usage.code, 2, "{usage:?}");
}

#[tokio::test]
async fn a_service_that_is_a_child_process_starts_from_nothing_and_stops_at_a_word() {
    let text = format!(
        "[engine]\nkind = \"processes\"\n\
         [[instance]]\nname = \"congress\"\ndomains = [\"congress.example.org\"]\n\
         [instance.service.shop]\nrole = \"fixed\"\ncommand = [\"{}\"]\nprobe = \"/\"\n\
         [[instance.route]]\nprefix = \"/\"\nto = \"shop\"\n",
        origin().display()
    );
    let installed = Installed::new(&text);
    let _usher = installed.start().await;
    let url = "https://congress.example.org/";
    installed.answers(url, 503).await;
    assert_eq!(webs(&installed).await, Vec::<Value>::new());

    for _ in 0..2 {
        let start = installed.command(&["start", "congress/shop"]).await;
        assert_eq!(start.code, 0, "{start:?}");
        assert!(start.out.contains("congress/shop: starts"), "{start:?}");
        installed.answers(url, 200).await;
        let again = installed.command(&["start", "congress/shop"]).await;
        assert!(again.out.contains("runs already"), "{again:?}");
        let shops = webs(&installed).await;
        assert_eq!(shops.len(), 1, "{shops:?}");

        let stop = installed.command(&["stop", "congress/shop"]).await;
        assert!(stop.out.contains("nobody is inside"), "{stop:?}");
        eventually("it has ended", async || {
            let shops = webs(&installed).await;
            check(shops.is_empty(), shops)
        })
        .await;
    }
}

#[tokio::test]
async fn an_order_for_a_replica_that_is_none_is_declined() {
    let origin = Origin::start("one").await;
    let installed = Installed::new(&instance("congress", &[origin.address]));
    let _usher = installed.start().await;
    let order = json!({
        "do": "drain", "instance": "congress", "service": "web",
        "replica": origin.address.to_string(),
    });
    let said = installed.order(&order).await;
    assert_eq!(said["done"], false);
    assert!(
        said.to_string().contains("addresses of the configuration"),
        "{said}"
    );
}
