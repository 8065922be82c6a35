use std::time::{Duration, SystemTime};

use super::*;
use crate::config;
use crate::config::model::Orders;
use crate::inventory::{Claims, Origin, Phase, Reach, Unit};
use crate::names::ReplicaId;
use crate::plan::Https;

mod changes;
mod orders;

/// How much was looked at.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Work {
    read: usize,
    judged: usize,
}

impl Work {
    pub(super) fn read(&mut self) {
        self.read += 1;
    }

    pub(super) fn judged(&mut self) {
        self.judged += 1;
    }
}

impl Compat {
    /// Has everything read, settled and judged anew, but for who has which name.
    fn judge_all_again(&mut self) {
        self.config = None;
        self.owners.touch_all();
        for known in self.stacks.values_mut() {
            known.reading = None;
            known.verdict = None;
            known.outcome = Arc::default();
        }
        self.asking = Asking::default();
        self.shaping.clear();
    }
}

/// Listings one after the other, as the control plane sees them.
struct Room {
    compat: Compat,
    config: Arc<Config>,
    inventory: Inventory,
    now: Instant,
    ruling: Arc<Ruling>,
}

fn unit(name: &str, values: &[(&str, &str)]) -> Unit {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    Unit {
        id: ReplicaId::new(name, 1),
        name: name.to_owned(),
        image: "image".to_owned(),
        make: String::new(),
        phase: Phase::Running,
        dismissed: false,
        since: SystemTime::UNIX_EPOCH,
        reach: Reach::At([10, 0, 0, 1].into()),
        networks: Vec::new(),
        mounts: Vec::new(),
        ports: vec![8000],
        health: None,
        task: None,
        origin: Origin::Declared { number: 1 },
        claims: Arc::new(Claims {
            values: values.iter().map(owned).collect(),
            left_out: Vec::new(),
        }),
    }
}

impl Room {
    fn new(mode: &str, tables: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("usher.toml");
        let text = format!("[engine]\nnames-from-containers = \"{mode}\"\n{tables}");
        std::fs::write(&path, text).expect("written");
        let loaded = config::load(&path, None);
        assert_eq!(loaded.issues, Vec::new());
        Self::with(Arc::new(loaded.config.expect("good")))
    }

    fn with(config: Arc<Config>) -> Self {
        Self {
            compat: Compat::default(),
            config,
            inventory: Inventory::default(),
            now: Instant::now(),
            ruling: Arc::default(),
        }
    }

    /// Puts these containers in the place of those the service had, and settles.
    fn set(&mut self, stack: &str, service: &str, units: Vec<Unit>) {
        let stack = self.inventory.stacks.change(stack.parse().expect("name"));
        let services = &mut stack.services;
        services.insert(service.parse().expect("name"), units);
        self.settle();
    }

    /// One container of the stack's `web`.
    fn web(&mut self, stack: &str, values: &[(&str, &str)]) {
        self.set(stack, "web", vec![unit(&format!("{stack}_web_1"), values)]);
    }

    fn settle(&mut self) {
        let declared = self.config.instances.iter();
        let declared = declared.map(|(name, instance)| (name.clone(), Arc::clone(instance)));
        let declared = declared.collect();
        let Self {
            compat,
            config,
            inventory,
            now,
            ..
        } = self;
        self.ruling = compat.settle(*now, config, inventory, &declared);
    }

    fn instance(&self, name: &str) -> &Arc<Instance> {
        let found = self.ruling.instances.get(name);
        found.unwrap_or_else(|| panic!("{name}: {:?}", self.ruling))
    }

    fn domains(&self, name: &str) -> Vec<String> {
        let domains = &self.instance(name).site.domains;
        domains.iter().map(ToString::to_string).collect()
    }

    fn names(&self) -> Vec<&str> {
        self.ruling
            .instances
            .keys()
            .map(InstanceName::as_str)
            .collect()
    }

    /// Everything that was said, at an instance or a stack.
    fn told(&self, whose: &str) -> String {
        let notes = self.ruling.notes.get(whose);
        let told = notes.into_iter().chain(self.ruling.refused.get(whose));
        told.flat_map(|told| told.iter().cloned())
            .collect::<Vec<_>>()
            .join("\n")
    }
}

fn host(name: &'static str) -> [(&'static str, &'static str); 1] {
    [("VIRTUAL_HOST", name)]
}

