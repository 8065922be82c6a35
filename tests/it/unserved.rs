//! Files that cannot be served are part of the status before a visitor asks for one.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use tokio::runtime::Builder;

use crate::harness::eventually::check;
use crate::harness::{Edge, Setup, eventually, instance};

/// An instance with these routes, and one beside it that has none.
async fn edge(routes: impl FnOnce(&str) -> String) -> Edge {
    let mut setup = Setup::new("");
    let folder = setup.path("site");
    let routes = routes(folder.to_str().expect("UTF-8"));
    let replica = ["127.0.0.1:9".parse().expect("an address")];
    let (first, beside) = (instance("congress", &replica), instance("beside", &[]));
    setup.text(&format!("{first}{routes}{beside}"));
    setup.start().await
}

/// Waits until the part `static` says something with these words, and gives it.
async fn told(edge: &Edge, words: &[&str]) {
    eventually("the status says that files cannot be served", async || {
        let all = edge.instance("congress").await;
        let reasons = all["reasons"].as_array().cloned().unwrap_or_default();
        let own = reasons.iter().find(|reason| reason["part"] == "static");
        let text = own.map_or("", |reason| reason["text"].as_str().unwrap_or_default());
        check(
            words.iter().all(|word| text.contains(word)),
            all["reasons"].clone(),
        )
    })
    .await;
    let beside = edge.instance("beside").await;
    let of_beside = beside["reasons"].to_string();
    assert!(!of_beside.contains("cannot be served"), "{of_beside}");
}

async fn well(edge: &Edge) {
    eventually("the part is healthy", async || {
        let all = edge.instance("congress").await;
        let parts = all["parts"].as_array().cloned().unwrap_or_default();
        let own = parts.iter().find(|part| part["name"] == "static");
        check(
            own.is_some_and(|part| part["status"] == "healthy"),
            parts.clone(),
        )
    })
    .await;
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_told_until_it_is() {
    let edge = edge(|site| {
        format!(
            "[[instance.route]]\nprefix = \"/static/\"\nfiles = {{ dir = \"{site}\", path = \"static\" }}\n\
             [[instance.route]]\nprefix = \"/imprint\"\nfile = {{ dir = \"{site}\", path = \"imprint.html\" }}\n\
             [[instance.route]]\nprefix = \"/whole/\"\nfiles = {{ dir = \"{site}\", path = \"whole\", set = \"whole\" }}\n"
        )
    })
    .await;
    let site = edge.folder.path().join("site");
    told(&edge, &["/static/", "cannot be served", "cannot be opened"]).await;
    fs::create_dir_all(site.join("static")).unwrap();
    told(&edge, &["/imprint", "imprint.html is not there"]).await;
    fs::write(site.join("imprint.html"), "who").unwrap();
    told(&edge, &["/whole/", "no complete set"]).await;
    fs::create_dir_all(site.join("whole")).unwrap();
    fs::write(site.join("whole/index.html"), "all").unwrap();
    well(&edge).await;
}

/// As any user but root: what files forbid is forbidden.
fn without_privilege(test: impl AsyncFnOnce() + Send + 'static) {
    let thread = std::thread::spawn(move || {
        let mut sets = capabilities(None).expect("capabilities");
        sets.effective -= CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
        set_capabilities(None, sets).expect("fewer capabilities");
        // Its threads have no more than this one.
        let runtime = Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(test());
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("a mode");
}

#[test]
fn what_usher_may_not_read_is_told_with_its_user_and_its_path() {
    without_privilege(async || {
        let edge = edge(|site| {
            fs::create_dir_all(format!("{site}/static")).expect("a folder");
            fs::write(format!("{site}/imprint.html"), "who").expect("a file");
            set_mode(Path::new(&format!("{site}/static")), 0o600);
            format!(
                "[[instance.route]]\nprefix = \"/static/\"\nfiles = {{ dir = \"{site}\", path = \"static\" }}\n\
                 [[instance.route]]\nprefix = \"/imprint\"\nfile = {{ dir = \"{site}\", path = \"imprint.html\" }}\n"
            )
        })
        .await;
        let site = edge.folder.path().join("site");
        let user = format!("as user {}", rustix::process::geteuid().as_raw());
        told(&edge, &["/static/", &user, "may not read", "site/static"]).await;
        set_mode(&site.join("imprint.html"), 0o000);
        set_mode(&site.join("static"), 0o700);
        told(&edge, &["/imprint", "may not read", "imprint.html"]).await;
        set_mode(&site.join("imprint.html"), 0o600);
        well(&edge).await;
    });
}
