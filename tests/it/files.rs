//! Static files: what browsers and caches need.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

use http::Method;

use crate::harness::eventually::check;
use crate::harness::{Answer, Edge, Front, Setup, eventually};

const URL: &str = "https://congress.example.org";

const ROUTES: &str = "[[instance]]\nname = \"congress\"\ndomains = [\"congress.example.org\"]\n\
     [[instance.route]]\nprefix = \"/static/\"\nfiles = { dir = \"FOLDER/static\" }\n\
     cache-control = \"no-cache\"\n\
     [[instance.route]]\nprefix = \"/backup/\"\n\
     files = { dir = \"FOLDER\", path = \"backup\", listing = true }\n\
     [[instance.route]]\nprefix = \"/\"\nfile = { dir = \"FOLDER/static\", path = \"index.html\" }\n\
     [[instance.route]]\nprefix = \"/gone/\"\nfiles = { dir = \"FOLDER/missing\" }\n";

/// An edge with these files in its folder.
async fn edge_with(files: &[(&str, &[u8])]) -> Edge {
    let mut setup = Setup::new("");
    let folder = setup.path("");
    setup.text(&ROUTES.replace(
        "FOLDER",
        folder.to_str().expect("UTF-8").trim_end_matches('/'),
    ));
    for (name, content) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    setup.start().await
}

async fn edge() -> Edge {
    let app = "x".repeat(700_000);
    edge_with(&[
        ("static/index.html", b"<!doctype html>home"),
        ("static/css/site.css", b"body { color: red }"),
        ("static/css/site.55e7cbb9ba48.css", b"body { color: red }"),
        ("static/app.js", app.as_bytes()),
    ])
    .await
}

/// A script that is worth compressing.
fn script(word: &str) -> String {
    (0..2_000)
        .map(|line| format!("console.log('{word} {line}');\n"))
        .collect()
}

fn decode(answer: &Answer) -> String {
    let mut text = String::new();
    let bytes = answer.body.as_ref();
    let read = match answer.field("content-encoding") {
        "br" => brotli::Decompressor::new(bytes, 4096).read_to_string(&mut text),
        "zstd" => zstd::Decoder::new(bytes).unwrap().read_to_string(&mut text),
        "gzip" => flate2::read::GzDecoder::new(bytes).read_to_string(&mut text),
        "" => return answer.text(),
        other => panic!("{other}"),
    };
    read.unwrap();
    text
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn set_modified(path: &Path, ago: Duration) {
    let file = File::options().append(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - ago).unwrap();
}

impl Edge {
    /// Asks until the answer comes in this coding, with the last part of the path as it is asked.
    async fn coded(&self, path: &str, accept: &str, coding: &str) -> Answer {
        eventually(&format!("{path} in {coding}"), async || {
            let answer = self.ask(&format!("{URL}{path}"));
            let answer = answer.field("accept-encoding", accept).send().await;
            check(
                answer.field("content-encoding") == coding,
                answer.fields.clone(),
            )
            .map(|()| answer)
        })
        .await
    }
}

#[tokio::test]
async fn files_come_with_what_browsers_and_caches_need() {
    let edge = edge().await;

    for http2 in [false, true] {
        let ask = |path: &str| {
            let ask = edge.ask(&format!("{URL}{path}"));
            if http2 { ask.http2() } else { ask }
        };
        let css = ask("/static/css/site.css").send().await;
        assert_eq!(
            (css.status, css.text().as_str()),
            (200, "body { color: red }")
        );
        assert_eq!(css.field("content-type"), "text/css; charset=utf-8");
        assert_eq!(css.field("cache-control"), "no-cache");
        assert_eq!(css.field("accept-ranges"), "bytes");
        assert_ne!(css.field("last-modified"), "");
        let again = ask("/static/css/site.css").field("if-none-match", css.field("etag"));
        assert_eq!(again.send().await.status, 304);
        let since = css.field("last-modified").to_owned();
        let again = ask("/static/css/site.css")
            .field("if-modified-since", &since)
            .send()
            .await;
        assert_eq!((again.status, again.body.len()), (304, 0));

        let part = ask("/static/css/site.css")
            .field("range", "bytes=5-9")
            .send()
            .await;
        assert_eq!((part.status, part.text().as_str()), (206, "{ col"));
        assert_eq!(part.field("content-range"), "bytes 5-9/19");
        let beyond = ask("/static/css/site.css")
            .field("range", "bytes=50-")
            .send()
            .await;
        assert_eq!(beyond.status, 416);

        let head = ask("/static/app.js").method(Method::HEAD).send().await;
        assert_eq!((head.status, head.body.len()), (200, 0));
        assert_eq!(head.field("content-length"), "700000");
        assert_eq!(ask("/static/app.js").send().await.body.len(), 700_000);
    }
}

#[tokio::test]
async fn one_file_answers_every_path_of_a_single_page_application() {
    let edge = edge().await;
    for path in ["/", "/agenda", "/users/7?tab=a"] {
        let answer = edge.get(&format!("{URL}{path}")).await;
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "<!doctype html>home")
        );
        assert_eq!(answer.field("content-type"), "text/html; charset=utf-8");
    }
    let answer = edge
        .ask(&format!("{URL}/form"))
        .method(Method::POST)
        .send()
        .await;
    assert_eq!(answer.status, 405);
}

