//! From nginx-proxy to usher: what is written for who changes over.

use std::fs;

use crate::harness::docker_api::DockerApi;
use crate::harness::program::{Finished, run_with};

async fn init(engine: &DockerApi, folder: &std::path::Path, arguments: &[&str]) -> Finished {
    let host = format!("unix://{}", engine.socket().display());
    run_with(folder, arguments, &[("DOCKER_HOST", host.as_ref())]).await
}

#[tokio::test]
async fn what_runs_becomes_a_configuration_that_only_watches() {
    let engine = DockerApi::start();
    for service in ["core", "worker", "redis", "postgres"] {
        engine
            .speaking("congress", service, "openslides/openslides", &[])
            .await;
    }
    let says = [
        "PATH=/bin",
        "VIRTUAL_HOST=congress.example.org",
        "LETSENCRYPT_HOST=congress.example.org",
        "LETSENCRYPT_EMAIL=ops@example.org",
        "SECRET=hidden",
    ];
    engine
        .speaking("congress", "web", "openslides/openslides", &says)
        .await;
    engine
        .speaking("congress", "nginx", "jwilder/nginx-proxy", &[])
        .await;
    engine.speaking("tools", "shell", "tools", &[]).await;
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("config")).unwrap();

    let written = init(&engine, folder.path(), &["init"]).await;

    assert_eq!(written.code, 0, "{written:?}");
    assert!(written.err.contains("jwilder/nginx-proxy"), "{written:?}");
    assert!(
        written.err.contains("init --compose /srv/congress"),
        "{written:?}"
    );
    let file = folder.path().join("config/usher.toml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(!text.contains("hidden"), "{text}");
    let loaded = usher::config::load(&file, None);
    assert_eq!(loaded.issues, [], "{text}");
    let config = loaded.config.unwrap();
    let congress = &config.instances["congress"];
    assert_eq!(congress.stack.as_str(), "congress");
    assert_eq!(
        config.acme.map(|acme| acme.email),
        Some(Some("ops@example.org".to_owned()))
    );
    assert!(text.contains("# name = \"tools\""), "{text}");

    // What an operator has written since is not touched.
    let again = init(&engine, folder.path(), &["init"]).await;
    assert_eq!(again.code, 2, "{again:?}");
    assert!(again.err.contains("is there already"), "{again:?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
    let printed = init(&engine, folder.path(), &["init", "--config", "-"]).await;
    assert_eq!((printed.code, printed.out.as_str()), (0, text.as_str()));

    let checked = init(&engine, folder.path(), &["check"]).await;
    let told = checked
        .out
        .lines()
        .find(|line| line.contains("jwilder/nginx-proxy"));
    assert!(
        told.is_some_and(|told| told.contains("congress")),
        "{checked:?}"
    );
}

#[tokio::test]
async fn what_proxies_and_containers_by_hand_were_told_is_written_down_or_commented_on() {
    let engine = DockerApi::start();
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("vhost.d")).unwrap();
    fs::write(folder.path().join("vhost.d/default_location"), "deny all;").unwrap();
    let vhosts = folder.path().join("vhost.d").display().to_string();
    let told = ["HTTPS_METHOD=nohttp", "HSTS=max-age=7", "RESOLVERS=9.9.9.9"];
    engine
        .by_hand(
            "proxy",
            "nginxproxy/nginx-proxy",
            &told,
            &[(&vhosts, "/etc/nginx/vhost.d")],
        )
        .await;
    let companion = "nginxproxy/acme-companion";
    let email = ["DEFAULT_EMAIL=ops@example.org"];
    engine.by_hand("companion", companion, &email, &[]).await;
    let says = [
        "VIRTUAL_HOST=intranet.example.org",
        "NETWORK_ACCESS=internal",
        "VIRTUAL_PATH=/wiki/",
        "SERVER_TOKENS=off",
    ];
    engine.by_hand("intranet", "wiki:1", &says, &[]).await;

    let printed = init(&engine, folder.path(), &["init", "--config", "-"]).await;

    assert_eq!(printed.code, 0, "{printed:?}");
    for name in ["docker rm -f proxy", "docker rm -f companion"] {
        assert!(printed.err.contains(name), "{printed:?}");
    }
    let file = folder.path().join("usher.toml");
    fs::write(&file, &printed.out).unwrap();
    let config = usher::config::load(&file, None).config.unwrap();
    let site = &config.instances["intranet"].site;
    assert_eq!(site.allow.len(), 6, "{}", printed.out);
    assert_eq!(site.hsts.as_deref(), Some("max-age=7"));
    assert_eq!(site.https, usher::plan::Https::Only);
    assert_eq!(config.instances["intranet"].routes[0].prefix, "/wiki/");
    let lines = printed
        .out
        .lines()
        .map(|line| line.trim_start_matches("# "));
    let flat = lines.collect::<Vec<_>>().join(" ");
    for part in [
        "Container proxy: RESOLVERS is not followed",
        "default_location",
        "container intranet: SERVER_TOKENS is not followed",
    ] {
        assert!(flat.contains(part), "{part}: {}", printed.out);
    }
}

