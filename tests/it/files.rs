//! Static files: what browsers and caches need, and no way out of the root.

use std::fs;
use std::os::unix::fs::symlink;

use http::Method;

use crate::harness::{Edge, Front, Setup};

async fn edge() -> Edge {
    let text = "[[instance]]\nname = \"congress\"\ndomains = [\"congress.example.org\"]\n\
         [[instance.route]]\nprefix = \"/static/\"\nfiles = { dir = \"FOLDER/static\" }\n\
         cache-control = \"no-cache\"\n\
         [[instance.route]]\nprefix = \"/\"\nfile = { dir = \"FOLDER/static\", path = \"index.html\" }\n\
         [[instance.route]]\nprefix = \"/gone/\"\nfiles = { dir = \"FOLDER/missing\" }\n";
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("static");
    fs::create_dir_all(root.join("css")).unwrap();
    fs::write(root.join("index.html"), "<!doctype html>home").unwrap();
    fs::write(root.join("css/site.css"), "body { color: red }").unwrap();
    fs::write(root.join("app.js"), "x".repeat(700_000)).unwrap();
    fs::write(folder.path().join("secret"), "secret").unwrap();
    symlink("../secret", root.join("link")).unwrap();
    symlink(folder.path(), root.join("up")).unwrap();
    let text = text.replace("FOLDER", &folder.path().display().to_string());
    let edge = Setup::new(&text).start().await;
    // The folder has to outlive the edge.
    std::mem::forget(folder);
    edge
}

const URL: &str = "https://congress.example.org";

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
async fn nothing_outside_the_root_is_served() {
    let edge = edge().await;
    for path in [
        "/static/../secret",
        "/static/%2e%2e/secret",
        "/static/..%2fsecret",
        "/static/link",
        "/static/up/secret",
        "/static//etc/passwd",
        "/static/css/../../secret",
        "/static/css%00/site.css",
    ] {
        let answer = edge.get(&format!("{URL}{path}")).await;
        assert!(
            [400, 404].contains(&answer.status),
            "{path}: {}",
            answer.status
        );
        assert!(
            !answer.text().contains("secret\n") && answer.text() != "secret",
            "{path}"
        );
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