const CONGRESS: &str = "[[instance]]\nname = \"congress\"\n\
    domains = [\"congress.example.org\", \"*.slides.example.org\"]\n\
    [instance.service.web]\nrole = \"sessions\"\n";

#[test]
fn off_ignores_what_containers_claim() {
    let mut room = Room::new("off", "");
    room.web("blog", &host("blog.example.org"));
    assert!(room.names().is_empty());
    assert!(room.ruling.refused.is_empty());
}

#[test]
fn open_serves_any_name_that_nobody_has() {
    let mut room = Room::new("open", "");
    room.web(
        "blog",
        &[
            ("VIRTUAL_HOST", "blog.example.org,*.blog.example.org"),
            ("VIRTUAL_PORT", "9000"),
            ("HTTPS_METHOD", "nohttp"),
            ("LETSENCRYPT_HOST", "blog.example.org"),
            ("LETSENCRYPT_EMAIL", "ops@example.org"),
            ("LETSENCRYPT_TEST", "true"),
        ],
    );
    assert_eq!(
        room.domains("blog"),
        ["blog.example.org", "*.blog.example.org"]
    );
    let blog = room.instance("blog");
    assert_eq!(blog.site.https, Https::Only);
    assert_eq!(blog.services["web"].port, Some(9000));
    assert_eq!(blog.acme_email.as_deref(), Some("ops@example.org"));
    assert!(blog.staging);
    let names = vec!["blog.example.org".parse().expect("name")];
    assert_eq!(
        blog.orders,
        Orders::Asked {
            names,
            apart: false
        }
    );
    assert_eq!(room.told("blog"), "");
}

#[test]
fn what_is_said_means_the_same_as_in_the_file() {
    let entry = "[[instance]]\nname = \"blog\"\ndomains = [\"blog.example.org\"]\n\
        https = \"both\"\nexternal-http-port = 8080\nexternal-https-port = 8448\n\
        non-get-redirect = 307\nhttp2 = false\nhsts = \"off\"\ncertificate = \"example.org\"\nacme-email = \"a@b\"\n\
        [instance.service.web]\nrole = \"fixed\"\nprobe = \"tcp\"\nport = 9000\n\
        placement = \"client\"\ntls = true\nkeep-alive = false\n\
        [[instance.route]]\nprefix = \"/app/\"\nto = \"web\"\nreplace-prefix = \"/\"\n";
    let written = Room::new("open", entry);
    let mut said = Room::new("open", "");
    said.web(
        "blog",
        &[
            ("VIRTUAL_HOST", "blog.example.org"),
            ("VIRTUAL_PORT", "9000"),
            ("VIRTUAL_PATH", "/app/"),
            ("VIRTUAL_DEST", "/"),
            ("VIRTUAL_PROTO", "https"),
            ("EXTERNAL_HTTP_PORT", "8080"),
            ("EXTERNAL_HTTPS_PORT", "8448"),
            ("HTTPS_METHOD", "noredirect"),
            ("NON_GET_REDIRECT", "307"),
            ("CERT_NAME", "example.org"),
            ("LETSENCRYPT_EMAIL", "a@b"),
            ("com.github.nginx-proxy.nginx-proxy.http2.enable", "false"),
            ("com.github.nginx-proxy.nginx-proxy.keepalive", "disabled"),
            ("com.github.nginx-proxy.nginx-proxy.loadbalance", "ip_hash;"),
        ],
    );
    let (written, said) = (&written.config.instances["blog"], said.instance("blog"));
    assert_eq!(said.site, written.site);
    assert_eq!(said.routes, written.routes);
    assert_eq!(said.certificate, written.certificate);
    assert_eq!(said.acme_email, written.acme_email);
    assert_eq!(said.services["web"].port, written.services["web"].port);
    assert_eq!(said.services["web"].probe, written.services["web"].probe);
    assert_eq!(
        said.services["web"].placement,
        written.services["web"].placement
    );
}