#[tokio::test]
async fn a_folder_that_is_missing_costs_its_own_route_only() {
    let edge = edge().await;
    let answer = edge.get(&format!("{URL}/gone/x")).await;
    assert_eq!(answer.status, 503);
    assert_eq!(edge.get(URL).await.status, 200);
}

#[tokio::test]
async fn text_is_compressed_once_in_the_background_and_then_served_from_memory() {
    let before = script("before");
    let edge = edge_with(&[("static/app.js", before.as_bytes())]).await;
    let path = "/static/app.js";

    let first = edge.ask(&format!("{URL}{path}"));
    let first = first.field("accept-encoding", "gzip, br").send().await;
    assert_eq!(first.field("content-encoding"), "", "at once, as it is");
    assert_eq!(first.text(), before);
    assert_eq!(first.field("vary"), "accept-encoding");

    let mut tags = vec![first.field("etag").to_owned()];
    for (accept, coding) in [
        ("gzip, br, zstd", "br"),
        ("gzip, zstd", "zstd"),
        ("gzip", "gzip"),
        ("br;q=0.5, gzip", "gzip"),
    ] {
        let answer = edge.coded(path, accept, coding).await;
        assert_eq!(decode(&answer), before, "{accept}");
        assert!(answer.body.len() < before.len() / 4, "{accept}");
        assert_eq!(answer.field("vary"), "accept-encoding");
        assert_eq!(
            answer.field("content-type"),
            "text/javascript; charset=utf-8"
        );
        tags.push(answer.field("etag").to_owned());
    }
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), 4, "one tag for each form: {tags:?}");

    for http2 in [false, true] {
        let ask = || {
            let ask = edge.ask(&format!("{URL}{path}"));
            let ask = ask.field("accept-encoding", "br");
            if http2 { ask.http2() } else { ask }
        };
        let whole = ask().send().await;
        assert_eq!(
            (whole.field("content-encoding"), decode(&whole).as_str()),
            ("br", before.as_str())
        );
        let head = ask().method(Method::HEAD).send().await;
        assert_eq!(
            head.field("content-length"),
            whole.body.len().to_string(),
            "HEAD tells what GET sends"
        );
        for tag in [whole.field("etag"), first.field("etag")] {
            let again = ask().field("if-none-match", tag).send().await;
            assert_eq!((again.status, again.field("etag")), (304, tag));
        }
        let other = ask().field("if-match", "\"other\"").send().await;
        assert_eq!(other.status, 412);
        let part = ask().field("range", "bytes=0-10").send().await;
        assert_eq!((part.status, part.text()), (206, before[..11].to_owned()));
        assert_eq!(part.field("content-encoding"), "");
        let none = edge.get(&format!("{URL}{path}")).await;
        assert_eq!(none.text(), before);
    }

    let after = script("after");
    fs::write(edge.folder.path().join("static/app.js"), &after).unwrap();
    eventually("the new content, compressed", async || {
        let answer = edge.coded(path, "br", "br").await;
        check(decode(&answer) == after, ())
    })
    .await;
}

