use proptest::prelude::*;

use super::*;
use crate::listener::Secured;

fn connection(peer: &str, secure: bool) -> Connection {
    let secured = secure.then(|| Secured::to("a.example".parse().expect("host")));
    let local = if secure { 443 } else { 80 };
    Connection::new(
        peer.parse().expect("peer"),
        ([192, 0, 2, 1], local).into(),
        secured,
    )
}

fn fields(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(
            name.parse::<HeaderName>().expect("name"),
            value.parse().expect("value"),
        );
    }
    map
}

const LIES: [(&str, &str); 13] = [
    ("x~forwarded^for", "6.6.6.6"),
    ("true_client_ip", "6.6.6.6"),
    ("cf-connecting-ip", "6.6.6.6"),
    ("x-forwarded-for", "6.6.6.6"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "evil.example"),
    ("x_forwarded_for", "6.6.6.6"),
    ("x.forwarded.for", "6.6.6.6"),
    ("x-forwarded-prefix", "/evil"),
    ("forwarded", "for=6.6.6.6"),
    ("x-real-ip", "6.6.6.6"),
    ("proxy", "http://evil.example"),
    ("x-original-uri", "/evil"),
];

/// What the replica is told.
fn told(peer: &str, sent: &[(&str, &str)], trusted: &[&str]) -> Vec<(String, String)> {
    let connection = connection(peer, false);
    let mut fields = fields(sent);
    let trusted: Vec<IpNet> = trusted
        .iter()
        .map(|net| net.parse().expect("net"))
        .collect();
    let client = Client::new(&connection, &fields, &trusted);
    let host = "a.example".parse().expect("host");
    let origin = Origin {
        client: &client,
        peer: connection.peer,
        local: connection.local,
        host: &host,
        port: None,
        target: "/path?query",
    };
    set_identity(&mut fields, &origin).expect("fields");
    let text = |value: &HeaderValue| value.to_str().expect("text").to_owned();
    let mut told: Vec<_> = fields
        .iter()
        .map(|(name, value)| (name.to_string(), text(value)))
        .collect();
    told.sort();
    told
}

#[test]
fn what_a_client_says_of_itself_is_replaced_in_every_spelling() {
    let expected = [
        ("host", "a.example"),
        ("x-forwarded-for", "203.0.113.5"),
        ("x-forwarded-host", "a.example"),
        ("x-forwarded-port", "80"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-ssl", "off"),
        ("x-original-uri", "/path?query"),
        ("x-real-ip", "203.0.113.5"),
    ];
    let expected: Vec<_> = expected
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    assert_eq!(told("203.0.113.5:4000", &LIES, &[]), expected);
    assert_eq!(told("203.0.113.5:4000", &[], &[]), expected);
    assert_eq!(
        told("203.0.113.5:4000", &LIES, &["10.0.0.0/8"]),
        expected,
        "not a trusted peer"
    );
}

#[test]
fn a_trusted_proxy_is_believed_and_its_chain_continued() {
    let sent = [
        ("x-forwarded-for", "6.6.6.6, 198.51.100.7, 10.0.0.9"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-port", "8443"),
    ];
    let told = told("10.0.0.2:4000", &sent, &["10.0.0.0/8"]);
    let value = |name: &str| {
        let found = told.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).expect(name)
    };
    assert_eq!(
        value("x-real-ip"),
        "198.51.100.7",
        "the last that no trusted proxy is"
    );
    assert_eq!(
        value("x-forwarded-for"),
        "6.6.6.6, 198.51.100.7, 10.0.0.9, 10.0.0.2"
    );
    assert_eq!(value("x-forwarded-proto"), "https");
    assert_eq!(value("x-forwarded-port"), "8443");
}

#[test]
fn a_port_is_part_of_the_host_where_it_is_not_the_schemes_own() {
    let client = Client::new(&connection("203.0.113.5:1", true), &HeaderMap::new(), &[]);
    let host = "a.example".parse().expect("host");
    let field = |port| {
        let origin = Origin {
            client: &client,
            peer: ([203, 0, 113, 5], 1).into(),
            local: ([192, 0, 2, 1], 443).into(),
            host: &host,
            port,
            target: "/",
        };
        origin.host_field()
    };
    assert_eq!(field(None), "a.example");
    assert_eq!(field(Some(443)), "a.example");
    assert_eq!(field(Some(8443)), "a.example:8443");
}

#[test]
fn fields_of_the_connection_end_here() {
    let mut map = fields(&[
        ("connection", "keep-alive, X-Mine"),
        ("x-mine", "1"),
        ("keep-alive", "timeout=5"),
        ("te", "trailers"),
        ("upgrade", "h2c"),
        ("proxy-authorization", "x"),
        ("cookie", "kept"),
    ]);
    remove_hop_by_hop(&mut map);
    let names: Vec<_> = map.keys().map(HeaderName::as_str).collect();
    assert_eq!(names, ["cookie"]);
}

proptest! {
    #[test]
    fn no_name_that_a_server_would_take_for_an_identity_passes(
        name in "[xX][-_.][fF]orwarded[-_.][a-z]{1,8}",
    ) {
        let name: HeaderName = name.parse().expect("name");
        prop_assert!(is_identity(&name));
    }
}
