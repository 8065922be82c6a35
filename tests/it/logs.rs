//! `usher logs`, with child processes as replicas.

use rustix::process::Signal;

use crate::harness::audience::replicas;
use crate::harness::eventually::{check, eventually};
use crate::harness::program::{Finished, Program, origin, run};
use crate::harness::{Edge, Setup};

/// Two replicas that say something to both outputs, one thing of it hostile.
async fn edge() -> Edge {
    let text = format!(
        "[engine]\nkind = \"processes\"\n\
         [[instance]]\nname = \"congress\"\ndomains = [\"congress.example.org\"]\n\
         [instance.service.web]\nrole = \"sessions\"\nmin = 2\nmax = 3\nprobe = \"/\"\n\
         command = [\"sh\", \"-c\", 'echo first; printf \"\\033[31mred\\n\" >&2; exec {}']\n",
        origin().display()
    );
    let edge = Setup::new(&text).start().await;
    replicas(&edge, "web", 2).await;
    edge
}

async fn logs(edge: &Edge, arguments: &[&str]) -> Finished {
    let socket = edge
        .folder
        .path()
        .join("control.sock")
        .display()
        .to_string();
    let all = [&["logs", "--socket", &socket], arguments].concat();
    run(edge.folder.path(), &all).await
}

#[tokio::test]
async fn both_outputs_of_all_replicas_are_merged_and_marked() {
    let edge = edge().await;
    let said = logs(&edge, &["congress"]).await;
    assert_eq!(said.code, 0, "{said:?}");
    for replica in ["congress_web_1", "congress_web_2"] {
        for line in ["stdout | first", "stderr | \u{1b}[31mred", "listens on"] {
            let found = |told: &str| told.contains(replica) && told.contains(line);
            assert!(said.out.lines().any(found), "{replica} {line}: {said:?}");
        }
    }
    let moments: Vec<_> = said.out.lines().map(|line| &line[..20]).collect();
    assert!(moments.is_sorted(), "{said:?}");

    let one = logs(&edge, &["congress/web/2", "--grep", "first"]).await;
    assert_eq!(one.out.lines().count(), 1, "{one:?}");
    assert!(one.out.contains("congress_web_2 stdout | first"), "{one:?}");
    let later = logs(&edge, &["congress", "--since", "2100-01-01T00:00:00Z"]).await;
    assert_eq!((later.code, later.out.as_str()), (0, ""), "{later:?}");
    edge.running.stop().await;
}

#[tokio::test]
async fn who_follows_sees_a_replica_that_starts_later() {
    let edge = edge().await;
    let socket = edge
        .folder
        .path()
        .join("control.sock")
        .display()
        .to_string();
    let arguments = ["logs", "-f", "congress", "--socket", &socket];
    let mut following = Program::start(edge.folder.path(), &arguments);
    let has = async |text: &str| {
        eventually(text, async || {
            check(following.out().contains(text), following.out())
        })
        .await;
    };
    has("congress_web_2 stdout | first").await;
    let order = serde_json::json!({
        "do": "scale", "instance": "congress", "service": "web", "replicas": 3,
    });
    edge.order(&order).await;
    has("congress_web_3 stdout | first").await;
    let once = following
        .out()
        .matches("congress_web_1 stdout | first")
        .count();
    assert_eq!(once, 1, "told once");
    following.signal(Signal::INT);
    following.ended().await;
    edge.running.stop().await;
}

#[tokio::test]
async fn what_does_not_exist_is_named_with_what_does() {
    let edge = edge().await;
    for (target, code, words) in [
        ("congres", 1, "congress"),
        ("congress/wbe", 1, "it has web"),
        ("congress/web/9", 1, "congress_web_1, congress_web_2"),
        ("congress//1", 2, "INSTANCE[/SERVICE[/REPLICA]]"),
    ] {
        let said = logs(&edge, &[target]).await;
        assert_eq!(said.code, code, "{said:?}");
        assert!(said.err.contains(words), "{target}: {said:?}");
    }
    edge.running.stop().await;
}
