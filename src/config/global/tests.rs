use std::fs;

use super::*;
use crate::config::fixture::{Files, SMALL, asked, instance};
use crate::config::load::{Loaded, load, load_as};
use crate::config::model;
use crate::plan::Https;

#[test]
fn the_command_line_says_who_names_containers_where_the_file_is_silent() {
    use model::NamesFromContainers::{Listed, Off, Open};
    let files = Files::new(SMALL);
    let path = files.path("usher.toml");
    let names = |loaded: &Loaded| {
        let config = loaded.config.as_ref().expect("applied");
        config.names_from_containers
    };
    assert_eq!(names(&load(&path, None)), Off);
    let first = load_as(&path, Some(asked(Open, &[])), None);
    assert_eq!(names(&first), Open);
    files.write(
        "usher.toml",
        &format!("[engine]\nnames-from-containers = \"listed\"\n{SMALL}"),
    );
    assert_eq!(names(&files.load(first.config.as_ref())), Listed);
    files.write("usher.toml", SMALL);
    assert_eq!(
        names(&files.load(first.config.as_ref())),
        Open,
        "a reload remembers"
    );
    // A file that was there and has gone is no reason to serve without one.
    fs::remove_file(&path).expect("removed");
    assert!(files.load(first.config.as_ref()).config.is_none());
}

#[test]
fn containers_that_name_themselves_need_no_file_until_there_is_one() {
    use model::NamesFromContainers::{Off, Open};
    let files = Files::new(SMALL);
    let path = files.path("usher.toml");
    fs::remove_file(&path).expect("removed");
    assert!(load(&path, None).config.is_none());
    let loaded = load_as(&path, Some(asked(Open, &[])), None);
    assert_eq!(loaded.issues, []);
    let config = loaded.config.expect("the defaults");
    assert!(config.instances.is_empty());
    let acme = config.acme.as_ref().expect("for those who ask");
    assert_eq!(acme.directories[0].name, "letsencrypt");

    files.write("usher.toml", SMALL);
    assert!(loaded.seen.now() != loaded.seen, "the new file is noticed");
    let read = files.load(Some(&config)).config.expect("good");
    assert_eq!(
        (read.instances.len(), read.names_from_containers),
        (1, Open)
    );
    assert!(read.acme.is_some(), "the file says nothing of it");
    assert!(load(&path, None).config.expect("good").acme.is_none());
    let off = Asked {
        names: Off,
        variables: Arc::default(),
    };
    let off = load_as(&path, Some(off), None).config.expect("good");
    assert!(off.acme.is_none(), "nobody asks for a certificate");
    // And a file that wants none says so.
    files.write("usher.toml", &format!("[acme]\ndirectories = []\n{SMALL}"));
    let none = files.load(Some(&config)).config.expect("good");
    assert!(none.acme.is_none());
}

#[test]
fn variables_are_a_layer_of_which_a_file_changes_what_it_says() {
    use model::NamesFromContainers::Open;
    let set = [
        ("HTTP_PORT", "8080"),
        ("ENABLE_IPV6", "true"),
        ("DEFAULT_EMAIL", "ops@example.org"),
        ("ACME_CA_URI", "https://ca.test/dir"),
        ("HTTPS_METHOD", "noredirect"),
        ("HSTS", "max-age=5"),
        ("LETSENCRYPT_TEST", "true"),
        ("LOG_JSON", "true"),
        ("DISABLE_ACCESS_LOGS", "true"),
        ("DOCKER_CONTAINER_FILTERS", "label=a"),
    ];
    let files = Files::new("");
    let path = files.path("usher.toml");
    fs::remove_file(&path).expect("removed");
    let loaded = load_as(&path, Some(asked(Open, &set)), None);
    assert_eq!(loaded.issues, []);
    let config = loaded.config.expect("the defaults");
    let http: Vec<String> = config.listen.http.iter().map(ToString::to_string).collect();
    assert_eq!(http, ["0.0.0.0:8080", "[::]:8080"]);
    let acme = config.acme.as_ref().expect("ordered");
    assert_eq!(acme.email.as_deref(), Some("ops@example.org"));
    assert_eq!(acme.directories[0].url, "https://ca.test/dir");
    assert!(!config.log.access);

    // What the file says counts, and the rest stays; a reload remembers all of it.
    files.write(
        "usher.toml",
        &format!(
            "[listen]\nhttp = [\"127.0.0.1:80\"]\n[log]\naccess = true\n\
             [acme]\nemail = \"other@example.org\"\n{SMALL}\n{}",
            SMALL.replace("congress", "assembly").replacen(
                "domains",
                "https = \"redirect\"\nhsts = \"max-age=9\"\nstaging = false\ndomains",
                1
            )
        ),
    );
    let config = files.load(Some(&config)).config.expect("good");
    assert_eq!(
        config.listen.http,
        ["127.0.0.1:80".parse().expect("address")]
    );
    assert_eq!(config.listen.https.len(), 2, "of the variables");
    let acme = config.acme.as_ref().expect("ordered");
    assert_eq!(acme.email.as_deref(), Some("other@example.org"));
    assert_eq!(acme.directories[0].url, "https://ca.test/dir");
    assert!(config.log.access);
    assert_eq!(config.log.access_keys, model::AccessKeys::NginxProxy);
    let congress = instance(&config, "congress");
    assert_eq!(congress.site.https, Https::Both);
    assert_eq!(
        congress.site.hsts, None,
        "noredirect tells nobody to come by TLS only"
    );
    assert!(congress.staging);
    let assembly = instance(&config, "assembly");
    assert_eq!(assembly.site.https, Https::Redirect);
    assert_eq!(assembly.site.hsts.as_deref(), Some("max-age=9"));
    assert!(!assembly.staging);

    // Off by the command line is no way of running in nginx-proxy's place.
    let off = Asked {
        names: NamesFromContainers::Off,
        variables: Arc::default(),
    };
    let config = load_as(&path, Some(off), None).config.expect("good");
    assert_eq!(config.listen.https[0].port(), 443);
    assert!(config.log.access_keys == model::AccessKeys::Usher);
}
