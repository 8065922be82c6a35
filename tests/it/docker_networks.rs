//! Networks of a real engine: which of them lead to whom, and every kind of them.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

use crate::harness::Setup;
use crate::harness::client::{Front, plain};
use crate::harness::contained::Contained;
use crate::harness::docker::{Project, docker, inspect, must, origin_image};
use crate::harness::eventually::{check, eventually};

/// Containers and networks that go with the test, the last first.
struct Made(Vec<(&'static str, String)>);

impl Made {
    fn new() -> Self {
        Self(Vec::new())
    }

    /// A name for one more of a kind, which is not there from before.
    fn named(&mut self, kind: &'static str, name: &str) -> String {
        let name = format!("ushertest{}{name}", std::process::id());
        docker(&[kind, "rm", &name]);
        self.0.push((kind, name.clone()));
        name
    }

    /// Runs an origin that claims `HOST.example.org`, HOST being its own name. Gives that name.
    fn claiming(&mut self, owner: &str, name: &str, arguments: &[&str]) -> String {
        let name = self.named("container", name);
        let label = format!("usher.test={owner}");
        let claim = format!("VIRTUAL_HOST={name}.example.org");
        let usual = [
            "run", "-d", "--name", &name, "--label", &label, "-e", &claim,
        ];
        must(&[&usual[..], arguments, &[&origin_image()]].concat());
        name
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for (kind, name) in self.0.iter().rev() {
            let force: &[&str] = if *kind == "container" { &["-f"] } else { &[] };
            docker(&[&[*kind, "rm"], force, &[name.as_str()]].concat());
        }
    }
}

async fn answers(at: SocketAddr, host: &str, status: u16, usher: &Contained) {
    let host = format!("{host}.example.org");
    eventually(&format!("{status} for {host}"), async || {
        if TcpStream::connect(at).await.is_err() {
            return Err((0, usher.log()));
        }
        let answer = plain(at, &host, "/").await;
        check(answer.status == status, (answer.status, usher.log()))
    })
    .await;
}

async fn ready(usher: &Contained) {
    eventually("usher says that it is ready", async || {
        let log = usher.log();
        check(log.contains("Watching docker events"), log)
    })
    .await;
}

/// What a container hears when it asks.
fn ask_from(container: &str, address: SocketAddr, host: &str) -> String {
    let address = address.to_string();
    must(&["exec", container, "/origin", "ask", &address, host, "/"])
}

#[tokio::test]
#[ignore = "needs docker"]
async fn a_container_inside_one_stack_reaches_nothing_of_another() {
    const WEB: &str = "  web:\n    image: IMAGE\n    stop_grace_period: 1s\n";
    let (one, two) = (Project::new("inone"), Project::new("intwo"));
    one.up(WEB);
    two.up(WEB);
    let instance = |name: &str, project: &Project| {
        format!(
            "[[instance]]\nname = \"{name}\"\nstack = \"{}\"\ndomains = [\"{name}.example.org\"]\n\
             https = \"both\"\n[instance.service.web]\nrole = \"fixed\"\nport = 8000\n",
            project.name
        )
    };
    let tables = format!(
        "[admin]\nlisten = \"0.0.0.0:9900\"\nsocket = \"/etc/usher/control.sock\"\n\
         certificate = \"congress.example.org\"\ntoken-file = \"/etc/usher/tokens\"\n{}{}",
        instance("congress", &one),
        instance("assembly", &two)
    );
    let tokens = [("tokens", "3f1c7be05c2d4b0f9a55e1c0\n")];
    let usher = Contained::start_with(&one.name, &tables, &tokens);
    for name in ["congress", "assembly"] {
        answers(usher.http(), name, 200, &usher).await;
    }
    let inside = &one.running("web")[0];
    let network = format!("{}_default", one.name);
    let own = usher.ip(&network, "IPAddress");
    let at = |port: u16| SocketAddr::new(own, port);

    let said = ask_from(inside, at(80), "congress.example.org");
    assert!(said.contains(" 200 "), "its own stack is served: {said}");
    let said = ask_from(inside, at(80), "assembly.example.org");
    assert!(said.contains(" 503 "), "as a name of nobody: {said}");
    // The admin listener takes the connection and says nothing, token or not.
    let said = ask_from(inside, at(9900), "congress.example.org");
    assert!(
        said == "closed" || said.starts_with("unreachable"),
        "{said}"
    );
    let admin = TcpStream::connect((usher.address(80).ip(), 9900)).await;
    assert!(admin.is_ok(), "it listens, for whoever is outside");
    // Neither by the other network's address of usher, nor the other's replica itself.
    let other = format!("{}_default", two.name);
    let elsewhere = usher.ip(&other, "IPAddress");
    let replica = inspect(&two.running("web")[0]);
    let replica = replica["NetworkSettings"]["Networks"][&other]["IPAddress"].clone();
    let replica: IpAddr = replica.as_str().unwrap().parse().unwrap();
    for there in [
        SocketAddr::new(elsewhere, 80),
        SocketAddr::new(elsewhere, 9900),
        SocketAddr::new(replica, 8000),
    ] {
        let said = ask_from(inside, there, "assembly.example.org");
        assert!(said.starts_with("unreachable"), "{there}: {said}");
    }
    let sysctls = inspect(&usher.name)["HostConfig"]["Sysctls"].clone();
    assert_eq!(sysctls["net.ipv4.ip_forward"], "0", "{sysctls}");
    assert!(!usher.log().contains("ip_forward"), "{}", usher.log());
}

#[tokio::test]
#[ignore = "needs docker"]
async fn a_container_off_its_network_is_a_502_within_a_second_and_back_as_soon() {
    let mut made = Made::new();
    let network = made.named("network", "cut");
    must(&["network", "create", &network]);
    let filters = "container-filters = [\"label=usher.test=cut\"]\n";
    let text = format!("[engine]\nkind = \"docker\"\nnames-from-containers = \"open\"\n{filters}");
    let edge = Setup::new(&text).start().await;
    let name = made.claiming("cut", "off", &["--network", &network, "--expose", "8000"]);
    let url = format!("http://{name}.example.org/");
    let turns = async |status: u16| {
        let began = Instant::now();
        eventually(&format!("{status}"), async || {
            match timeout(Duration::from_millis(200), edge.get(&url)).await {
                Ok(answer) => check(answer.status == status, answer.status.to_string()),
                Err(_) => Err("no answer yet".to_owned()),
            }
        })
        .await;
        began.elapsed()
    };
    turns(200).await;
    for round in 1..=3 {
        must(&["network", "disconnect", &network, &name]);
        let cut = turns(502).await;
        must(&["network", "connect", &network, &name]);
        let back = turns(200).await;
        println!(
            "round {round}: 502 {cut:?} after the disconnection, 200 {back:?} after the connection"
        );
        assert!(cut < Duration::from_secs(1), "{cut:?}");
        assert!(back < Duration::from_secs(2), "{back:?}");
    }
}

#[tokio::test]
#[ignore = "needs docker"]
async fn on_ipv6_nobody_is_listened_to_unless_that_is_said_and_then_both_ends_speak_it() {
    let mut made = Made::new();
    let network = made.named("network", "six");
    let subnet = format!("fd00:{:x}::/64", std::process::id() & 0xffff);
    must(&["network", "create", "--ipv6", "--subnet", &subnet, &network]);
    let on = ["--network", network.as_str()];
    let four = Contained::open("six4", &on);
    let both = ["-e", "ENABLE_IPV6=true", "-e", "PREFER_IPV6_NETWORK=true"];
    let six = Contained::open("six", &[&on[..], &both].concat());
    ready(&four).await;
    ready(&six).await;
    let v6 = |usher: &Contained| SocketAddr::new(usher.ip(&network, "GlobalIPv6Address"), 80);
    let refused = TcpStream::connect(v6(&four)).await;
    assert!(refused.is_err(), "{}", four.log());
    let v4 = SocketAddr::new(four.ip(&network, "IPAddress"), 80);
    assert_eq!(plain(v4, "nobody.example.org", "/").await.status, 503);

    // An origin that listens on IPv6 alone is reached there.
    let listen = ["--expose", "8000", "-e", "LISTEN=::"];
    let name = made.claiming("six", "sixth", &[&on[..], &listen].concat());
    answers(v6(&six), &name, 200, &six).await;
    let replica = six.stats()["instances"][0]["services"][0]["replicas"][0].clone();
    let address = replica["address"].as_str().unwrap_or_default();
    assert!(address.starts_with("[fd00:"), "{replica}");
    drop((four, six));
}

/// A port of this machine that is free now.
async fn free_port() -> u16 {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test]
#[ignore = "needs docker"]
async fn the_hosts_network_is_no_obstacle_on_either_side() {
    let mut made = Made::new();
    let usher = Contained::open("hosted", &[]);
    ready(&usher).await;
    // A container with the host's network, for usher with one of its own: by the gateway.
    let port = free_port().await.to_string();
    let (listen, say) = (format!("PORT={port}"), format!("VIRTUAL_PORT={port}"));
    let on_host = ["--network", "host", "-e", &listen, "-e", &say];
    let hosted = made.claiming("hosted", "onhost", &on_host);
    answers(usher.http(), &hosted, 200, &usher).await;
    drop(usher);

    // usher with the host's network: both kinds.
    let (http, https) = (free_port().await, free_port().await);
    let (http_port, https_port) = (format!("HTTP_PORT={http}"), format!("HTTPS_PORT={https}"));
    let ports = ["-e", &http_port, "-e", &https_port];
    let usher = Contained::open("hosted", &[&["--network", "host"], &ports[..]].concat());
    let at = SocketAddr::from(([127, 0, 0, 1], http));
    let bridged = made.claiming("hosted", "bridged", &["--expose", "8000"]);
    answers(at, &bridged, 200, &usher).await;
    answers(at, &hosted, 200, &usher).await;
}

#[tokio::test]
#[ignore = "needs docker"]
async fn an_internal_network_is_joined_like_any_other() {
    let mut made = Made::new();
    let network = made.named("network", "inner");
    must(&["network", "create", "--internal", &network]);
    let usher = Contained::open("inner", &[]);
    ready(&usher).await;
    let arguments = ["--network", network.as_str(), "--expose", "8000"];
    let name = made.claiming("inner", "within", &arguments);
    answers(usher.http(), &name, 200, &usher).await;
    assert!(
        usher.networks().contains(&network),
        "{:?}",
        usher.networks()
    );
    // A container that does not fit the filter is not there for usher.
    let other = made.claiming("another", "without", &["--expose", "8000"]);
    let again = made.claiming("inner", "again", &["--expose", "8000"]);
    answers(usher.http(), &again, 200, &usher).await;
    answers(usher.http(), &other, 503, &usher).await;
    let instances = usher.stats()["instances"].clone();
    let known = |instance: &Value| instance["name"] == other.as_str();
    assert!(
        !instances.as_array().unwrap().iter().any(known),
        "{instances}"
    );
    drop(usher);
}

#[tokio::test]
#[ignore = "needs docker"]
async fn what_leads_to_usher_itself_is_not_asked_and_the_status_says_why() {
    let mut made = Made::new();
    let port = free_port().await.to_string();
    let published = format!("{port}:80");
    // Nothing but names: none of these listens anywhere.
    let own = format!("ushertest{}own", std::process::id());
    let claim = format!("VIRTUAL_HOST={own}.example.org");
    let arguments = [
        "-p",
        &published,
        "-e",
        &claim,
        "--label",
        "usher.test=selfish",
        "--label",
        "com.docker.compose.service=proxy",
    ];
    let usher = Contained::open("selfish", &arguments);
    ready(&usher).await;
    let say = format!("VIRTUAL_PORT={port}");
    let on_host = ["--network", "host", "-e", "PORT=0", "-e", &say];
    let hosted = made.claiming("selfish", "onhost", &on_host);

    answers(usher.http(), &own, 502, &usher).await;
    answers(usher.http(), &hosted, 502, &usher).await;
    let told = usher.stats()["instances"].to_string();
    assert!(told.contains("usher's own container"), "{told}");
    let of_port = format!("the port {port} there is usher's own");
    assert!(told.contains(&of_port), "{told}");
}

#[tokio::test]
#[ignore = "needs docker"]
async fn the_socket_may_be_where_nginx_proxy_was_given_it() {
    let mut made = Made::new();
    let socket = "/var/run/docker.sock:/tmp/docker.sock";
    let usher = Contained::open("elsewhere", &["-v", socket]);
    ready(&usher).await;
    let name = made.claiming("elsewhere", "found", &["--expose", "8000"]);
    answers(usher.http(), &name, 200, &usher).await;
}
