//! Names that no public authority can know: a certificate of this machine's own authority.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::harness::client::{plain, tls};
use crate::harness::eventually::{check, eventually};
use crate::harness::pki::trusting;
use crate::harness::{Edge, Front, Origin, Setup, instance};

const NAMES: [&str; 5] = [
    "localhost",
    "congress.test",
    "printer",
    "127.0.0.1",
    "www.example.org",
];

async fn edge() -> (Origin, Edge) {
    let origin = Origin::start("one").await;
    let mut text = String::new();
    for (number, name) in NAMES.iter().enumerate() {
        let own = format!("tenant{number}");
        text += &instance(&own, &[origin.address]).replace(&format!("{own}.example.org"), name);
    }
    let edge = Setup::new(&text).without_certificates().start().await;
    edge.all_ready().await;
    (origin, edge)
}

/// What a client that trusts the local authority alone hears under this name.
async fn ask(edge: &Edge, name: &str) -> Result<String, String> {
    let roots = usher::certs::local::root_pem(&edge.folder.path().join("state"));
    let roots = roots.map_err(|error| error.to_string())?.ok_or("no root")?;
    let server = name.trim_matches(['[', ']']).to_owned();
    let server = ServerName::try_from(server).unwrap();
    let tcp = TcpStream::connect(edge.https()).await.unwrap();
    let connector = TlsConnector::from(Arc::new(trusting(&roots)));
    let connected = connector.connect(server, tcp).await;
    let mut stream = connected.map_err(|error| error.to_string())?;
    let request = format!("GET / HTTP/1.1\r\nhost: {name}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    Ok(answer)
}

#[tokio::test]
async fn private_names_and_addresses_are_served_over_tls_and_nobody_is_led_there() {
    let (_origin, edge) = edge().await;
    for name in &NAMES[..4] {
        let answer = ask(&edge, name).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{name}: {answer}");
        let told = answer.to_lowercase().contains("strict-transport-security");
        assert!(!told, "{name}: {answer}");
        let plain = edge.get(&format!("http://{name}/")).await;
        assert_eq!(plain.status, 200, "{name}");
    }
    // A name that can be somebody's is none of its business.
    ask(&edge, NAMES[4]).await.unwrap_err();

    let stats = edge.stats().await;
    let sources: Vec<String> = stats["instances"]
        .as_array()
        .unwrap()
        .iter()
        .map(|instance| instance["certificates"][0]["source"].to_string())
        .collect();
    assert_eq!(
        sources[..4],
        ["\"local\"", "\"local\"", "\"local\"", "\"local\""]
    );
    // Nothing of it is in the folder that other services read.
    assert!(fs::read_dir(edge.folder.path().join("certs")).is_err());
}

#[tokio::test]
async fn a_client_that_names_nobody_gets_the_pair_of_an_address_that_is_declared_and_no_other() {
    let (_origin, edge) = edge().await;
    let roots = usher::certs::local::root_pem(&edge.folder.path().join("state"));
    let connector = TlsConnector::from(Arc::new(trusting(&roots.unwrap().unwrap())));
    let tcp = TcpStream::connect(edge.https()).await.unwrap();
    // Resolution of a name is not asked for: rustls sends no name for an address.
    let here = ServerName::from(IpAddr::from(Ipv4Addr::LOCALHOST));
    let stream = connector.connect(here, tcp).await.unwrap();
    let chain = stream.get_ref().1.peer_certificates().unwrap();
    let (_, leaf) = x509_parser::parse_x509_certificate(&chain[0]).unwrap();
    let names = leaf.subject_alternative_name().unwrap().unwrap();
    assert_eq!(
        format!("{:?}", names.value.general_names),
        "[IPAddress([127, 0, 0, 1])]"
    );
}

#[tokio::test]
async fn a_pair_in_the_folder_goes_before_it() {
    let (_origin, edge) = edge().await;
    ask(&edge, "localhost").await.unwrap();
    edge.pki
        .write_pair(&edge.folder.path().join("certs"), &["localhost"]);
    eventually("the pair of the folder", async || {
        let answer = tls(&edge, "localhost", &["http/1.1"]).await;
        check(answer.is_ok(), answer)
    })
    .await;
    let plain = edge.get("http://localhost/").await;
    assert_eq!(plain.status, 301, "and that one is led to");
}

#[tokio::test]
async fn an_address_of_ipv6_is_a_name_in_brackets_and_no_authority_is_asked_for_it() {
    let origin = Origin::start("one").await;
    let text = "[listen]\nhttp = [\"[::1]:0\"]\nhttps = [\"[::1]:0\"]\n[acme]\npreflight = false\n";
    let served = instance("congress", &[origin.address]);
    // However it is spelled.
    let served = served.replace("congress.example.org", "[0:0::0001]");
    let edge = Setup::new(&(text.to_owned() + &served));
    let edge = edge.without_certificates().start().await;
    edge.all_ready().await;
    assert_eq!(edge.https().ip(), IpAddr::from(Ipv6Addr::LOCALHOST));

    let answer = ask(&edge, "[::1]").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let told = plain(edge.http(), "[::1]:8080", "/").await.json();
    assert_eq!(told["fields"]["host"][0], "[::1]:8080");
    assert_eq!(plain(edge.http(), "[::2]", "/").await.status, 503);
    let own = edge.instance("congress").await["certificates"].clone();
    assert_eq!(own[0]["source"], "local", "{own}");
    assert_eq!(own[0]["names"][0], "[::1]", "{own}");
}
