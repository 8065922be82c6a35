use std::path::PathBuf;

use super::*;
use crate::config::fixture::{Files, SMALL, good, issues};

#[test]
fn an_empty_file_is_all_defaults() {
    let config = good("");
    assert_eq!(config.listen.https.len(), 2);
    assert_eq!(config.admin.listen.to_string(), "127.0.0.1:9900");
    assert_eq!(config.state_dir, PathBuf::from("state"));
    assert!(config.instances.is_empty() && config.acme.is_none());
}

#[test]
fn the_starter_that_is_printed_is_good() {
    good(include_str!("../../../config/starter.toml"));
}

#[test]
fn the_reference_is_good_and_says_the_defaults() {
    let config = good(include_str!("../../../config/reference.toml"));
    let bare = good("");
    assert_eq!(config.listen, bare.listen);
    assert_eq!(config.admin, bare.admin);
    assert_eq!(config.certs, bare.certs);
    assert_eq!(config.log, bare.log);
    assert_eq!(config.thresholds, bare.thresholds);
    assert_eq!(config.stop_within, bare.stop_within);
}

#[test]
fn every_mistake_is_found_in_one_reading_with_file_line_and_key() {
    let found = issues(
        r#"[listen]
http = ["80"]
max-conections = 5

[[instance]]
name = "congress"
domains = ["a.example.org", "b c"]
[instance.limits]
max-body = "100"
[instance.service.web]
role = "session"
port = "8000"
"#,
    );
    assert_eq!(
        found,
        [
            "usher.toml:3: listen.max-conections: is an unknown key; did you mean `max-connections`?",
            "usher.toml:2: listen.http: `80` is no address with a port; write for example 127.0.0.1:9000 or [::1]:9000",
            "usher.toml:9: instance.congress.limits.max-body: `100` is no size; write for example \"100MiB\", or \"unlimited\"",
            "usher.toml:11: instance.congress.service.web.role: unknown variant `session`, expected one of `fixed`, `ratio`, `sessions`",
            "usher.toml:12: instance.congress.service.web.port: invalid type: string \"8000\", expected u16",
            "usher.toml:7: instance.congress.domains: `b c` holds a character that no host name has",
        ]
    );
}

#[test]
fn a_key_of_a_later_version_is_not_taken_for_a_typing_error() {
    let found = issues(&format!("{SMALL}\n[engine.tls]\nca = \"ca.pem\"\n"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("engine.tls: is not supported by usher"),
        "{found:?}"
    );
}

#[test]
fn a_value_that_would_not_be_acted_on_is_refused() {
    for (text, key) in [
        ("[listen]\nproxy-protocol = true", "listen.proxy-protocol"),
        (
            "[engine]\nnames-from-containers = \"sometimes\"",
            "engine.names-from-containers",
        ),
        ("[acme]\nchallenges = [\"dns-01\"]", "acme.challenges"),
        ("[acme]\nchallenges = [\"http\"]", "acme.challenges"),
        ("[acme]\nchallenges = []", "acme.challenges"),
        (
            "[acme]\nchallenges = [\"http-01\", \"http-01\"]",
            "acme.challenges",
        ),
        (
            "[acme]\nchallenges = [\"http-01\"]\ndns-hook = [\"/bin/true\"]",
            "acme.challenges",
        ),
        ("[acme]\ndns-hook = [\"dns-hook.sh\"]", "acme.dns-hook"),
        ("[scale]\nidle-to-zero = \"0s\"", "scale.idle-to-zero"),
        ("[scale]\nidle-to-zero = \"often\"", "scale.idle-to-zero"),
        ("[scale]\nno-wake = [\"backup/\"]", "scale.no-wake"),
        ("[admin]\nlisten = \"0.0.0.0:9900\"", "admin.listen"),
    ] {
        let found = issues(text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(found[0].contains(key), "{text}: {found:?}");
    }
}

#[test]
fn a_half_written_file_changes_nothing() {
    let loaded =
        Files::new("[listen]\nhttp = [\"0.0.0.0:80\"\n[[instance]]\nname = \"x\"\n").load(None);
    assert!(loaded.config.is_none());
    assert!(
        loaded
            .issues
            .iter()
            .any(|issue| issue.text.contains("not valid TOML"))
    );
}

#[test]
fn every_cut_of_a_file_is_either_applied_or_refused_with_a_line() {
    let text = include_str!("../../../config/reference.toml");
    for end in (0..text.len())
        .filter(|end| text.is_char_boundary(*end))
        .step_by(7)
    {
        let loaded = Files::new(&text[..end]).load(None);
        let told = loaded.issues.iter().any(|issue| issue.line.is_some());
        assert!(loaded.config.is_some() || told, "cut at {end}");
    }
}

#[test]
fn a_wrong_global_key_changes_nothing_at_all() {
    let loaded = Files::new(&format!("[certs]\nmin-version = \"1.1\"\n{SMALL}")).load(None);
    assert!(loaded.config.is_none());
}

#[test]
fn each_included_file_is_loaded_rejected_and_kept_on_its_own() {
    let files = Files::new("include = [\"DIR/tenants.d/*.toml\"]\n");
    fs::create_dir(files.path("tenants.d")).expect("folder");
    files.write("tenants.d/a.toml", &SMALL.replace("congress", "a"));
    files.write("tenants.d/b.toml", &SMALL.replace("congress", "b"));
    let before = files.load(None).config.expect("good");
    assert_eq!(before.instances.len(), 2);

    files.write("tenants.d/b.toml", "[[instance]\nname = ");
    files.write("tenants.d/c.toml", &SMALL.replace("congress", "c"));
    let after = files.load(Some(&before));
    let config = after.config.expect("applied");
    let names: Vec<_> = config.instances.keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert!(after.kept.contains("b"));

    files.write("tenants.d/b.toml", "[listen]\nhttp = []\n");
    let found = files.load(Some(&before)).issues;
    assert!(found.iter().any(|issue| issue.key == "listen"), "{found:?}");

    fs::remove_file(files.path("tenants.d/b.toml")).expect("removed");
    let gone = files.load(Some(&config)).config.expect("applied");
    assert!(!gone.instances.contains_key("b"));
}