#[test]
fn several_ports_of_a_container_mean_the_same_as_routes_with_ports() {
    let entry = "[[instance]]\nname = \"blog\"\ndomains = [\"blog.example.org\"]\n\
        [instance.service.web]\nrole = \"fixed\"\nprobe = \"tcp\"\nport = 8000\n\
        [[instance.route]]\nprefix = \"/\"\nto = \"web\"\n\
        [[instance.route]]\nprefix = \"/admin\"\nto = \"web\"\nport = 9000\ntls = true\n\
        replace-prefix = \"/\"\n\
        [[instance.route]]\nprefix = \"~^/(a|b)/\"\nto = \"web\"\n";
    let written = Room::new("open", entry);
    let mut said = Room::new("open", "");
    let text = "blog.example.org:\n  '/': { port: 8000 }\n  '/admin': { port: 9000, proto: https, \
        dest: '/' }\n  '~^/(a|b)/': { port: 8000 }\n";
    said.web("blog", &[("VIRTUAL_HOST_MULTIPORTS", text)]);
    assert_eq!(said.told("blog"), "");
    let (written, said) = (&written.config.instances["blog"], said.instance("blog"));
    assert_eq!(said.site, written.site);
    assert_eq!(said.routes, written.routes);
    assert_eq!(said.services["web"].port, written.services["web"].port);
}

#[test]
fn hosts_of_one_container_with_ports_of_their_own_become_instances_of_their_own() {
    let mut room = Room::new("open", "");
    let text = "a.example.org:\nb.example.org:\n  '/': { port: 9000 }\n";
    room.web("shop", &[("VIRTUAL_HOST_MULTIPORTS", text)]);
    let names = room.names();
    assert_eq!(names.len(), 2, "{names:?}");
    let ports: Vec<_> = names
        .iter()
        .map(|name| (room.domains(name), room.instance(name).services["web"].port))
        .collect();
    let expected = [
        (vec!["a.example.org".to_owned()], None),
        (vec!["b.example.org".to_owned()], Some(9000)),
    ];
    assert_eq!(ports, expected);
}

#[test]
fn services_that_serve_a_path_in_different_ways_are_not_mixed() {
    let mut room = Room::new("open", "");
    let with = |proto| [("VIRTUAL_HOST", "a.example.org"), ("VIRTUAL_PROTO", proto)];
    room.set("shop", "blue", vec![unit("b", &with("http"))]);
    room.set("shop", "green", vec![unit("g", &with("https"))]);
    assert_eq!(room.names(), ["shop-blue"]);
    assert!(!room.ruling.views.contains_key("shop-blue"), "blue alone");
    let told = room.told("shop-blue");
    assert!(told.contains("in different ways; b has it"), "{told}");
}

#[test]
fn patterns_of_all_containers_together_are_bounded_and_a_prefix_is_still_had() {
    let mut room = Room::new("open", "");
    for number in 0..33 {
        let paths: String = (0..8)
            .map(|path| format!("  '~^/{path}$': {{}}\n"))
            .collect();
        let text = format!("s{number:02}.example.org:\n{paths}");
        room.web(
            &format!("s{number:02}"),
            &[("VIRTUAL_HOST_MULTIPORTS", &text)],
        );
    }
    room.web("plain", &host("plain.example.org"));
    assert_eq!(room.names().len(), 33, "{:?}", room.names());
    let refused = room.ruling.refused.values();
    let refused: Vec<_> = refused.flat_map(|told| told.iter()).collect();
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused[0].contains("256 patterns already"), "{refused:?}");
    assert_eq!(room.domains("plain"), ["plain.example.org"]);
}

#[test]
fn a_containers_pattern_never_comes_before_what_an_operator_wrote() {
    let entry = "[[instance]]\nname = \"blog\"\ndomains = [\"blog.example.org\"]\n\
        [instance.service.web]\nrole = \"fixed\"\n";
    let mut room = Room::new("open", entry);
    let values = [
        ("VIRTUAL_HOST", "blog.example.org"),
        ("VIRTUAL_PATH", "~.*"),
    ];
    room.web("blog", &values);
    let told = room.told("blog");
    assert!(told.contains("the pattern ~.* is not followed"), "{told}");
}