#[tokio::test]
async fn what_containers_say_and_nobody_follows_is_told() {
    let engine = DockerApi::start();
    let folder = tempfile::tempdir().unwrap();
    let says = ["VIRTUAL_HOST=a.example.org", "NETWORK_ACCESS=internal"];
    engine.speaking("one", "web", "app:1", &says).await;
    engine.speaking("two", "web", "app:1", &says[..1]).await;
    fs::write(
        folder.path().join("usher.toml"),
        "[[instance]]\nname = \"two\"\ndomains = [\"a.example.org\"]\n\
         [instance.service.web]\nrole = \"fixed\"\n",
    )
    .unwrap();

    let checked = init(&engine, folder.path(), &["check", "--config", "usher.toml"]).await;

    let line = |stack: &str| {
        let begin = format!("stack {stack}: what container {stack}_web_1");
        let mut lines = checked.out.lines();
        let found = lines.find(|line| line.contains(&begin));
        found
            .map(str::to_owned)
            .unwrap_or_else(|| panic!("{checked:?}"))
    };
    let one = line("one");
    assert!(
        one.starts_with("warning") && one.contains("NETWORK_ACCESS"),
        "{one}"
    );
    assert!(one.contains("names-from-containers` is \"off\""), "{one}");
    let two = line("two");
    assert!(
        two.starts_with("note") && two.contains("instance two"),
        "{two}"
    );
}

#[tokio::test]
async fn an_engine_that_is_away_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("none.sock");
    let host = format!("unix://{}", nowhere.display());
    let run = run_with(
        folder.path(),
        &["init", "--config", "-"],
        &[("DOCKER_HOST", host.as_ref())],
    )
    .await;
    assert_eq!((run.code, run.out.as_str()), (4, ""), "{run:?}");
    assert!(run.err.contains("is Docker running"), "{run:?}");
}

#[tokio::test]
async fn a_stack_gets_a_copy_of_its_compose_file_without_the_proxy() {
    let engine = DockerApi::start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display().to_string();
    let none = init(&engine, folder.path(), &["init", "--compose", &path]).await;
    assert_eq!(none.code, 2, "{none:?}");
    let original = "services:\n  web:\n    image: web\n  nginx:\n    image: jwilder/nginx-proxy\n\
                    \x20   ports: ['80:80']\n";
    let file = folder.path().join("docker-compose.yml");
    fs::write(&file, original).unwrap();

    let written = init(&engine, folder.path(), &["init", "--compose", &path]).await;

    assert_eq!(written.code, 0, "{written:?}");
    assert!(
        written.err.contains("without the service nginx"),
        "{written:?}"
    );
    let copy = fs::read_to_string(folder.path().join("docker-compose.usher.yml")).unwrap();
    assert_eq!(copy, "services:\n  web:\n    image: web\n");
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        original,
        "the original stays"
    );
    fs::write(&file, "services: {}\n").unwrap();
    let refused = init(&engine, folder.path(), &["init", "--compose", &path]).await;
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(
        refused.err.contains("docker-compose.yml:1: "),
        "{refused:?}"
    );
}
