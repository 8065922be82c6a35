use std::path::PathBuf;

use super::model::{AlertTarget, FileSource, MinStatus, Probe, RouteTarget, ScaleMode};
use super::*;
use crate::plan::{Https, ProxyProtocol};

mod reserved;
mod routes;

/// Files of one test, in a folder of their own.
struct Files(tempfile::TempDir);

impl Files {
    fn new(main: &str) -> Self {
        let files = Self(tempfile::tempdir().expect("a folder"));
        files.write("usher.toml", main);
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        // `DIR` stands for the folder, for includes.
        let text = text.replace("DIR", &self.0.path().display().to_string());
        fs::write(self.path(name), text).expect("written");
    }

    fn load(&self, previous: Option<&Config>) -> Loaded {
        load(&self.path("usher.toml"), previous)
    }
}

/// The issues of a text, without the folder's name.
fn issues(text: &str) -> Vec<String> {
    let files = Files::new(text);
    let folder = format!("{}/", files.0.path().display());
    let loaded = files.load(None);
    loaded
        .issues
        .iter()
        .map(|issue| issue.to_string().replace(&folder, ""))
        .collect()
}

fn good(text: &str) -> Config {
    let loaded = Files::new(text).load(None);
    assert_eq!(loaded.issues, [], "{text}");
    loaded.config.expect("applied")
}

fn instance(config: &Config, name: &str) -> Arc<Instance> {
    Arc::clone(&config.instances[name])
}

const SMALL: &str = r#"
[[instance]]
name = "congress"
domains = ["congress.example.org"]
[instance.service.web]
role = "sessions"
port = 8000
"#;

#[test]
fn an_empty_file_is_all_defaults() {
    let config = good("");
    assert_eq!(config.listen.https.len(), 2);
    assert_eq!(config.admin.listen.to_string(), "127.0.0.1:9900");
    assert_eq!(config.state_dir, PathBuf::from("state"));
    assert!(config.instances.is_empty() && config.acme.is_none());
}

#[test]
fn the_smallest_instance_gets_every_default() {
    let config = good(SMALL);
    let congress = instance(&config, "congress");
    assert_eq!(congress.stack.as_str(), "congress");
    assert_eq!(congress.site.https, Https::Redirect);
    assert_eq!(congress.site.hsts.as_deref(), Some("max-age=31536000"));
    assert_eq!(congress.site.limits.max_body, Some(104_857_600));
    assert_eq!(congress.site.close_code, 1012);
    assert_eq!(congress.scale.sessions_per_replica, 150);
    assert_eq!(congress.scale.mode, ScaleMode::Auto);
    let routes: Vec<_> = congress
        .routes
        .iter()
        .map(|route| route.prefix.as_str())
        .collect();
    assert_eq!(routes, ["/"]);
}

#[test]
fn the_starter_that_is_printed_is_good() {
    good(include_str!("../../config/starter.toml"));
}

#[test]
fn the_reference_is_good_and_says_the_defaults() {
    let config = good(include_str!("../../config/reference.toml"));
    let bare = good("");
    assert_eq!(config.listen, bare.listen);
    assert_eq!(config.admin, bare.admin);
    assert_eq!(config.certs, bare.certs);
    assert_eq!(config.log, bare.log);
    assert_eq!(config.thresholds, bare.thresholds);
    assert_eq!(config.stop_within, bare.stop_within);
}

#[test]
fn the_preset_of_openslides_is_complete() {
    let config = good(
        "[[instance]]\nname = \"congress\"\ndomains = [\"a.example.org\"]\npreset = \"openslides\"\n",
    );
    let congress = instance(&config, "congress");
    assert_eq!(congress.site.close_code, 1000);
    let services: Vec<_> = congress.services.keys().map(|name| name.as_str()).collect();
    assert_eq!(services, ["postgres", "redis", "web", "worker"]);
    assert_eq!(
        congress.services["redis"].probe,
        Some(Probe::Tcp { port: Some(6379) })
    );
    assert!(congress.services.values().all(|service| !service.expected));
    let backup = congress
        .routes
        .iter()
        .find(|route| route.prefix == "/static-backup");
    let auth = backup
        .and_then(|route| route.auth.as_ref())
        .expect("closed");
    assert_eq!(auth.file, PathBuf::from("/etc/usher/congress.htpasswd"));
    assert_eq!(auth.realm, "Restricted Content");
    let last = congress
        .routes
        .iter()
        .find(|route| route.prefix == "/")
        .expect("a fallback");
    assert!(
        matches!(&last.target, RouteTarget::File(FileSource::Volume { volume, .. }) if volume == "staticfiles")
    );
}

