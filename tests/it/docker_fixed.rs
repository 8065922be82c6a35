//! Services that are not scaled, stopped and started at an operator's word.

use serde_json::{Value, json};

use crate::harness::audience::{replicas, service};
use crate::harness::docker::{Project, inspect};
use crate::harness::eventually::{check, eventually};
use crate::harness::{Edge, Front, Setup};

const URL: &str = "https://congress.example.org/extra/";
const STACK: &str = "  web:\n    image: IMAGE\n    stop_grace_period: 2s\n\
                     \u{20} extra:\n    image: IMAGE\n    stop_grace_period: 2s\n";

async fn told(edge: &Edge, word: &str) -> Value {
    edge.order(&json!({ "do": word, "instance": "congress", "service": "extra" }))
        .await
}

async fn answers(edge: &Edge, status: u16) {
    eventually(&format!("{status}"), async || {
        let seen = edge.get(URL).await.status;
        check(seen == status, seen)
    })
    .await;
}

#[tokio::test]
#[ignore = "needs docker"]
async fn a_fixed_service_ends_at_a_word_when_nobody_is_inside_and_rests_until_the_next_word() {
    let project = Project::new("fixed");
    project.up(STACK);
    let extra = project.running("extra").remove(0);
    let state = || inspect(&extra)["State"].clone();
    let text = format!(
        "[engine]\nkind = \"docker\"\n\
         [[instance]]\nname = \"congress\"\nstack = \"{}\"\ndomains = [\"congress.example.org\"]\n\
         [instance.service.web]\nrole = \"sessions\"\nport = 8000\nprobe = \"/\"\nmax = 2\n\
         [instance.service.extra]\nrole = \"fixed\"\nport = 8000\nprobe = \"/\"\n\
         [[instance.route]]\nprefix = \"/\"\nto = \"web\"\n\
         [[instance.route]]\nprefix = \"/extra/\"\nto = \"extra\"\n\
         [[instance.route]]\nprefix = \"/ws/\"\nto = \"extra\"\n",
        project.name
    );
    let edge = Setup::new(&text).start().await;
    replicas(&edge, "web", 1).await;
    replicas(&edge, "extra", 1).await;
    answers(&edge, 200).await;
    let first = state();
    let mut inside = edge
        .ask("wss://congress.example.org/ws/")
        .websocket()
        .await
        .unwrap();
    eventually("somebody is inside", async || {
        let extra = service(&edge, "extra").await;
        check(extra["replicas"][0]["websockets"] == 1, extra)
    })
    .await;

    let said = told(&edge, "stop").await;
    assert_eq!(said["done"], true, "{said}");
    assert!(said.to_string().contains("1 open now"), "{said}");
    answers(&edge, 503).await;
    assert!(inside.echo("still here").await.ends_with("still here"));
    assert_eq!(state()["Running"], true, "somebody is inside");

    inside.close().await;
    eventually("it has ended", async || {
        let state = state();
        check(state["Running"] == false, state)
    })
    .await;
    assert_eq!(state()["ExitCode"], 0, "nobody had to kill it: {}", state());
    eventually("it rests", async || {
        let extra = service(&edge, "extra").await;
        check(
            extra["replicas"].as_array().is_some_and(Vec::is_empty),
            extra,
        )
    })
    .await;
    // usher goes on acting in the stack, and looks at all of it.
    let two = json!({ "do": "scale", "instance": "congress", "service": "web", "replicas": 2 });
    let said = edge.order(&two).await;
    assert_eq!(said["done"], true, "{said}");
    replicas(&edge, "web", 2).await;
    let own = edge.instance("congress").await;
    assert_eq!(state()["Running"], false, "nobody starts it again");
    // Told as what it is, and not as a failure.
    let reasons = own["reasons"].as_array().cloned().unwrap_or_default();
    let texts: Vec<_> = reasons.iter().map(|reason| &reason["text"]).collect();
    assert_eq!(texts, ["extra was stopped"]);
    assert_eq!(edge.get(URL).await.status, 503);

    let said = told(&edge, "start").await;
    assert_eq!(said["done"], true, "{said}");
    answers(&edge, 200).await;
    assert_eq!(
        project.running("extra"),
        [extra.as_str()],
        "the same container"
    );
    assert_ne!(state()["StartedAt"], first["StartedAt"]);
    let said = told(&edge, "start").await;
    assert!(said.to_string().contains("runs already"), "{said}");
}