#[test]
fn several_services_share_a_host_by_their_paths() {
    let mut room = Room::new("open", "");
    room.web("shop", &host("shop.example.org"));
    let api = [
        ("VIRTUAL_HOST", "shop.example.org"),
        ("VIRTUAL_PATH", "/api/"),
    ];
    let api = [&api[..], &[("NETWORK_ACCESS", "internal")]].concat();
    room.set("shop", "api", vec![unit("shop_api_1", &api)]);
    assert_eq!(room.names(), ["shop"]);
    let routes = &room.instance("shop").routes;
    let prefixes: Vec<_> = routes.iter().map(|route| route.prefix.as_str()).collect();
    assert_eq!(prefixes, ["/", "/api/"]);
    assert!(routes[0].allow.is_empty());
    let admits = |address: &str| {
        let address = address.parse().expect("an address");
        routes[1]
            .allow
            .iter()
            .any(|net| net.contains(&std::net::IpAddr::V4(address)))
    };
    assert!(admits("192.168.1.9") && admits("172.31.0.1") && !admits("203.0.113.5"));
}

#[test]
fn services_with_hosts_of_their_own_become_instances_of_their_own() {
    let mut room = Room::new("open", "");
    room.set(
        "shop",
        "web",
        vec![unit("w", &host("shop.example.org,both.example.org"))],
    );
    room.set(
        "shop",
        "mail.ui",
        vec![unit("m", &host("mail.example.org"))],
    );
    assert_eq!(room.names(), ["shop", "shop-mail-ui"]);
    let before = Arc::clone(room.instance("shop"));
    room.set("shop", "mail.ui", Vec::new());
    assert_eq!(room.names(), ["shop"]);
    assert_eq!(
        *before,
        **room.instance("shop"),
        "nothing of it hangs on the other"
    );
}

#[test]
fn two_services_that_claim_the_same_take_turns() {
    let mut room = Room::new("open", "");
    let with = |port| [("VIRTUAL_HOST", "a.example.org"), ("VIRTUAL_PORT", port)];
    room.set("shop", "blue", vec![unit("b", &with("81"))]);
    room.set("shop", "green", vec![unit("g", &with("82"))]);
    assert_eq!(room.names(), ["shop-blue"]);
    let seen = &room.ruling.views["shop-blue"].services["blue"];
    let ports: Vec<_> = seen
        .iter()
        .map(|unit| (unit.name.as_str(), &unit.ports[..]))
        .collect();
    assert_eq!(ports, [("b", &[81][..]), ("g", &[82][..])]);
    assert_eq!(room.instance("shop-blue").services["blue"].port, None);
}

#[test]
fn two_stacks_that_claim_one_name_do_not_mix_and_the_live_owner_keeps_it() {
    let mut room = Room::new("open", "");
    room.web("shop", &host("a.example.org"));
    let owner = Arc::clone(room.instance("shop"));
    room.web("attack", &host("a.example.org,own.example.org"));
    assert!(Arc::ptr_eq(&owner, room.instance("shop")));
    assert_eq!(room.domains("attack"), ["own.example.org"]);
    let told = room.told("attack");
    assert!(
        told.contains("attack_web_1") && told.contains("the stack shop has it"),
        "{told}"
    );
    assert_eq!(room.told("shop"), "");

    room.web("attack", &host("a.example.org"));
    assert_eq!(room.names(), ["shop"]);
    let refused = &room.ruling.refused["attack"];
    assert!(refused[0].contains("the stack shop has it"), "{refused:?}");

    // The owner is gone for good.
    room.inventory.stacks.remove("shop");
    room.settle();
    assert_eq!(room.names(), [""; 0]);
    room.now += conflicts::KEPT_FOR;
    assert!(room.compat.again_at().is_some_and(|at| at <= room.now));
    room.settle();
    assert_eq!(room.names(), ["attack"]);
}

#[test]
fn replicas_of_one_stack_share_a_name_and_the_first_speaks_for_those_that_differ() {
    let mut room = Room::new("open", "");
    let one = unit("shop_web_1", &host("a.example.org"));
    let two = unit("shop_web_2", &host("a.example.org"));
    room.set("shop", "web", vec![two.clone(), one.clone()]);
    assert_eq!(
        (room.names(), room.told("shop").as_str()),
        (vec!["shop"], "")
    );
    assert!(room.ruling.views.is_empty(), "all of them serve");

    let port = [("VIRTUAL_HOST", "a.example.org"), ("VIRTUAL_PORT", "81")];
    room.set("shop", "web", vec![unit("shop_web_2", &port), one]);
    let told = room.told("shop");
    for word in ["shop_web_1", "shop_web_2", "VIRTUAL_PORT"] {
        assert!(told.contains(word), "{word}: {told}");
    }
    assert_eq!(room.instance("shop").services["web"].port, None);
    let seen = &room.ruling.views["shop"].services["web"];
    assert_eq!(
        seen.len(),
        1,
        "asked at a port of its own, the other would get what is not its"
    );
}

