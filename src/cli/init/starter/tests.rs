use std::time::SystemTime;

use super::*;
use crate::config::{self, Level};
use crate::inventory::{Claims, Origin, Phase, Reach, Unit};
use crate::names::ReplicaId;
use crate::plan::Https;

/// A machine, container by container.
#[derive(Default)]
struct Machine(Seen);

impl Machine {
    fn with(mut self, stack: &str, service: &str, image: &str, says: &[(&str, &str)]) -> Self {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let name = format!("{stack}_{service}_1");
        let unit = Unit {
            id: ReplicaId::new(&name, 1),
            name,
            image: image.to_owned(),
            make: String::new(),
            phase: Phase::Running,
            dismissed: false,
            since: SystemTime::UNIX_EPOCH,
            reach: Reach::At([10, 0, 0, 1].into()),
            networks: Vec::new(),
            mounts: Vec::new(),
            ports: Vec::new(),
            health: None,
            task: None,
            origin: Origin::Declared { number: 1 },
            claims: Arc::new(Claims {
                values: says.iter().map(owned).collect(),
                left_out: Vec::new(),
            }),
        };
        let stacks = &mut self.0.inventory.stacks;
        let services = &mut stacks.change(stack.parse().expect("a name")).services;
        let units = services
            .entry(service.parse().expect("a name"))
            .or_default();
        units.push(unit);
        self
    }

    fn proxy(mut self, place: Option<(&str, &str)>, image: &str, told: &[(&str, &str)]) -> Self {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        self.0.proxies.push(Proxy {
            name: "the-proxy".to_owned(),
            image: image.to_owned(),
            alive: true,
            place: place.map(|(stack, service)| {
                (
                    stack.parse().expect("a name"),
                    service.parse().expect("a name"),
                )
            }),
            variables: told.iter().map(owned).collect(),
            ..Proxy::default()
        });
        self
    }

    /// The file, and the configuration it comes to, which has no mistakes.
    fn written(&self) -> (String, config::Config) {
        let text = text(&self.0);
        let config = good(&text);
        (text, config)
    }
}

fn good(text: &str) -> config::Config {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("usher.toml");
    std::fs::write(&path, text).expect("written");
    let loaded = config::load(&path, None);
    let mut issues = loaded.issues.iter();
    let wrong = issues.any(|issue| issue.level == Level::Error);
    assert!(!wrong, "{text}\n{:?}", loaded.issues);
    loaded.config.expect("applied")
}

