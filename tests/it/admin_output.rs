//! The end of what replicas print, on the page of their instance.

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Duration, timeout};

use crate::harness::audience::replicas;
use crate::harness::eventually::{check, eventually};
use crate::harness::program::origin;
use crate::harness::{Edge, Setup};

/// Two replicas that print more than a page shows, something hostile, and a line for each file that
/// appears; and an instance beside them.
pub async fn edge() -> Edge {
    let mut setup = Setup::new("");
    let said = setup.path("said");
    let speak = format!(
        "seq 1 150; printf \"\\033[31m<script>alert(1)</script>\\n\" >&2; \
         (until [ -e {} ]; do sleep 0.1; done; echo \"it is said\") & exec {}",
        said.display(),
        origin().display()
    );
    setup.text(&format!(
        "[engine]\nkind = \"processes\"\n\
         [[instance]]\nname = \"congress\"\ndomains = [\"congress.example.org\"]\n\
         [instance.service.web]\nrole = \"sessions\"\nmin = 2\nmax = 3\nprobe = \"/\"\n\
         command = [\"sh\", \"-c\", '{speak}']\n\
         [[instance]]\nname = \"assembly\"\ndomains = [\"assembly.example.org\"]\n\
         [instance.service.web]\nrole = \"sessions\"\nprobe = \"/\"\n\
         command = [\"sh\", \"-c\", 'echo secret of the assembly; exec {}']\n",
        origin().display()
    ));
    let edge = setup.start().await;
    replicas(&edge, "web", 2).await;
    edge
}

/// What stands between the ends of the box of lines.
fn tail(page: &str) -> &str {
    let (_, rest) = page.split_once("id=\"tail\"").expect("a box");
    rest.split_once("</section>").expect("its end").0
}

async fn shown(edge: &Edge, path: &str, what: &str, good: impl Fn(&str) -> bool) -> String {
    eventually(what, async || {
        let page = edge.admin(path).await;
        let text = page.text();
        check(page.status == 200 && good(tail(&text)), text.clone()).map(|()| text)
    })
    .await
}

#[tokio::test]
async fn the_page_shows_the_last_lines_of_all_replicas_or_of_a_chosen_one() {
    let edge = edge().await;
    let both = |tail: &str| {
        ["congress_web_1", "congress_web_2"]
            .iter()
            .all(|name| tail.contains(name))
    };
    let all = shown(&edge, "/instance/congress", "both replicas", both).await;
    let all = tail(&all);
    assert_eq!(all.matches("<li").count(), 200, "{all}");
    assert!(all.contains(">150<"), "{all}");
    assert!(
        all.contains("&lt;script&gt;") && !all.contains("<script"),
        "{all}"
    );
    assert!(!all.contains('\u{1b}') && !all.contains("secret"), "{all}");

    let path = "/instance/congress?replica=congress_web_2";
    let one = shown(&edge, path, "its lines", |tail| tail.contains(">150<")).await;
    assert!(!tail(&one).contains("congress_web_"), "{one}");
    assert!(one.contains("the last lines of congress_web_2"), "{one}");
    let path = "/instance/congress?replica=congress_web_9";
    let nobody = shown(&edge, path, "who is there", both).await;
    assert!(
        tail(&nobody).contains("has no replica `congress_web_9`"),
        "{nobody}"
    );
    edge.running.stop().await;
}

#[tokio::test]
async fn what_is_printed_appears_on_an_open_page() {
    let edge = edge().await;
    let mut stream = TcpStream::connect(edge.running.admin)
        .await
        .expect("connected");
    let request = b"GET /events?view=output&instance=congress&replica=congress_web_1 HTTP/1.1\r\n\
                    host: localhost\r\n\r\n";
    stream.write_all(request).await.expect("sent");
    let mut lines = BufReader::new(stream).lines();
    let mut records = async || {
        let mut event = String::new();
        let next = async {
            loop {
                let line = lines.next_line().await.expect("a line").expect("no end");
                if let Some(name) = line.strip_prefix("event: ") {
                    event = name.to_owned();
                } else if let Some(data) = line.strip_prefix("data: ") {
                    let data: Value = serde_json::from_str(data).expect(data);
                    return (event.clone(), data);
                }
            }
        };
        timeout(Duration::from_secs(30), next)
            .await
            .expect("a record")
    };
    // The pieces of the page come in the same stream.
    let mut seen = Vec::new();
    while !["full", "output", "change"]
        .iter()
        .all(|one| seen.contains(one))
    {
        let (event, data) = records().await;
        if event == "output" {
            assert_eq!(data["whole"], true, "{data}");
            assert!(data["text"].to_string().contains(">150<"), "{data}");
        }
        seen.push(
            ["full", "output", "change"]
                .into_iter()
                .find(|one| *one == event)
                .expect("known"),
        );
    }
    std::fs::write(edge.folder.path().join("said"), "").expect("written");
    loop {
        let (event, data) = records().await;
        if event == "output" {
            assert_eq!(data["whole"], false, "{data}");
            assert!(data["text"].to_string().contains("it is said"), "{data}");
            break;
        }
    }
    edge.running.stop().await;
}
