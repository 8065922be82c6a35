use proptest::prelude::*;

use super::*;

fn host(text: &str) -> Hostname {
    text.parse().expect(text)
}

#[test]
fn a_host_is_the_same_name_however_it_is_spelled() {
    for spelling in [
        "Congress.Example.ORG",
        "congress.example.org.",
        "congress.example.org",
    ] {
        assert_eq!(host(spelling).as_str(), "congress.example.org");
    }
}

#[test]
fn parsing_a_canonical_host_changes_nothing() {
    for text in [
        "a",
        "a-b.example",
        "xn--bcher-kva.example",
        "my_stack.example",
        "10.0.0.1",
        "[2001:db8::1]",
        "[::ffff:192.0.2.1]",
    ] {
        assert_eq!(host(text).as_str().parse::<Hostname>(), Ok(host(text)));
    }
}

#[test]
fn what_is_no_host_is_refused() {
    let label = "a".repeat(64);
    let long = vec!["a".repeat(60); 5].join(".");
    for text in [
        "",
        ".",
        "a..b",
        "a b",
        "a/b",
        "user@a",
        "::1",
        "[::1",
        "[::1]x",
        "[::1].",
        "[fe80::1%eth0]",
        "[10.0.0.1]",
        "[a.example]",
        "bücher.example",
        "a\0",
        &label,
        &long,
    ] {
        assert!(text.parse::<Hostname>().is_err(), "{text:?}");
    }
}

#[test]
fn an_authority_splits_into_host_and_port() {
    let split = |text| Hostname::from_authority(text).map(|(h, p)| (h.as_str().to_owned(), p));
    assert_eq!(
        split("A.example:8443"),
        Ok(("a.example".into(), Some(8443)))
    );
    assert_eq!(split("a.example:"), Ok(("a.example".into(), None)));
    assert_eq!(split("a.example"), Ok(("a.example".into(), None)));
    assert_eq!(split("[::1]:8080"), Ok(("[::1]".into(), Some(8080))));
    for (text, address) in [("[0:0::1]", "[::1]"), ("[2001:DB8::0:1]:", "[2001:db8::1]")] {
        assert_eq!(split(text), Ok((address.into(), None)));
    }
    for text in [
        "a:b",
        "a:123456",
        "a:65536",
        "a:+80",
        "a:80:80",
        ":80",
        "u@a:80",
        "a::80",
        "[::1]8080",
        "[::1]:x",
        "[::1]:80:80",
        "::1",
        "[::1",
        "[::1]]",
        "u@[::1]",
    ] {
        assert!(split(text).is_err(), "{text:?}");
    }
}

#[test]
fn only_public_names_are_for_a_public_authority() {
    for text in ["congress.example.org", "a.co.uk"] {
        assert!(host(text).is_public(), "{text}");
    }
    for text in [
        "localhost",
        "a.localhost",
        "nas.local",
        "10.0.0.1",
        "web",
        "x.home.arpa",
        "a.test",
        "[2001:db8::1]",
        "[::ffff:192.0.2.1]",
    ] {
        assert!(
            !host(text).is_delegated() || host(text).is_private(),
            "{text}"
        );
        assert!(!host(text).is_public(), "{text}");
    }
}

#[test]
fn a_wildcard_is_not_its_own_name() {
    assert_eq!(
        "*.Example.org".parse(),
        Ok(Domain::Below(host("example.org")))
    );
    assert!("*.[::1]".parse::<Domain>().is_err());
    assert!("*.*.org".parse::<Domain>().is_err());
    assert!("a.*.org".parse::<Domain>().is_err());
}

#[test]
fn simple_names_keep_to_the_alphabet_of_compose() {
    for text in ["congress", "2026_b", "a-b"] {
        assert_eq!(text.parse::<InstanceName>().expect(text).as_str(), text);
    }
    for text in ["", "-a", "a/b", "a.b", "a b", "ä", &"a".repeat(64)] {
        assert!(text.parse::<StackName>().is_err(), "{text:?}");
    }
    assert!("a.b".parse::<ServiceName>().is_ok());
}

#[test]
fn a_restarted_container_is_another_replica() {
    let container = "0123456789abcdef".repeat(4);
    let first = ReplicaId::new(&container, 1);
    let again = ReplicaId::new(&container, 2);
    assert_ne!(first, again);
    assert_eq!(first.to_string(), "0123456789ab", "as Docker shortens it");
    let process = ReplicaId::new("1234567", 1);
    assert_eq!(process.to_string(), "1234567");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn whatever_is_a_host_is_canonical_at_once(text in "[a-zA-Z0-9._:@/-]{0,40}|\\[[0-9a-fA-F:.]{0,40}\\](:[0-9]{0,6})?|\\PC{0,20}") {
        if let Ok((host, port)) = Hostname::from_authority(&text) {
            let again = Hostname::from_authority(host.as_str());
            prop_assert_eq!(again, Ok((host.clone(), None)));
            let known = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
            let is_address = host.address().is_some();
            prop_assert!(is_address || host.as_str().bytes().all(known), "{}", host);
            let written = port.map_or_else(|| host.to_string(), |port| format!("{host}:{port}"));
            prop_assert_eq!(Hostname::from_authority(&written), Ok((host, port)));
        }
    }

    #[test]
    fn a_name_is_the_same_in_every_spelling(
        labels in proptest::collection::vec("[a-zA-Z0-9_-]{1,12}", 1..5),
        port in proptest::option::of(0u16..),
        dot in any::<bool>(),
    ) {
        let name = labels.join(".");
        let dot = if dot { "." } else { "" };
        let port_text = port.map_or_else(String::new, |port| format!(":{port}"));
        let plain = host(&name.to_ascii_lowercase());
        for spelling in [name.clone(), name.to_ascii_uppercase(), name.to_ascii_lowercase()] {
            let authority = format!("{spelling}{dot}{port_text}");
            prop_assert_eq!(Hostname::from_authority(&authority), Ok((plain.clone(), port)));
        }
    }
}
