//! A configuration for what runs: what containers say to nginx-proxy, in usher's words.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::engine::setup::{Seen, is_superseded};
use crate::names::Domain;

/// Services that only this application has together.
const OPENSLIDES: [&str; 3] = ["core", "web", "worker"];

/// A whole file, which `usher check` accepts. What could not be known is a comment.
pub(super) fn text(seen: &[Seen]) -> String {
    let mut text = String::from(
        "# Written by `usher init` from the stacks that ran. Every key: config/reference.toml.\n\n",
    );
    let emails = seen
        .iter()
        .filter_map(|one| spoken(one, &["ACME_EMAIL", "LETSENCRYPT_EMAIL"]));
    match emails.into_iter().find(|email| is_plain(email)) {
        Some(email) => line(&mut text, &format!("[acme]\nemail = {}", quoted(email))),
        None => line(
            &mut text,
            "# Without this table nothing is ordered, and pairs below [certs] dir are used.\n\
             # [acme]\n# email = \"ops@example.org\"",
        ),
    }
    line(
        &mut text,
        "\n[scale]\n# usher says what it would do and changes nothing. When nginx-proxy is gone: \"auto\".\n\
         mode = \"recommend\"",
    );
    let mut taken = BTreeSet::new();
    let mut stacks: BTreeMap<&str, Vec<&Seen>> = BTreeMap::new();
    for one in seen {
        stacks.entry(one.stack.as_str()).or_default().push(one);
    }
    for (stack, containers) in stacks {
        text.push('\n');
        write_stack(&mut text, stack, &containers, &mut taken);
    }
    text
}

fn write_stack(text: &mut String, stack: &str, containers: &[&Seen], taken: &mut BTreeSet<String>) {
    let services: BTreeSet<&str> = containers.iter().map(|one| one.service.as_str()).collect();
    let mut claims: BTreeMap<&str, &Seen> = BTreeMap::new();
    for one in containers.iter().filter(|one| !is_superseded(&one.image)) {
        if one.spoken.contains_key("VIRTUAL_HOST") {
            claims.entry(one.service.as_str()).or_insert(one);
        }
    }
    let openslides = OPENSLIDES.iter().all(|service| services.contains(service));
    let several = claims.len() > 1;
    let mut written = false;
    for (service, claim) in claims {
        let (domains, left) = domains(claim, taken);
        for (name, why) in &left {
            let name = name.escape_debug();
            line(
                text,
                &format!("# Stack {stack}, service {service}: the name {name} {why}."),
            );
        }
        if domains.is_empty() {
            continue;
        }
        written = true;
        let name = if several {
            format!("{stack}-{service}")
        } else {
            stack.to_owned()
        };
        line(text, &format!("[[instance]]\nname = {}", quoted(&name)));
        if several {
            line(text, &format!("stack = {}", quoted(stack)));
        }
        let list: Vec<_> = domains.iter().map(|domain| quoted(domain)).collect();
        line(text, &format!("domains = [{}]", list.join(", ")));
        let https = match spoken(claim, &["HTTPS_METHOD"]) {
            Some("noredirect") => Some("both"),
            Some("nohttp") => Some("only"),
            Some("nohttps") => Some("off"),
            _ => None,
        };
        if let Some(https) = https {
            line(text, &format!("https = \"{https}\""));
        }
        if let Some(hsts) = spoken(claim, &["HSTS"]).filter(|hsts| is_plain(hsts)) {
            line(text, &format!("hsts = {}", quoted(hsts)));
        }
        let test = spoken(claim, &["LETSENCRYPT_TEST"]);
        if test.is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            line(
                text,
                "staging = true                           # as LETSENCRYPT_TEST said: trusted by no browser",
            );
        }
        if openslides && service == "web" {
            line(text, "preset = \"openslides\"");
        } else {
            line(
                text,
                &format!("\n[instance.service.{}]\nrole = \"fixed\"", quoted(service)),
            );
            let port = spoken(claim, &["VIRTUAL_PORT"]).and_then(|port| port.parse::<u16>().ok());
            if let Some(port) = port.filter(|port| *port > 0) {
                line(text, &format!("port = {port}"));
            }
        }
    }
    if !written {
        let services: Vec<_> = services.into_iter().collect();
        line(
            text,
            &format!(
                "# The stack {stack} ({}) claims no name that can be served. To serve it:\n\
                 # [[instance]]\n# name = \"{stack}\"\n# domains = [\"{stack}.example.org\"]",
                services.join(", ")
            ),
        );
        if openslides {
            line(text, "# preset = \"openslides\"");
        }
    }
}

/// The names a container claims, and those that are not served with the reason.
fn domains(
    claim: &Seen,
    taken: &mut BTreeSet<String>,
) -> (Vec<String>, Vec<(String, &'static str)>) {
    let (mut good, mut left) = (Vec::new(), Vec::new());
    let names = spoken(claim, &["VIRTUAL_HOST"]).unwrap_or_default();
    for name in names.split(',') {
        let name = name.trim().trim_end_matches('.').to_ascii_lowercase();
        if name.is_empty() {
            continue;
        }
        if name.parse::<Domain>().is_err() {
            left.push((
                name,
                "cannot be declared: only plain names and *.example.org",
            ));
        } else if taken.insert(name.clone()) {
            good.push(name);
        } else if !good.contains(&name) {
            left.push((name, "is another's already"));
        }
    }
    (good, left)
}

fn spoken<'a>(container: &'a Seen, names: &[&str]) -> Option<&'a str> {
    let found = names.iter().find_map(|name| container.spoken.get(*name));
    found
        .map(|value| value.trim())
        .filter(|value| !value.is_empty())
}

