//! Proxies and companions of old that run beside usher.

use std::time::Duration;

use tokio::time::sleep;

use crate::harness::acme::Trusting;
use crate::harness::acme_fault::{AcmeFault, Step};
use crate::harness::docker_api::DockerApi;
use crate::harness::eventually::{check, eventually};
use crate::harness::pebble::Pebble;
use crate::harness::{Front, Installed};

const SAYS: [&str; 2] = [
    "VIRTUAL_HOST=a.example.org",
    "LETSENCRYPT_HOST=a.example.org",
];

fn tables(docker: &DockerApi) -> String {
    format!(
        "[engine]\nkind = \"docker\"\nendpoint = \"unix://{}\"\nnames-from-containers = \"open\"\n",
        docker.socket().display()
    )
}

async fn reasons(installed: &Installed) -> String {
    installed.stats().await["reasons"].to_string()
}

#[tokio::test]
async fn a_proxy_of_a_stack_that_still_runs_is_told_once_and_no_more_when_it_has_ended() {
    let docker = DockerApi::start();
    docker
        .speaking("congress", "nginx", "jwilder/nginx-proxy", &[])
        .await;
    docker
        .speaking("congress", "web", "app:1", &SAYS[..1])
        .await;
    let installed = Installed::new(&tables(&docker));
    let usher = installed.start().await;
    let told = "stack congress: its service nginx (jwilder/nginx-proxy) still runs";
    eventually("the proxy is told of", async || {
        let reasons = reasons(&installed).await;
        check(reasons.contains(told), reasons)
    })
    .await;
    // Another listing says nothing new.
    docker.speaking("wiki", "web", "app:1", &[]).await;
    docker.ends("congress_nginx_1");
    eventually("it has ended", async || {
        let reasons = reasons(&installed).await;
        check(!reasons.contains(told), reasons)
    })
    .await;
    let lines = usher.err();
    assert_eq!(
        lines.matches("another proxy runs beside usher").count(),
        1,
        "{lines}"
    );
}

#[tokio::test]
#[ignore = "needs pebble"]
async fn nothing_is_ordered_into_a_folder_that_a_companion_still_has() {
    let docker = DockerApi::start();
    let installed = Installed::new("");
    let pebble = Pebble::start(installed.http().port()).await;
    let authority = AcmeFault::start(&pebble).await;
    let certs = installed.certs().display().to_string();
    let image = "jrcs/letsencrypt-nginx-proxy-companion";
    docker
        .by_hand("companion", image, &[], &[(&certs, "/etc/nginx/certs")])
        .await;
    docker.speaking("blog", "web", "app:1", &SAYS).await;
    installed.write(&format!(
        "{}{}",
        tables(&docker),
        pebble.tables_behind(&authority)
    ));
    let _usher = installed.start().await;
    eventually("the companion is told of", async || {
        let reasons = reasons(&installed).await;
        let told = reasons.contains("usher orders none until it has ended");
        check(told && reasons.contains("container companion"), reasons)
    })
    .await;
    // Long enough for an order that should not be.
    sleep(Duration::from_secs(3)).await;
    assert_eq!(authority.count(Step::NewOrder), 0);

    docker.ends("companion");
    let front = Trusting(&installed, pebble.trusting().await);
    front.issued("a.example.org").await;
    assert_eq!(authority.count(Step::NewOrder), 1);
}