#[test]
fn an_instance_overrides_its_preset_key_by_key() {
    let config = good(
        r#"
[limits]
close-code = 1001
websocket-idle = "1m"
[[instance]]
name = "congress"
domains = ["a.example.org"]
preset = "openslides"
[instance.service.web]
max = 3
[[instance.route]]
prefix = "/static"
files = { dir = "/srv/{stack}/static" }
"#,
    );
    let congress = instance(&config, "congress");
    let web = &congress.services["web"];
    assert_eq!(web.bounds().expect("scaled").max, 3);
    assert_eq!(web.port, Some(8000));
    // The preset is nearer than the defaults of the file.
    assert_eq!(congress.site.close_code, 1000);
    assert_eq!(congress.site.limits.websocket_idle.as_secs(), 60);
    let statics: Vec<_> = congress
        .routes
        .iter()
        .filter(|route| route.prefix == "/static")
        .collect();
    assert_eq!(statics.len(), 1);
    assert!(matches!(&statics[0].target,
        RouteTarget::Files(FileSource::Dir { dir, .. }, _) if dir == &PathBuf::from("/srv/congress/static")));
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
fn a_stack_may_rest_when_nobody_comes_and_outside_its_rental() {
    let text = "[scale]\nidle-to-zero = \"30m\"\nno-wake = [\"/backup/\"]\n\
                [[instance]]\nname = \"one\"\ndomains = [\"one.example.org\"]\n\
                [instance.scale]\nidle-to-zero = \"never\"\nno-wake = []\n\
                [instance.service.web]\nrole = \"sessions\"\n\
                [[instance]]\nname = \"two\"\ndomains = [\"two.example.org\"]\n\
                rental = { from = 2026-12-01, until = 2026-12-31 }\n\
                [instance.service.web]\nrole = \"sessions\"\n";
    // Not every machine that runs tests knows its time zone, which is worth a warning.
    let config = Files::new(text).load(None).config.expect("applied");
    let (one, two) = (instance(&config, "one"), instance(&config, "two"));
    assert_eq!((one.scale.idle_to_zero, one.rental), (None, None));
    assert!(one.site.no_wake.is_empty());
    let half_an_hour = std::time::Duration::from_secs(1_800);
    assert_eq!(two.scale.idle_to_zero, Some(half_an_hour));
    assert_eq!(two.site.no_wake, ["/backup/"]);
    let rental = two.rental.expect("rented");
    assert_eq!(rental.to_string(), "2026-12-01 to 2026-12-31");

    let told = |rental: &str| issues(&format!("{SMALL}\n[instance.rental]\n{rental}")).join("\n");
    assert!(told("from = 2026-12-01").contains("rental: missing field `until`"));
    assert!(told("from = 2026-12-02\nuntil = 2026-12-01").contains("ends on 2026-12-01"));
    assert!(told("from = 2026-12-01T00:00:00Z\nuntil = 2026-12-02").contains("is no day"));
}

#[test]
fn the_proxy_protocol_is_for_proxies_that_are_named() {
    let named = "[listen]\ntrusted-proxies = [\"10.0.0.0/8\"]\nproxy-protocol = true";
    assert_eq!(good(named).listen.proxy_protocol, ProxyProtocol::Trusted);
    let all = good("[listen]\nproxy-protocol = \"all\"");
    assert_eq!(all.listen.proxy_protocol, ProxyProtocol::All);
    assert!(
        issues("[listen]\nproxy-protocol = \"some\"")
            .join("")
            .contains("proxy-protocol")
    );
}

#[test]
fn bounds_ratios_and_spans_are_checked() {
    let service = |text: &str| {
        issues(&format!(
            "[[instance]]\nname = \"c\"\ndomains = [\"c.example.org\"]\n[instance.service.web]\nrole = \"sessions\"\n{text}"
        ))
        .join("\n")
    };
    assert!(service("min = 5\nmax = 2").contains("`max` (2) must be at least `min` (5)"));
    assert!(service("port = 0").contains("between 1 and 65535"));
    assert!(service("probe = \"http\"").contains("is no probe"));
    assert!(service("ratio = 2.0").contains("role ratio"));
    let ratio = |text: &str| {
        service(&format!(
            "[instance.service.worker]\nrole = \"ratio\"\n{text}"
        ))
    };
    assert!(ratio("of = \"web\"\nratio = 0.0").contains("above 0"));
    assert!(ratio("of = \"postgres\"").contains("no service with the role sessions"));
    assert!(ratio("").contains("needs `of`"));
    assert!(service("[instance.limits]\nclose-code = 1006").contains("no code"));
    assert!(
        service("[instance.limits]\nreplica-drain = \"2h\"\nreplica-drain-max = \"1h\"")
            .contains("at least `replica-drain`")
    );
}

#[test]
fn routes_have_one_target_and_never_a_ratio_service() {
    let route = |text: &str| {
        issues(&format!("{SMALL}[instance.service.worker]\nrole = \"ratio\"\nof = \"web\"\n[[instance.route]]\n{text}"))
            .join("\n")
    };
    assert_eq!(route("prefix = \"/a\"\nto = \"web\""), "");
    assert!(route("prefix = \"/a\"").contains("exactly one"));
    assert!(route("to = \"web\"").contains("needs a `prefix`"));
    assert!(route("prefix = \"/a\"\nto = \"worker\"").contains("takes no traffic"));
    assert!(route("prefix = \"/a\"\nto = \"webb\"").contains("it has web, worker"));
    assert!(route("prefix = \"a\"\nto = \"web\"").contains("begins with `/`"));
    assert!(
        route("prefix = \"/a\"\nfiles = { volume = \"v\", path = \"../x\" }").contains("inside")
    );
    assert!(
        route("prefix = \"/a\"\nfiles = { path = \"x\" }").contains("either `dir` or `volume`")
    );
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
    let text = include_str!("../../config/reference.toml");
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
fn a_wrong_instance_costs_itself_and_keeps_its_last_good_form() {
    let files = Files::new(&format!("{SMALL}{}", SMALL.replace("congress", "assembly")));
    let before = files.load(None).config.expect("good");
    files.write(
        "usher.toml",
        &format!(
            "{}{}",
            SMALL.replace("8000", "0"),
            SMALL.replace("congress", "assembly")
        ),
    );
    let fresh = files.load(None);
    assert_eq!(fresh.config.expect("applied").instances.len(), 1);
    let kept = files.load(Some(&before));
    let config = kept.config.expect("applied");
    assert!(Arc::ptr_eq(
        &config.instances["congress"],
        &before.instances["congress"]
    ));
    assert!(
        Arc::ptr_eq(&config.instances["assembly"], &before.instances["assembly"]),
        "unchanged"
    );
    assert_eq!(kept.kept.len(), 1);
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

#[test]
fn a_domain_belongs_to_one_instance_and_the_live_owner_keeps_it() {
    let files = Files::new(&SMALL.replace("\"congress\"", "\"zulu\""));
    let before = files.load(None).config.expect("good");
    let claimant = SMALL.replace("\"congress\"", "\"alpha\"");
    files.write(
        "usher.toml",
        &format!("{claimant}{}", SMALL.replace("\"congress\"", "\"zulu\"")),
    );

    let live = files.load(Some(&before));
    let text = live.issues[0].to_string();
    assert!(
        text.contains(
            "instance.alpha.domains: `congress.example.org` belongs to the instance `zulu`"
        ),
        "{text}"
    );
    let config = live.config.expect("applied");
    assert_eq!(
        config
            .instances
            .keys()
            .map(|name| name.as_str())
            .collect::<Vec<_>>(),
        ["zulu"]
    );

    let first = files.load(None).config.expect("applied");
    assert_eq!(first.instances.len(), 1);
}

#[test]
fn an_entry_for_many_makes_instances_of_stacks() {
    let loaded = Files::new(
        r#"
[[instance]]
name = "*"
match = { services = ["web", "worker"] }
except = ["portainer"]
domains = ["{stack}.slides.example.org"]
preset = "openslides"
rental = { from = 2026-12-01, until = 2026-12-31 }
[instance.service.web]
max = 4

[[instance]]
name = "named"
domains = ["named.example.org"]
"#,
    )
    .load(None);
    // Not every machine that runs tests knows its time zone, which is worth a warning.
    let config = loaded.config.expect("applied");
    let services: Vec<_> = ["web", "worker", "redis"]
        .map(|name| name.parse().expect("name"))
        .into();
    let made = |stack: &str, services: &[crate::names::ServiceName]| {
        config.instance_by_pattern(&stack.parse().expect("stack"), services.iter())
    };
    let instance = made("saal_1", &services).expect("fits").expect("good");
    assert_eq!(
        instance.site.domains[0].to_string(),
        "saal-1.slides.example.org"
    );
    assert_eq!(instance.services["web"].bounds().expect("scaled").max, 4);
    assert!(instance.rental.is_some());
    assert!(made("portainer", &services).is_none());
    assert!(made("other", &services[..1]).is_none(), "without a worker");
    assert!(
        made("named", &services).is_none(),
        "has an entry of its own"
    );
    let upper = made("Saal", &services)
        .expect("fits")
        .expect_err("no DNS label");
    assert!(
        upper[0].text.contains("is not filled from the stack name"),
        "{upper:?}"
    );
    // A named entry takes what it does not say from the pattern.
    let named = &config.instances["named"];
    assert_eq!(named.services["web"].bounds().expect("scaled").max, 4);
    assert_eq!(named.site.close_code, 1000);
}

#[test]
fn an_engine_that_cannot_run_a_service_is_worth_a_word() {
    let loaded = Files::new(&format!("[engine]\nkind = \"none\"\n{SMALL}")).load(None);
    assert!(loaded.config.is_some());
    assert_eq!(loaded.issues.len(), 1);
    assert_eq!(loaded.issues[0].level, Level::Warning);
    assert!(
        loaded.issues[0].text.contains("no `addresses`"),
        "{}",
        loaded.issues[0]
    );
}

#[test]
fn a_directory_that_is_not_declared_is_named() {
    let found = issues("[acme]\ndirectories = [\"company\"]\n");
    assert!(
        found[0].contains("declare it as [acme.directory.company]"),
        "{found:?}"
    );
    let config = good(
        "[acme]\ndirectories = [\"company\", \"letsencrypt\"]\n[acme.directory.company]\nurl = \"https://ca.example.org/dir\"\n",
    );
    let names: Vec<_> = config
        .acme
        .expect("acme")
        .directories
        .into_iter()
        .map(|dir| dir.name)
        .collect();
    assert_eq!(names, ["company", "letsencrypt"]);
}

#[test]
fn a_stack_belongs_to_one_instance() {
    let second = SMALL
        .replace("\"congress\"", "\"other\"\nstack = \"congress\"")
        .replace("congress.example.org", "other.example.org");
    let files = Files::new(&format!("{SMALL}{second}"));
    let loaded = files.load(None);
    let text = loaded.issues[0].to_string();
    assert!(
        text.contains(
            "instance.other.stack: the stack `congress` belongs to the instance `congress`"
        ),
        "{text}"
    );
    assert_eq!(loaded.config.expect("applied").instances.len(), 1);
}

#[test]
fn an_instance_may_consist_of_files_alone() {
    let text = "[[instance]]\nname = \"static\"\ndomains = [\"static.example.org\"]\n\
                [[instance.route]]\nprefix = \"/\"\nfiles = { dir = \"/srv\" }\n";
    let loaded = Files::new(text).load(None);
    assert!(loaded.issues.is_empty(), "{:?}", loaded.issues);
    let nothing = "[[instance]]\nname = \"static\"\ndomains = [\"static.example.org\"]\n";
    let loaded = Files::new(nothing).load(None);
    assert!(
        loaded.issues[0]
            .to_string()
            .contains("neither a service nor a route")
    );
}

/// The issues of an instance with these events, without their place.
fn event_issues(events: &str) -> Vec<String> {
    issues(&format!("{SMALL}{events}"))
        .iter()
        .map(|issue| issue.split(": ").skip(1).collect::<Vec<_>>().join(": "))
        .collect()
}

const EVENT: &str = r#"
[[instance.event]]
name = "Congress"
start = 2026-12-05T09:00:00+01:00
end = 2026-12-06T18:00:00+01:00
attendees = 900
"#;

#[test]
fn an_event_is_read_with_its_defaults() {
    let more = "hours = \"08:00-19:00\"\nsessions-per-attendee = 1.3\nprewarm = \"30m\"\n";
    let config = good(&format!("{SMALL}{EVENT}{more}"));
    let events = &instance(&config, "congress").events;
    let [event] = &**events else {
        panic!("{events:?}");
    };
    let start = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_796_457_600);
    assert_eq!(event.start, start, "08:00 UTC");
    assert_eq!((event.attendees, event.sessions), (900, 1_170));
    let hours = event.hours.expect("hours");
    assert_eq!(
        (hours.from, hours.until, hours.offset),
        (8 * 3_600, 19 * 3_600, 3_600)
    );
    let config = good(&format!("{SMALL}{EVENT}"));
    let event = instance(&config, "congress").events[0].clone();
    assert_eq!((event.sessions, event.hours), (900, None));
    assert_eq!(event.prewarm, std::time::Duration::from_secs(900));
}

#[test]
fn an_event_that_cannot_be_meant_is_refused_with_one_message() {
    for (from, to, message) in [
        (
            "end = 2026-12-06",
            "end = 2026-12-04",
            "`Congress` ends before it starts",
        ),
        (
            "attendees = 900",
            "attendees = 0",
            "must be between 1 and 1000000",
        ),
        ("attendees = 900\n", "", "is missing; an event needs it"),
        (
            "T09:00:00+01:00",
            "T09:00:00",
            "needs a day, a time and an offset",
        ),
        (
            "attendees",
            "hours = \"8-19\"\nattendees",
            "are no hours of a day",
        ),
        (
            "attendees",
            "hours = \"19:00-08:00\"\nattendees",
            "ends before it begins; hours lie within one day",
        ),
        (
            "attendees",
            "sessions-per-attendee = 0.0\nattendees",
            "must be above 0",
        ),
    ] {
        let found = event_issues(&EVENT.replacen(from, to, 1));
        assert_eq!(found.len(), 1, "{to}: {found:?}");
        assert!(found[0].contains(message), "{found:?}");
    }
}

#[test]
fn events_that_overlap_say_what_happens_then() {
    let text = format!("{EVENT}{}", EVENT.replace("Congress", "Workshop"));
    let found = event_issues(&text);
    assert_eq!(
        found,
        [
            "instance.congress.event: `Workshop` overlaps `Congress`; while both run, the larger audience counts"
        ]
    );
    let files = Files::new(&format!("{SMALL}{text}"));
    assert!(
        files
            .load(None)
            .config
            .is_some_and(|config| config.instances.contains_key("congress"))
    );
}

#[test]
fn alerts_go_to_alertmanager_by_its_path_and_elsewhere_as_plain_json() {
    let text = r#"
        [[alert]]
        url = "http://127.0.0.1:9093/prefix/api/v2/alerts"
        [[alert]]
        url = "https://hooks.example.org/T0/secret?token=x"
        min-status = "critical"
        [[alert]]
        url = "https://proxy.example.org/am"
        format = "alertmanager"
        [[alert]]
        command = ["/usr/local/bin/page", "--quiet"]
    "#;
    let config = good(text);
    let seen: Vec<_> = config
        .alerts
        .iter()
        .map(|alert| {
            let kind = match alert.to {
                AlertTarget::Alertmanager { .. } => "alertmanager",
                AlertTarget::Command(_) => "command",
                AlertTarget::Json { .. } => "json",
            };
            (kind, alert.to.name(), alert.min_status)
        })
        .collect();
    let expected = [
        ("alertmanager", "http://127.0.0.1:9093", MinStatus::Warning),
        ("json", "https://hooks.example.org", MinStatus::Critical),
        (
            "alertmanager",
            "https://proxy.example.org",
            MinStatus::Warning,
        ),
        ("command", "/usr/local/bin/page", MinStatus::Warning),
    ];
    let expected = expected.map(|(kind, name, least)| (kind, name.to_owned(), least));
    assert_eq!(seen, expected);
}

#[test]
fn an_alert_that_could_reach_nobody_is_refused() {
    for (text, why) in [
        ("min-status = \"warning\"", "needs a `url` or a `command`"),
        (
            "url = \"127.0.0.1:9093\"",
            "is no URL that can be posted to",
        ),
        (
            "url = \"ftp://example.org/\"",
            "is no URL that can be posted to",
        ),
        ("url = \"http://a b/\"", "is no URL"),
        (
            "url = \"http://me:secret@example.org/\"",
            "must not hold a password",
        ),
        ("command = [\"page\"]", "needs the whole path"),
        ("command = []", "names no program"),
        (
            "command = [\"/bin/page\"]\nformat = \"json\"",
            "is about a `url`",
        ),
        (
            "command = [\"/bin/page\"]\nurl = \"http://a/\"",
            "stands beside a `url`",
        ),
        (
            "url = \"http://a/\"\n[[alert]]\nurl = \"http://a/\"",
            "second time",
        ),
        (
            "url = \"http://a/\"\nmin-status = \"bad\"",
            "unknown variant",
        ),
        (
            "url = \"http://a/\"\nmin-statsu = \"warning\"",
            "did you mean `min-status`",
        ),
    ] {
        let found = issues(&format!("[[alert]]\n{text}\n"));
        assert!(
            found.iter().any(|issue| issue.contains(why)),
            "{text}: {found:?}"
        );
        assert!(!found.concat().contains("secret"), "{found:?}");
    }
}

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

/// As a process with these variables is started.
fn asked(names: NamesFromContainers, set: &[(&str, &str)]) -> Asked {
    let (variables, _) = variables::read(|name| {
        let found = set.iter().find(|(key, _)| *key == name)?;
        Some(found.1.to_owned())
    });
    Asked {
        names,
        variables: Arc::new(variables),
    }
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

#[test]
fn a_key_of_an_authority_is_in_a_file_or_in_a_variable() {
    let directory = |eab: &str| {
        format!("[acme.directory.own]\nurl = \"https://ca.test/\"\neab = {{ kid = \"k\"{eab} }}\n")
    };
    let config = good(&directory(", key-variable = \"EAB_KEY\""));
    assert!(config.acme.is_some());
    for wrong in ["", ", key-file = \"/dev/null\", key-variable = \"EAB_KEY\""] {
        let told = issues(&directory(wrong)).join("");
        assert!(
            told.contains("either `key-file` or `key-variable`"),
            "{told}"
        );
    }
}

#[test]
fn filters_and_answers_without_a_route_are_checked() {
    let filters =
        "[engine]\ncontainer-filters = [\"label=a=b\", \"status=running\", \"health=good\", \"x\"]";
    let told = issues(filters).join("\n");
    for bad in ["`health=good` is no filter", "`x` is no filter"] {
        assert!(told.contains(bad), "{told}");
    }
    assert!(!told.contains("`label"), "{told}");
    let told = issues(&SMALL.replacen("domains", "no-route = \"teapot\"\ndomains", 1)).join("");
    assert!(told.contains("`teapot` is neither a status"), "{told}");
}