fn is_plain(value: &str) -> bool {
    value.len() <= 254
        && value
            .bytes()
            .all(|byte| byte == b' ' || byte.is_ascii_graphic())
}

/// As a TOML string. What containers say is not believed to be harmless.
fn quoted(value: &str) -> String {
    let mut text = String::from("\"");
    for letter in value.chars() {
        match letter {
            '"' | '\\' => {
                text.push('\\');
                text.push(letter);
            }
            letter if letter.is_control() => {
                // Writing to a String cannot fail.
                let _ = write!(text, "\\u{:04X}", u32::from(letter));
            }
            letter => text.push(letter),
        }
    }
    text + "\""
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Level};

    fn seen(stack: &str, service: &str, image: &str, spoken: &[(&str, &str)]) -> Seen {
        let pairs = spoken
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Seen {
            stack: stack.parse().expect("a name"),
            service: service.parse().expect("a name"),
            image: image.to_owned(),
            alive: true,
            spoken: pairs.collect(),
            folder: None,
        }
    }

    /// The configuration that a text comes to, which has no mistakes.
    fn good(text: &str) -> config::Config {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("usher.toml");
        std::fs::write(&path, text).expect("written");
        let loaded = config::load(&path, None);
        let wrong = loaded
            .issues
            .iter()
            .any(|issue| issue.level == Level::Error);
        assert!(!wrong, "{text}\n{:?}", loaded.issues);
        loaded.config.expect("applied")
    }

    #[test]
    fn a_stack_keeps_its_names_and_is_only_watched_at_first() {
        let names = [
            (
                "VIRTUAL_HOST",
                "Congress.example.org, www.congress.example.org.,",
            ),
            ("LETSENCRYPT_HOST", "congress.example.org"),
            ("LETSENCRYPT_EMAIL", "ops@example.org"),
            ("LETSENCRYPT_TEST", "True"),
        ];
        let mut all: Vec<Seen> = ["core", "worker", "redis", "postgres"]
            .map(|service| seen("congress", service, "openslides", &[]))
            .into();
        all.push(seen("congress", "web", "openslides", &names));
        all.push(seen("congress", "nginx", "jwilder/nginx-proxy", &[]));
        let wiki = [
            ("VIRTUAL_HOST", "wiki.example.org"),
            ("VIRTUAL_PORT", "3000"),
            ("HTTPS_METHOD", "noredirect"),
        ];
        all.push(seen("wiki", "app", "wiki", &wiki));
        let text = text(&all);
        let config = good(&text);
        let congress = &config.instances["congress"];
        let domains: Vec<_> = congress
            .site
            .domains
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            domains,
            ["congress.example.org", "www.congress.example.org"]
        );
        assert!(
            text.contains("preset = \"openslides\"") && text.contains("staging = true"),
            "{text}"
        );
        assert!(text.contains("email = \"ops@example.org\""), "{text}");
        assert!(text.contains("mode = \"recommend\""), "{text}");
        let wiki = &config.instances["wiki"];
        assert_eq!(wiki.services["app"].port, Some(3000));
        assert_eq!(wiki.site.https, crate::plan::Https::Both);
    }

    #[test]
    fn nothing_a_container_says_breaks_the_file() {
        let evil = "a\"\n[admin]\nlisten = \"0.0.0.0:9900";
        let all = [
            seen(
                "one",
                "web",
                "i",
                &[("VIRTUAL_HOST", "localhost"), ("LETSENCRYPT_EMAIL", evil)],
            ),
            seen(
                "two",
                "web",
                "i",
                &[("VIRTUAL_HOST", "localhost"), ("VIRTUAL_PORT", "x")],
            ),
            seen(
                "three",
                "web",
                "i",
                &[("VIRTUAL_HOST", evil), ("HSTS", evil)],
            ),
            seen(
                "four",
                "web",
                "i",
                &[("VIRTUAL_HOST", "~^a.*"), ("HSTS", "a\"\\b")],
            ),
            seen(
                "five",
                "a.b",
                "i",
                &[("VIRTUAL_HOST", "five.example.org"), ("HSTS", "a\"\\b")],
            ),
            seen("six", "db", "i", &[]),
        ];
        let text = text(&all);
        let config = good(&text);
        let names: Vec<_> = config.instances.keys().map(ToString::to_string).collect();
        assert_eq!(names, ["five", "one"], "{text}");
        assert_eq!(config.admin.listen, good("").admin.listen);
        assert!(
            text.contains("the name localhost is another's already"),
            "{text}"
        );
        assert!(text.contains("# name = \"six\""), "{text}");
    }
}
