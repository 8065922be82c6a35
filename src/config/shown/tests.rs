use std::path::PathBuf;

use super::super::load::load;
use super::*;

const MAIN: &str = r#"include = ["DIR/instances.d/*.toml"]
[listen]
http = ["127.0.0.1:80"]
[acme]
email = "ops@example.org"
[acme.directory.company]
url = "https://ca.example.org/directory"
[limits]
sessions = 100
[[alert]]
url = "http://127.0.0.1:9093/api/v2/alerts"

[[instance]]
name = "saal-*"
domains = ["{stack}.example.org"]
preset = "openslides"
hsts = "off"
[instance.limits]
close-code = 4000
[instance.service.web]
max = 5
"#;

const OWN: &str = r#"[[instance]]
name = "saal-1"
domains = ["one.example.org"]
headers = { x-hall = "one \"1\"" }
[instance.scale]
mode = "hold"
[instance.service.web]
min = 2
[instance.service.mail]
role = "fixed"
[[instance.route]]
prefix = "/"
to = "web"
[[instance.event]]
name = "Congress"
start = 2026-12-05T09:00:00+01:00
end = 2026-12-06T18:00:00+01:00
attendees = 900
"#;

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().expect("a folder"));
        fs::create_dir(files.path("instances.d")).expect("made");
        let main = MAIN.replace("DIR", &files.0.path().display().to_string());
        fs::write(files.path("usher.toml"), main).expect("written");
        fs::write(files.path("instances.d/one.toml"), OWN).expect("written");
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn show(&self) -> (Config, Vec<Shown>) {
        let path = self.path("usher.toml");
        let loaded = load(&path, None);
        assert_eq!(loaded.issues, []);
        let config = loaded.config.expect("good");
        let shown = show(&path, &config);
        (config, shown)
    }
}

/// The value and the origin of a key in the last table of this heading.
fn said(shown: &[Shown], table: &str, key: &str) -> (String, String) {
    let mut tables = shown.iter().filter(|shown| shown.table == table);
    let table = tables.next_back().unwrap_or_else(|| panic!("{table}"));
    let found = table.values.iter().find(|value| value.key == key);
    let found = found.unwrap_or_else(|| panic!("{key} of {table:?}"));
    let origin = found.origin.rsplit('/').next().unwrap_or_default();
    (found.value.clone(), origin.to_owned())
}

#[test]
fn every_value_is_shown_with_the_layer_it_is_from() {
    let (_, shown) = Files::new().show();
    for (table, key, value, origin) in [
        ("[listen]", "http", "[\"127.0.0.1:80\"]", "usher.toml:3"),
        ("[listen]", "max-connections", "60000", "default"),
        ("[acme]", "preflight", "true", "default"),
        ("[limits]", "sessions", "100", "usher.toml:9"),
        ("[[alert]]", "min-status", "\"warning\"", "default"),
        (
            "[[instance]]",
            "domains",
            "[\"one.example.org\"]",
            "one.toml:3",
        ),
        (
            "[[instance]]",
            "preset",
            "\"openslides\"",
            "usher.toml:16, for many",
        ),
        ("[[instance]]", "hsts", "\"off\"", "usher.toml:17, for many"),
        (
            "[[instance]]",
            "headers",
            "{ x-hall = 'one \"1\"' }",
            "one.toml:4",
        ),
        ("[[instance]]", "https", "\"redirect\"", "default"),
        (
            "[instance.limits]",
            "close-code",
            "4000",
            "usher.toml:19, for many",
        ),
        ("[instance.limits]", "sessions", "100", "usher.toml:9"),
        ("[instance.limits]", "connections", "16384", "default"),
        ("[instance.scale]", "mode", "\"hold\"", "one.toml:6"),
        ("[instance.service.web]", "min", "2", "one.toml:8"),
        (
            "[instance.service.web]",
            "max",
            "5",
            "usher.toml:21, for many",
        ),
        (
            "[instance.service.web]",
            "role",
            "\"sessions\"",
            "preset openslides",
        ),
        (
            "[instance.service.web]",
            "placement",
            "\"least\"",
            "default",
        ),
        (
            "[instance.service.mail]",
            "role",
            "\"fixed\"",
            "one.toml:10",
        ),
        ("[[instance.event]]", "attendees", "900", "one.toml:18"),
    ] {
        let expected = (value.to_owned(), origin.to_owned());
        assert_eq!(said(&shown, table, key), expected, "{table} {key}");
    }
    let own = shown
        .iter()
        .filter(|shown| shown.table == "[[instance.route]]");
    let fallbacks = own.flat_map(|route| &route.values);
    let fallbacks = fallbacks.filter(|value| value.key == "prefix" && value.value == "\"/\"");
    // One of the entry for many, by its preset, and one of the instance's own in its place.
    assert_eq!(fallbacks.count(), 2);
}

/// As a file, without the origins.
fn text(shown: &[Shown]) -> String {
    let mut text = String::new();
    for Shown { table, values } in shown {
        text.push_str(&format!("{table}\n"));
        for value in values {
            text.push_str(&format!("{} = {}\n", value.key, value.value));
        }
    }
    text
}

#[test]
fn what_is_shown_is_a_configuration_that_means_the_same() {
    let files = Files::new();
    let (config, shown) = files.show();
    let whole = text(&shown);
    // It has the instances already.
    let whole = whole.lines().filter(|line| !line.starts_with("include"));
    let whole = whole.collect::<Vec<_>>().join("\n");
    let again = files.path("again.toml");
    fs::write(&again, &whole).expect("written");
    let loaded = load(&again, None);
    assert_eq!(loaded.issues, [], "{whole}");
    let again = loaded.config.expect("good");
    assert_eq!(again.listen, config.listen);
    assert_eq!(again.acme, config.acme);
    assert_eq!(again.alerts, config.alerts);
    assert_eq!(again.thresholds, config.thresholds);
    let (one, other) = (&config.instances["saal-1"], &again.instances["saal-1"]);
    assert_eq!(one.site, other.site);
    assert_eq!(one.drain, other.drain);
    assert_eq!(one.scale, other.scale);
    assert_eq!(one.depends, other.depends);
    assert_eq!(one.events, other.events);
    let prefixes = |instance: &crate::config::Instance| -> BTreeSet<String> {
        instance
            .routes
            .iter()
            .map(|route| route.prefix.clone())
            .collect()
    };
    assert_eq!(prefixes(one), prefixes(other));
    for (name, service) in &one.services {
        let mut said = other.services[name].clone();
        // That nobody named it himself is all that is lost.
        said.expected = service.expected;
        assert_eq!(*service, said, "{name}");
    }
}

#[test]
fn the_reference_shows_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("usher.toml");
    fs::write(&path, REFERENCE).expect("written");
    let config = load(&path, None).config.expect("good");
    let shown = show(&path, &config);
    let from_file = shown.iter().flat_map(|shown| &shown.values);
    assert!(
        from_file.clone().all(|value| value.origin != "default"),
        "{shown:?}"
    );
    assert!(from_file.count() > 80);
}