#[test]
fn one_bad_replica_is_not_routed_and_the_others_are() {
    let mut room = Room::new("open", "");
    let bad = [("VIRTUAL_HOST", "a.example.org"), ("VIRTUAL_PORT", "none")];
    let units = vec![
        unit("w1", &host("a.example.org")),
        unit("w2", &bad),
        unit("w3", &[]),
    ];
    room.set("shop", "web", units);
    let seen = &room.ruling.views["shop"].services["web"];
    let seen: Vec<_> = seen.iter().map(|unit| unit.name.as_str()).collect();
    assert_eq!(seen, ["w1"]);
    let told = room.told("shop");
    assert!(
        told.contains("container w2") && told.contains("VIRTUAL_PORT `none`"),
        "{told}"
    );
}

#[test]
fn names_of_the_configuration_are_never_a_containers() {
    let mut room = Room::new("open", CONGRESS);
    room.web(
        "attack",
        &host("congress.example.org,a.slides.example.org,*.b.slides.example.org,ok.example.org"),
    );
    assert_eq!(room.domains("attack"), ["ok.example.org"]);
    let told = room.told("attack");
    assert_eq!(
        told.matches("belongs to the instance congress").count(),
        3,
        "{told}"
    );
}

#[test]
fn an_entry_wins_where_it_says_something_and_containers_say_the_rest() {
    let entry = CONGRESS.replace("[instance.service", "https = \"only\"\n[instance.service");
    let mut room = Room::new("open", &entry);
    let more = [
        (
            "VIRTUAL_HOST",
            "congress.example.org,a.slides.example.org,other.example.org",
        ),
        ("VIRTUAL_PORT", "9000"),
        ("HTTPS_METHOD", "noredirect"),
        ("HSTS", "max-age=7"),
    ];
    room.web("congress", &more);
    let congress = room.instance("congress");
    assert_eq!(congress.site.https, Https::Only, "said by the entry");
    assert_eq!(
        congress.services["web"].port,
        Some(9000),
        "said by the container"
    );
    assert!(matches!(
        congress.services["web"].role,
        config::model::Role::Sessions { .. }
    ));
    assert_eq!(congress.orders, Orders::All);
    let expected = [
        "congress.example.org",
        "*.slides.example.org",
        "a.slides.example.org",
    ];
    assert_eq!(room.domains("congress"), expected);
    let told = room.told("congress");
    assert!(
        told.contains("other.example.org") && told.contains("add it there"),
        "{told}"
    );

    // A service beside it that claims a path does not take the rest away.
    let api = [
        ("VIRTUAL_HOST", "congress.example.org"),
        ("VIRTUAL_PATH", "/api/"),
    ];
    room.set("congress", "api", vec![unit("api", &api)]);
    room.set("congress", "web", vec![unit("web", &[])]);
    let routes = &room.instance("congress").routes;
    assert_eq!(routes.len(), 2, "{routes:?}");
}

#[test]
fn listed_gives_only_what_the_entry_of_the_stack_has() {
    let mut room = Room::new("listed", CONGRESS);
    room.web("blog", &host("blog.example.org"));
    assert!(room.names().is_empty());
    let told = room.told("blog");
    assert!(
        told.contains("no entry grants it") && told.contains("[[instance]]"),
        "{told}"
    );
    room.web("congress", &host("a.slides.example.org,~^evil"));
    assert!(
        room.domains("congress")
            .contains(&"a.slides.example.org".to_owned())
    );
    assert!(room.told("congress").contains("~^evil"));
}

