//! Containers that only say they are of a project.

use serde_json::json;

use crate::harness::Setup;
use crate::harness::audience::replicas;
use crate::harness::docker_api::DockerApi;
use crate::harness::eventually::{check, eventually};

fn tables(api: &DockerApi) -> String {
    format!(
        "[engine]\nkind = \"docker\"\nendpoint = \"unix://{}\"\n\
         [[instance]]\nname = \"congress\"\ndomains = [\"congress.example.org\"]\n\
         [instance.scale]\nsessions-per-replica = 2\ndown-after = \"1s\"\n\
         [instance.service.web]\nrole = \"sessions\"\nport = 8000\nprobe = \"/\"\nmax = 4\n",
        api.socket().display()
    )
}

#[tokio::test]
async fn who_lies_about_its_project_gets_no_visitors_is_no_model_and_is_told_of() {
    let api = DockerApi::start();
    api.network("congress");
    api.compose("congress", "web", 1).await;
    let edge = Setup::new(&tables(&api)).start().await;
    replicas(&edge, "web", 1).await;
    api.posing("congress", "web", "evil_web_0").await;
    eventually("the lie is told", async || {
        let reasons = edge.instance("congress").await["reasons"].to_string();
        check(
            reasons.contains("container evil_web_0 is left out"),
            reasons,
        )
    })
    .await;
    for _ in 0..20 {
        let answer = edge.get("https://congress.example.org/").await.json();
        assert_eq!(answer["origin"], "congress_web_1");
    }
    // It has the lowest number, which is what a model is chosen by.
    let order = json!({
        "do": "scale", "instance": "congress", "service": "web", "replicas": 2,
    });
    let said = edge.order(&order).await;
    assert_eq!(said["done"], true, "{said}");
    replicas(&edge, "web", 2).await;
    assert_eq!(
        api.running(),
        ["congress_web_1", "congress_web_2", "evil_web_0"]
    );
}