#[tokio::test]
async fn what_was_compressed_beforehand_is_served_and_what_is_older_than_its_file_is_not() {
    let text = script("now");
    let (fresh, stale) = (gzip(&text), gzip("stale"));
    let edge = edge_with(&[
        ("static/fresh.css", text.as_bytes()),
        ("static/fresh.css.gz", &fresh),
        ("static/stale.css", text.as_bytes()),
        ("static/stale.css.gz", &stale),
        ("static/picture.png", b"picture"),
        ("static/picture.png.gz", &stale),
    ])
    .await;
    let folder = edge.folder.path().join("static");
    set_modified(&folder.join("stale.css.gz"), Duration::from_secs(3600));

    let ask = async |path: &str| {
        let ask = edge.ask(&format!("{URL}/static/{path}"));
        ask.field("accept-encoding", "gzip").send().await
    };
    // From the disk, and after some seconds from memory.
    let mut tag = String::new();
    for turn in 0..6 {
        let answer = ask("fresh.css").await;
        assert_eq!(answer.field("content-encoding"), "gzip", "turn {turn}");
        assert_eq!(answer.body, fresh, "the very bytes");
        tag = answer.field("etag").to_owned();
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
    let stale = ask("stale.css").await;
    assert_eq!(decode(&stale), text);
    let picture = ask("picture.png").await;
    assert_eq!(
        (picture.field("content-encoding"), picture.text().as_str()),
        ("", "picture")
    );
    assert_eq!(picture.field("vary"), "");

    // The others are made beside it.
    assert_eq!(
        decode(&edge.coded("/static/fresh.css", "br", "br").await),
        text
    );
    fs::write(folder.join("fresh.css.gz"), gzip(&script("then"))).unwrap();
    eventually("the new one", async || {
        let answer = ask("fresh.css").await;
        check(
            decode(&answer) == script("then") && answer.field("etag") != tag,
            (),
        )
    })
    .await;
}

#[tokio::test]
async fn hashed_names_are_kept_for_ever() {
    let edge = edge().await;
    let hashed = edge
        .get(&format!("{URL}/static/css/site.55e7cbb9ba48.css"))
        .await;
    assert_eq!(
        hashed.field("cache-control"),
        "public, max-age=31536000, immutable"
    );
    // A hash in the path of a visitor says nothing about the page of the application.
    let page = edge.get(&format!("{URL}/main.3f2c9a1b.js")).await;
    assert_eq!((page.status, page.field("cache-control")), (200, ""));
}

#[tokio::test]
async fn a_folder_is_shown_where_the_route_says_so_and_nowhere_else() {
    let edge = edge_with(&[
        ("backup/2026-11-21.sql", b"0123456789"),
        ("backup/<b>&.sql", b"1"),
        ("backup/.htpasswd", b"secret"),
        ("backup/old/a.sql", b"1"),
        ("backup/site/index.html", b"an index"),
        ("static/css/site.css", b"css"),
    ])
    .await;
    for http2 in [false, true] {
        let ask = |path: &str| {
            let ask = edge.ask(&format!("{URL}{path}"));
            if http2 { ask.http2() } else { ask }
        };
        let page = ask("/backup/").send().await;
        assert_eq!(page.status, 200);
        assert_eq!(page.field("content-type"), "text/html; charset=utf-8");
        assert!(
            page.field("content-security-policy")
                .contains("default-src 'none'")
        );
        let text = page.text();
        for shown in ["./old/", "./2026-11-21.sql", "./%3Cb%3E%26.sql", "10 B"] {
            assert!(text.contains(shown), "{shown} in {text}");
        }
        for hidden in ["htpasswd", "<b>", "../"] {
            assert!(!text.contains(hidden), "{hidden} in {text}");
        }
        let file = ask("/backup/%3Cb%3E%26.sql").send().await;
        assert_eq!(
            (file.status, file.text().as_str()),
            (200, "1"),
            "links lead to files"
        );
        assert!(ask("/backup/old/").send().await.text().contains("../"));
        let index = ask("/backup/site/").send().await;
        assert_eq!(index.text(), "an index");
        let slash = ask("/backup/old?x=1").send().await;
        assert_eq!(
            (slash.status, slash.field("location")),
            (301, "/backup/old/?x=1")
        );
        let head = ask("/backup/").method(Method::HEAD).send().await;
        assert_eq!((head.status, head.body.len()), (200, 0));
        assert_eq!(ask("/static/css/").send().await.status, 404);
        assert_eq!(ask("/backup/nowhere/").send().await.status, 404);
    }
}
