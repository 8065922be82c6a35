use proptest::prelude::*;

use super::*;

const V4: Named = Named {
    source: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9)), 56324),
    destination: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 443),
};

fn header(length: usize, named: Option<Named>) -> Verdict {
    Verdict::Header { length, named }
}

/// A header of version 2.
fn second(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("short");
    [SIGNATURE, &[command, family], &length.to_be_bytes(), body].concat()
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().into(),
        IpAddr::V6(ip) => ip.octets().into(),
    }
}

/// The addresses of a header of version 2.
fn body(named: Named) -> Vec<u8> {
    let Named {
        source,
        destination,
    } = named;
    [
        octets(source.ip()),
        octets(destination.ip()),
        source.port().to_be_bytes().into(),
        destination.port().to_be_bytes().into(),
    ]
    .concat()
}

/// The same connection in both versions.
fn both(named: Named) -> [Vec<u8>; 2] {
    let Named {
        source,
        destination,
    } = named;
    let (word, family) = match source {
        SocketAddr::V4(_) => ("TCP4", 0x11),
        SocketAddr::V6(_) => ("TCP6", 0x21),
    };
    let line = format!(
        "PROXY {word} {} {} {} {}\r\n",
        source.ip(),
        destination.ip(),
        source.port(),
        destination.port()
    );
    [line.into_bytes(), second(0x21, family, &body(named))]
}

#[test]
fn a_line_names_both_ends() {
    let line = b"PROXY TCP4 203.0.113.9 192.0.2.1 56324 443\r\nGET / HTTP/1.1\r\n";
    assert_eq!(inspect(line), header(44, Some(V4)));
    let line = b"PROXY TCP6 2001:db8::9 2001:db8::1 1 65535\r\n";
    let named = Named {
        source: "[2001:db8::9]:1".parse().expect("address"),
        destination: "[2001:db8::1]:65535".parse().expect("address"),
    };
    assert_eq!(inspect(line), header(line.len(), Some(named)));
}

#[test]
fn a_proxy_may_speak_for_itself() {
    let longest = format!("PROXY UNKNOWN {}\r\n", "f".repeat(91));
    assert_eq!(longest.len(), LONGEST_LINE);
    for bytes in [
        b"PROXY UNKNOWN\r\n".to_vec(),
        longest.into_bytes(),
        second(0x20, 0x00, b""),
        second(0x20, 0x11, &body(V4)),
        second(0x20, 0xff, b"whatever"),
        second(0x21, 0x00, b"whatever"),
    ] {
        assert_eq!(inspect(&bytes), header(bytes.len(), None), "{bytes:?}");
    }
}

#[test]
fn what_is_appended_to_the_addresses_is_skipped() {
    let field = [&[0x02, 0, 4][..], b"name"].concat();
    let bytes = second(0x21, 0x11, &[body(V4), field].concat());
    assert_eq!(inspect(&bytes), header(bytes.len(), Some(V4)));
}

#[test]
fn a_line_has_one_spelling() {
    for (line, why) in [
        ("GET / HTTP/1.1\r\n", Malformed::NoHeader),
        ("proxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n", Malformed::NoHeader),
        ("PROXY\r\n", Malformed::NoHeader),
        ("PROXY  TCP4 1.1.1.1 2.2.2.2 1 2\r\n", Malformed::Family),
        ("PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n", Malformed::Family),
        ("PROXY UNKNOWNX\r\n", Malformed::Family),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n", Malformed::NoHeader),
        ("PROXY TCP4 ::1 ::1 1 2\r\n", Malformed::Address),
        ("PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n", Malformed::Address),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n", Malformed::Address),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n", Malformed::Address),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n", Malformed::Address),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n", Malformed::Address),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n", Malformed::Address),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 1 65536\r\n", Malformed::Address),
        ("PROXY TCP4 1.1.1.01 2.2.2.2 1 2\r\n", Malformed::Address),
        ("PROXY TCP4 1.1.1.1\t2.2.2.2 1 2\r\n", Malformed::Address),
        ("PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", Malformed::Address),
    ] {
        assert_eq!(inspect(line.as_bytes()), Verdict::Refuse(why), "{line:?}");
    }
}

#[test]
fn a_binary_header_is_refused_as_soon_as_it_is_known_to_be_wrong() {
    for (bytes, why) in [
        (second(0x11, 0x11, &body(V4)), Malformed::Version),
        (second(0x22, 0x11, &body(V4)), Malformed::Version),
        (second(0x21, 0x12, &body(V4)), Malformed::Family),
        (second(0x21, 0x31, &[0; 216]), Malformed::Family),
        (second(0x21, 0x11, &body(V4)[..11]), Malformed::TooShort),
        (second(0x21, 0x21, &body(V4)), Malformed::TooShort),
        (second(0x21, 0x11, &[0; LONGEST]), Malformed::TooLong),
    ] {
        assert_eq!(inspect(&bytes), Verdict::Refuse(why), "{bytes:?}");
        // The length of what follows is not waited for.
        assert_eq!(inspect(&bytes[..FIXED]), Verdict::Refuse(why), "{bytes:?}");
    }
}

#[test]
fn a_line_without_an_end_is_refused_at_its_cap() {
    let endless = [b"PROXY TCP4 ".as_slice(), &[b'1'; LONGEST_LINE]].concat();
    assert_eq!(inspect(&endless[..LONGEST_LINE - 1]), Verdict::More);
    let refused = Verdict::Refuse(Malformed::TooLong);
    assert_eq!(inspect(&endless[..LONGEST_LINE]), refused);
    let late = format!("PROXY UNKNOWN {}\r\n", "f".repeat(92));
    assert_eq!(inspect(late.as_bytes()), refused);
}

fn ends_of_a_connection() -> impl Strategy<Value = Named> {
    let named = |source: IpAddr, destination: IpAddr, from, to| Named {
        source: SocketAddr::new(source, from),
        destination: SocketAddr::new(destination, to),
    };
    prop_oneof![
        any::<(Ipv4Addr, Ipv4Addr, u16, u16)>().prop_map(move |(a, b, from, to)| named(
            a.into(),
            b.into(),
            from,
            to
        )),
        any::<(Ipv6Addr, Ipv6Addr, u16, u16)>().prop_map(move |(a, b, from, to)| named(
            a.into(),
            b.into(),
            from,
            to
        )),
    ]
}

proptest! {
    #[test]
    fn a_header_is_read_back_and_ends_where_it_ends(
        named in ends_of_a_connection(),
        behind in any::<Vec<u8>>(),
    ) {
        for bytes in both(named) {
            let length = bytes.len();
            let whole = [bytes, behind.clone()].concat();
            prop_assert_eq!(inspect(&whole), header(length, Some(named)));
            // Whoever asks too early takes nothing that is not the header's.
            for cut in 0..length {
                prop_assert_eq!(inspect(&whole[..cut]), Verdict::More);
            }
        }
    }

    #[test]
    fn no_bytes_are_waited_for_beyond_the_cap(
        mark in prop_oneof![Just(LINE), Just(SIGNATURE), Just(&b""[..])],
        bytes in proptest::collection::vec(any::<u8>(), LONGEST..LONGEST + 8),
    ) {
        let bytes = [mark, &bytes].concat();
        match inspect(&bytes) {
            Verdict::More => prop_assert!(false, "more than {} bytes", bytes.len()),
            Verdict::Header { length, .. } => prop_assert!(length <= LONGEST),
            Verdict::Refuse(_) => {}
        }
    }
}