/// A comment's words, however they are broken into lines.
fn flat(text: &str) -> String {
    let lines = text.lines().map(|line| line.trim_start_matches("# "));
    lines.collect::<Vec<_>>().join(" ")
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
    let mut machine = Machine::default();
    for service in ["core", "worker", "redis", "postgres"] {
        machine = machine.with("congress", service, "openslides", &[]);
    }
    let wiki = [
        ("VIRTUAL_HOST", "wiki.example.org"),
        ("VIRTUAL_PORT", "3000"),
        ("HTTPS_METHOD", "noredirect"),
        ("HSTS", "max-age=5"),
    ];
    let machine = machine
        .with("congress", "web", "openslides", &names)
        .with("congress", "nginx", "jwilder/nginx-proxy", &[])
        .with("wiki", "app", "wiki", &wiki);
    let (text, config) = machine.written();
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
    assert!(congress.staging, "{text}");
    for part in [
        "preset = \"openslides\"",
        "mode = \"recommend\"",
        "email = \"ops@example.org\"",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(
        flat(&text).contains("does not ask for www.congress.example.org"),
        "{text}"
    );
    let wiki = &config.instances["wiki"];
    assert_eq!(wiki.services["app"].port, Some(3000));
    assert_eq!(wiki.site.https, Https::Both);
    assert_eq!(
        wiki.site.hsts, None,
        "whoever may come in the clear is not told otherwise"
    );
}

#[test]
fn who_may_come_in_where_to_and_with_which_pair_stay_as_they_are() {
    let says = [
        ("VIRTUAL_HOST", "intranet.example.org"),
        ("VIRTUAL_PATH", "/wiki/"),
        ("VIRTUAL_DEST", "/"),
        ("VIRTUAL_PROTO", "https"),
        ("VIRTUAL_PORT", "8443"),
        ("NETWORK_ACCESS", "internal"),
        ("CERT_NAME", "shared"),
        ("HSTS", "max-age=60"),
        ("com.github.nginx-proxy.nginx-proxy.loadbalance", "ip_hash;"),
        ("com.github.nginx-proxy.nginx-proxy.keepalive", "disabled"),
    ];
    let (text, config) = Machine::default()
        .with("intranet", "web", "wiki", &says)
        .written();
    let intranet = &config.instances["intranet"];
    let allowed: Vec<_> = intranet
        .site
        .allow
        .iter()
        .map(ToString::to_string)
        .collect();
    assert!(
        allowed.contains(&"10.0.0.0/8".to_owned()) && allowed.len() == 6,
        "{text}"
    );
    assert_eq!(intranet.certificate.as_deref(), Some("shared"));
    assert_eq!(intranet.site.hsts.as_deref(), Some("max-age=60"));
    let route = &intranet.routes[0];
    assert_eq!(route.prefix, "/wiki/");
    assert!(route.replace_prefix.is_some(), "{text}");
    let web = &intranet.services["web"];
    assert_eq!(web.port, Some(8443));
    for line in ["tls = true", "placement = \"client\"", "keep-alive = false"] {
        assert!(text.lines().any(|one| one == line), "{line}: {text}");
    }
}

#[test]
fn a_list_of_ports_becomes_routes() {
    let list = "shop.example.org: {/: {port: 8080}, /api: {port: 9090, dest: /v1}}";
    let says = [("VIRTUAL_HOST_MULTIPORTS", list)];
    let (text, config) = Machine::default()
        .with("shop", "web", "shop", &says)
        .written();
    let routes = &config.instances["shop"].routes;
    let prefixes: Vec<_> = routes.iter().map(|route| route.prefix.as_str()).collect();
    assert_eq!(prefixes.len(), 2, "{text}");
    assert!(
        prefixes.contains(&"/") && prefixes.contains(&"/api"),
        "{text}"
    );
}

#[test]
fn what_one_entry_cannot_say_stays_with_the_containers() {
    let (text, config) = Machine::default()
        .with(
            "shop",
            "web",
            "shop",
            &[("VIRTUAL_HOST", "shop.example.org")],
        )
        .with(
            "shop",
            "admin",
            "shop",
            &[("VIRTUAL_HOST", "admin.example.org")],
        )
        .written();
    assert!(config.instances.is_empty(), "{text}");
    assert_eq!(
        config.names_from_containers,
        config::model::NamesFromContainers::Open
    );
    for host in ["shop.example.org", "admin.example.org"] {
        assert!(flat(&text).contains(host), "{text}");
    }
}

#[test]
fn what_is_not_followed_is_a_comment_with_container_variable_and_remedy() {
    let says = [
        ("VIRTUAL_HOST", "a.example.org"),
        ("NETWORK_ACCESS", "intern"),
    ];
    let other = [
        ("VIRTUAL_HOST", "b.example.org"),
        ("SERVER_TOKENS", "off"),
        ("HTTPS_METHOD", "sometimes"),
    ];
    let (text, config) = Machine::default()
        .with("one", "web", "i", &says)
        .with("two", "web", "i", &other)
        .written();
    assert_eq!(
        config.instances.len(),
        1,
        "one that is not understood is not opened: {text}"
    );
    let flat = flat(&text);
    for part in [
        "one_web_1: NETWORK_ACCESS `intern`",
        "SERVER_TOKENS is not followed",
        "`sometimes`",
    ] {
        assert!(flat.contains(part), "{part}: {text}");
    }
}

#[test]
fn what_the_proxy_was_told_holds_for_whoever_says_nothing_else() {
    let told = [
        ("HSTS", "max-age=7"),
        ("HTTPS_METHOD", "nohttp"),
        ("DEFAULT_EMAIL", "ops@example.org"),
        ("NETWORK_ACCESS", "internal"),
        ("RESOLVERS", "9.9.9.9"),
    ];
    let (text, config) = Machine::default()
        .with(
            "one",
            "web",
            "i",
            &[("VIRTUAL_HOST", "a.example.org"), ("HSTS", "max-age=8")],
        )
        .with("two", "web", "i", &[("VIRTUAL_HOST", "b.example.org")])
        .proxy(None, "nginxproxy/nginx-proxy", &told)
        .written();
    let [one, two] = ["one", "two"].map(|name| &config.instances[name]);
    assert_eq!(one.site.hsts.as_deref(), Some("max-age=8"));
    assert_eq!(two.site.hsts.as_deref(), Some("max-age=7"));
    assert_eq!(two.site.https, Https::Only);
    assert_eq!(two.site.allow.len(), 6, "{text}");
    let acme = config.acme.as_ref().expect("an account");
    assert_eq!(acme.email.as_deref(), Some("ops@example.org"));
    assert!(
        flat(&text).contains("the-proxy: RESOLVERS is not followed"),
        "{text}"
    );
}

#[test]
fn what_passwords_close_stays_closed() {
    let claim = [("VIRTUAL_HOST", "a.example.org")];
    let filters = [("DOCKER_CONTAINER_FILTERS", "label=served=1")];
    let mounted = |folder: &str| {
        let mut machine =
            Machine::default()
                .with("one", "web", "i", &claim)
                .proxy(None, "nginx-proxy", &filters);
        let mounts = &mut machine.0.proxies[0].mounts;
        mounts.push((folder.into(), PASSWORDS.into()));
        machine.written()
    };
    let (text, config) = mounted("/srv/nginx/htpasswd");
    assert_eq!(
        config.names_from_containers,
        config::model::NamesFromContainers::Listed
    );
    assert!(text.contains("nginx = \"/srv/nginx\""), "{text}");
    assert!(text.contains("label=served=1"), "{text}");
    let (text, _) = mounted("/var/lib/docker/volumes/passwords/_data");
    assert!(
        flat(&text).contains("Files of passwords in /var/lib/docker/volumes/passwords/_data"),
        "{text}"
    );
}

#[test]
fn a_proxy_of_a_stack_speaks_for_that_stack() {
    let (text, config) = Machine::default()
        .with("one", "web", "i", &[("VIRTUAL_HOST", "a.example.org")])
        .with("two", "web", "i", &[("VIRTUAL_HOST", "b.example.org")])
        .proxy(
            Some(("one", "nginx")),
            "jwilder/nginx-proxy",
            &[("HTTPS_METHOD", "nohttps")],
        )
        .written();
    let methods = ["one", "two"].map(|name| config.instances[name].site.https);
    assert_eq!(methods, [Https::Off, Https::Redirect], "{text}");
}

#[test]
fn a_container_of_no_project_gets_an_entry_and_is_seen() {
    let mut machine =
        Machine::default().with("wiki", "wiki", "i", &[("VIRTUAL_HOST", "wiki.example.org")]);
    machine.0.alone.insert("wiki_wiki_1".to_owned());
    machine
        .0
        .certified
        .push(("mail".to_owned(), "mail.example.org".to_owned()));
    let (text, config) = machine.written();
    assert!(config.instances.contains_key("wiki"), "{text}");
    assert_eq!(
        config.names_from_containers,
        config::model::NamesFromContainers::Listed
    );
    assert!(flat(&text).contains("mail.example.org"), "{text}");
}

#[test]
fn nothing_a_container_says_breaks_the_file() {
    let evil = "a\"\n[admin]\nlisten = \"0.0.0.0:9900";
    let (text, config) = Machine::default()
        .with(
            "one",
            "web",
            "i",
            &[("VIRTUAL_HOST", "localhost"), ("LETSENCRYPT_EMAIL", evil)],
        )
        .with(
            "two",
            "web",
            "i",
            &[("VIRTUAL_HOST", "localhost"), ("VIRTUAL_PORT", "x")],
        )
        .with(
            "three",
            "web",
            "i",
            &[("VIRTUAL_HOST", evil), ("HSTS", evil)],
        )
        .with(
            "four",
            "web",
            "i",
            &[("VIRTUAL_HOST", "localhost"), ("HSTS", "a\"\\b")],
        )
        .with(
            "five",
            "a.b",
            "i",
            &[("VIRTUAL_HOST", "five.example.org"), ("HSTS", "a\"\\b")],
        )
        .with("six", "db", "i", &[])
        .proxy(
            None,
            "nginx-proxy",
            &[
                ("HSTS", evil),
                ("DEFAULT_EMAIL", evil),
                ("DEFAULT_HOST", evil),
            ],
        )
        .written();
    let names: Vec<_> = config.instances.keys().map(ToString::to_string).collect();
    assert_eq!(names, ["five", "four"], "{text}");
    assert_eq!(config.admin.listen, good("").admin.listen);
    assert!(
        flat(&text).contains("claims localhost, which is another's already"),
        "{text}"
    );
    assert!(text.contains("# name = \"six\""), "{text}");
}