#[test]
fn a_pair_of_another_is_never_served() {
    let mut room = Room::new("open", CONGRESS);
    room.web("bank", &host("bank.example.org"));
    let with = |name: &'static str| [("VIRTUAL_HOST", "a.example.org"), ("CERT_NAME", name)];
    room.web("all", &host("*.shop.example.org"));
    for name in [
        "bank.example.org",
        "BANK.example.org.",
        "congress.example.org",
        "shop.example.org",
    ] {
        room.web("attack", &with(name));
        assert_eq!(room.instance("attack").certificate, None, "{name}");
        assert!(room.told("attack").contains("CERT_NAME"), "{name}");
    }
    for name in ["../secret", ".usher", "a/b", "a b"] {
        room.web("attack", &with(name));
        assert_eq!(room.instance("attack").certificate, None, "{name}");
    }
    // Whether one of these is for the name is seen where it is read.
    for name in ["a.example.org", "example.org", "shared", "Shared_2"] {
        room.web("attack", &with(name));
        assert_eq!(room.instance("attack").certificate.as_deref(), Some(name));
        assert_eq!(room.told("attack"), "");
    }
    // Below somebody's own name.
    let parent = [
        ("VIRTUAL_HOST", "x.bank.example.org"),
        ("CERT_NAME", "bank.example.org"),
    ];
    room.web("attack", &parent);
    assert_eq!(room.instance("attack").certificate, None);
}

#[test]
fn the_default_pair_is_nobodys_and_may_be_asked_for_where_it_is_trusted() {
    let says = [("VIRTUAL_HOST", "a.example.org"), ("CERT_NAME", "default")];
    for (trusted, expected) in [(true, Some("default")), (false, None)] {
        let mut room = Room::new(
            "open",
            &format!("[compat]\ntrust-default-cert = {trusted}\n"),
        );
        room.web("blog", &says);
        let instance = room.instance("blog");
        assert_eq!(instance.certificate.as_deref(), expected);
        assert_eq!(instance.trust_default_cert, trusted);
    }
}

#[test]
fn patterns_are_served_where_any_name_is() {
    let mut room = Room::new("open", "");
    room.web("wild", &host("~^(a|b)\\.example\\.org$,www.example.*"));
    let site = &room.instance("wild").site;
    assert!(site.domains.is_empty());
    assert_eq!(site.patterns.len(), 2);
}

#[test]
fn a_name_that_was_not_changed_is_not_made_anew_whatever_a_neighbour_says() {
    let mut room = Room::new("open", "");
    room.web("shop", &host("shop.example.org"));
    let before = Arc::clone(room.instance("shop"));
    for round in 0..300 {
        let noise: Vec<(String, String)> = (0..30)
            .map(|at| (format!("VIRTUAL_{at}"), format!("{round}\u{0}~((((,;*..")))
            .collect();
        let mut values = vec![("VIRTUAL_HOST", "shop.example.org,~((,*.*,..,shop")];
        values.extend(
            noise
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_str())),
        );
        room.web("hostile", &values);
        assert!(Arc::ptr_eq(&before, room.instance("shop")), "{round}");
    }
}

#[test]
fn a_health_check_of_the_image_stands_in_for_a_probe() {
    let mut room = Room::new("open", "");
    room.web("plain", &host("plain.example.org"));
    let probe = |room: &Room, name: &str| room.instance(name).services["web"].probe.clone();
    let tcp = config::model::Probe::Tcp { port: None };
    assert_eq!(probe(&room, "plain"), Some(tcp));
    let mut checked = unit("checked_web_1", &host("checked.example.org"));
    checked.health = Some(false);
    room.set("checked", "web", vec![checked]);
    assert_eq!(probe(&room, "checked"), None);
}

#[test]
fn of_many_stacks_only_the_one_that_changed_is_made_anew() {
    const MANY: usize = 2_000;
    let mut room = Room::new("open", "");
    for number in 0..MANY {
        let name = format!("host-{number}.example.org");
        let web = unit(&format!("{number}"), &[("VIRTUAL_HOST", &name)]);
        let services = BTreeMap::from([("web".parse().expect("name"), vec![web])]);
        let stack = format!("stack-{number}").parse().expect("name");
        let volumes = BTreeMap::new();
        room.inventory.stacks.insert(
            stack,
            Arc::new(Stack {
                services,
                volumes,
                ..Stack::default()
            }),
        );
    }
    room.settle();
    let before = room.ruling.instances.clone();
    assert_eq!(before.len(), MANY);
    room.web("stack-7", &host("other.example.org"));
    let after = &room.ruling.instances;
    let same = |(name, old): &(&InstanceName, &Arc<Instance>)| Arc::ptr_eq(old, &after[*name]);
    assert_eq!(before.iter().filter(same).count(), MANY - 1);
    assert_eq!(room.domains("stack-7"), ["other.example.org"]);
}
