use std::collections::BTreeMap;

use super::*;
use crate::plan::{Https, KeyType};

fn said(values: &[(&str, &str)]) -> Claims {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    Claims {
        values: values.iter().map(owned).collect::<BTreeMap<_, _>>(),
        left_out: Vec::new(),
    }
}

fn open(values: &[(&str, &str)]) -> (Option<Claim>, Vec<String>) {
    read(&said(values), NamesFromContainers::Open)
}

fn good(values: &[(&str, &str)]) -> Claim {
    let (claim, troubles) = open(values);
    assert_eq!(troubles, Vec::<String>::new());
    claim.expect("a claim")
}

fn hosts(claim: &Claim) -> Vec<String> {
    claim.hosts().map(ToString::to_string).collect()
}

/// The one place that every host leads to.
fn place(claim: &Claim) -> &Place {
    let [place] = &claim.sites[0].places[..] else {
        panic!("{claim:?}");
    };
    assert!(
        claim
            .sites
            .iter()
            .all(|site| site.places[..] == [place.clone()])
    );
    place
}

#[test]
fn a_list_of_names_may_have_blanks_commas_and_dots_too_many() {
    let claim = good(&[(
        "VIRTUAL_HOST",
        " a.example.org , B.Example.org.,,*.c.example.org,a.example.org, www.d.*,~^e\\d+\\.org$ ,",
    )]);
    let expected = [
        "a.example.org",
        "b.example.org",
        "*.c.example.org",
        "www.d.*",
        "~^e\\d+\\.org$",
    ];
    assert_eq!(hosts(&claim), expected);
    assert_eq!(
        (place(&claim).port, place(&claim).path.as_str()),
        (None, "/")
    );
}

#[test]
fn one_bad_name_is_ignored_and_the_others_count() {
    let (claim, troubles) = open(&[("VIRTUAL_HOST", "a b.example.org,ok.example.org")]);
    assert_eq!(hosts(&claim.expect("a claim")), ["ok.example.org"]);
    assert!(
        troubles[0].contains("`a b.example.org` is ignored"),
        "{troubles:?}"
    );
}

#[test]
fn without_one_good_name_there_is_no_route() {
    for list in [",", "a b", "..", "[::1"] {
        let (claim, troubles) = open(&[("VIRTUAL_HOST", list)]);
        assert_eq!(claim, None, "{list}");
        assert!(troubles[0].contains("not routed"), "{troubles:?}");
    }
    assert_eq!(
        open(&[("VIRTUAL_HOST", "")]),
        (None, Vec::new()),
        "as the incumbent does"
    );
}

#[test]
fn what_would_lead_elsewhere_if_it_were_ignored_keeps_the_container_out() {
    for (key, value) in [
        ("VIRTUAL_PORT", "80a"),
        ("VIRTUAL_PORT", "0"),
        ("VIRTUAL_PORT", "65536"),
        ("VIRTUAL_PROTO", "uwsgi"),
        ("VIRTUAL_PATH", "app"),
        ("VIRTUAL_PATH", "~^/(?!a)"),
        ("VIRTUAL_PATH", r"~(\w{100}){100}"),
        ("VIRTUAL_PROTO", "fastcgi"),
        ("VIRTUAL_PROTO", "grpc"),
        ("VIRTUAL_PROTO", "grpcs"),
        ("VIRTUAL_PATH", "/a/../b"),
        ("VIRTUAL_DEST", "http://10.0.0.1/"),
        ("NETWORK_ACCESS", "private"),
        ("VIRTUAL_HOST_MULTIPORTS", "a: ["),
    ] {
        let (claim, troubles) = open(&[("VIRTUAL_HOST", "a.example.org"), (key, value)]);
        assert_eq!(claim, None, "{key}={value}");
        assert!(
            troubles[0].contains(key) && troubles[0].contains("not routed"),
            "{troubles:?}"
        );
    }
}

#[test]
fn patterns_count_only_where_any_name_does() {
    let listed = |list| {
        read(
            &said(&[("VIRTUAL_HOST", list)]),
            NamesFromContainers::Listed,
        )
    };
    let (claim, troubles) = listed("a.example.org,~^b,www.c.*");
    assert_eq!(hosts(&claim.expect("a claim")), ["a.example.org"]);
    assert_eq!(troubles.len(), 2, "{troubles:?}");
}

#[test]
fn https_method_and_hsts_mean_what_they_meant() {
    let with = |values: &[(&str, &str)]| {
        let host = [("VIRTUAL_HOST", "a.example.org")];
        good(&[&host[..], values].concat()).wishes
    };
    for (method, expected) in [
        ("redirect", Https::Redirect),
        ("noredirect", Https::Both),
        ("nohttp", Https::Only),
        ("nohttps", Https::Off),
    ] {
        assert_eq!(with(&[("HTTPS_METHOD", method)]).https, Some(expected));
    }
    assert_eq!(
        with(&[("HSTS", "max-age=1")]).hsts.as_deref(),
        Some("max-age=1")
    );
    for (word, expected) in [("f", false), ("1", true), ("TRUE", true)] {
        let wishes = with(&[("ENABLE_HTTP_ON_MISSING_CERT", word)]);
        assert_eq!(wishes.http_without_certificate, Some(expected), "{word}");
    }
    assert_eq!(with(&[]), Wishes::default());

    let host = ("VIRTUAL_HOST", "a.example.org");
    let (claim, troubles) = open(&[host, ("HSTS", "a\r\nSet-Cookie: b"), ("HTTPS_METHOD", "no")]);
    assert_eq!(
        claim.expect("served all the same").wishes,
        Wishes::default()
    );
    assert_eq!(troubles.len(), 2, "{troubles:?}");
    assert!(
        troubles.iter().all(|trouble| !trouble.contains('\n')),
        "{troubles:?}"
    );
}

#[test]
fn certificates_are_asked_for_by_the_newer_name_first_and_never_for_what_no_authority_knows() {
    let (claim, troubles) = open(&[
        (
            "VIRTUAL_HOST",
            "a.example.org,localhost,*.b.example.org,x.b.example.org",
        ),
        ("ACME_HOST", "a.example.org, x.b.example.org, localhost"),
        ("LETSENCRYPT_HOST", "older.example.org"),
        ("LETSENCRYPT_EMAIL", "ops@example.org"),
        ("LETSENCRYPT_TEST", "TRUE"),
        ("LETSENCRYPT_SINGLE_DOMAIN_CERTS", "true"),
        ("ACME_KEYSIZE", "4096"),
        ("LETSENCRYPT_KEYSIZE", "1024"),
        ("ACME_CA_URI", "https://ca.test/dir"),
    ]);
    let claim = claim.expect("a claim");
    let orders: Vec<_> = claim.orders.iter().map(ToString::to_string).collect();
    assert_eq!(orders, ["a.example.org", "x.b.example.org"]);
    assert_eq!(claim.wishes.email.as_deref(), Some("ops@example.org"));
    let directory = claim.wishes.directory.as_deref();
    assert_eq!(directory, Some("https://ca.test/dir"));
    assert_eq!(
        (claim.wishes.staging, claim.wishes.apart),
        (Some(true), Some(true))
    );
    let text = troubles.join("\n");
    assert_eq!(claim.wishes.tls.key_type, Some(KeyType::Rsa4096));
    assert!(text.contains("localhost"), "{text}");
}

#[test]
fn labels_choose_who_gets_whom_and_unknown_words_are_told() {
    let label = |name: &str| format!("{LABELS}{name}");
    let (balance, alive) = (label("loadbalance"), label("keepalive"));
    let host = ("VIRTUAL_HOST", "a.example.org");
    let claim = good(&[host, (&balance, "ip_hash;"), (&alive, "auto")]);
    assert_eq!(claim.placement, Some(Placement::Client));
    for (value, expected) in [
        ("disabled", Some(false)),
        ("auto", Some(true)),
        ("32", Some(true)),
    ] {
        assert_eq!(
            good(&[host, (&alive, value)]).keep_alive,
            expected,
            "{value}"
        );
    }
    let (claim, troubles) = open(&[host, (&alive, "for ever")]);
    assert_eq!(claim.expect("served").keep_alive, None);
    assert!(troubles[0].contains("keepalive"), "{troubles:?}");
    let unheard = label("unheard-of");
    let (claim, troubles) = open(&[
        host,
        (&unheard, "on"),
        ("LETSENCRYPT_RESTART_CONTAINER", ""),
    ]);
    assert!(claim.is_some());
    let text = troubles.join("\n");
    assert!(text.contains("the label unheard-of"), "{text}");
    assert!(
        text.contains("LETSENCRYPT_RESTART_CONTAINER is not followed"),
        "{text}"
    );
}

#[test]
fn booleans_of_labels_are_read_as_go_reads_them() {
    let host = ("VIRTUAL_HOST", "a.example.org");
    let of = |name: &str, word: &str| {
        let label = format!("{LABELS}{name}");
        good(&[host, (&label, word)]).wishes
    };
    for (words, expected) in [
        (["1", "t", "T", "TRUE", "true", "True"], true),
        (["0", "f", "F", "FALSE", "false", "False"], false),
    ] {
        for word in words {
            assert_eq!(of("http2.enable", word).http2, Some(expected), "{word}");
            let trusted = of("trust-default-cert", word).tls.trust_default;
            assert_eq!(trusted, Some(expected), "{word}");
        }
    }
    assert_eq!(of("http3.enable", "0"), Wishes::default());
    for name in ["http2.enable", "trust-default-cert"] {
        let label = format!("{LABELS}{name}");
        let (claim, troubles) = open(&[host, (&label, "yes")]);
        assert_eq!(claim.expect("served").wishes, Wishes::default(), "{name}");
        assert!(
            troubles[0].contains("neither true nor false"),
            "{troubles:?}"
        );
    }
}

#[test]
fn a_few_sentences_are_enough_for_three_hundred_bad_values() {
    let bad: Vec<(String, String)> = (0..300)
        .map(|number| (format!("{LABELS}{number}"), "\u{1b}[2J".repeat(30)))
        .collect();
    let mut values: Vec<(&str, &str)> = vec![("VIRTUAL_HOST", "a.example.org")];
    values.extend(
        bad.iter()
            .map(|(key, value)| (key.as_str(), value.as_str())),
    );
    let (claim, troubles) = open(&values);
    assert!(claim.is_some());
    assert_eq!(troubles.len(), MOST_TROUBLES + 1);
    assert!(
        troubles
            .iter()
            .all(|text| !text.contains('\u{1b}') && text.len() < 800)
    );
}

#[test]
fn a_redirect_that_is_no_get_has_the_status_of_the_label_then_of_the_variable() {
    let label = format!("{LABELS}non-get-redirect");
    let host = ("VIRTUAL_HOST", "a.example.org");
    let variable = ("NON_GET_REDIRECT", "308");
    let of = |values: &[(&str, &str)]| good(values).wishes.non_get_redirect;
    assert_eq!(of(&[host]), None);
    assert_eq!(of(&[host, variable]), Some(NonGetRedirect::Permanent));
    assert_eq!(
        of(&[host, variable, (&label, "307")]),
        Some(NonGetRedirect::Temporary)
    );
    let (claim, troubles) = open(&[host, (&label, "301")]);
    assert_eq!(claim.expect("served").wishes.non_get_redirect, None);
    assert!(troubles[0].contains("neither 307 nor 308"), "{troubles:?}");
}

#[test]
fn https_to_the_container_and_ports_from_outside_are_read() {
    let claim = good(&[
        ("VIRTUAL_HOST", "a.example.org"),
        ("VIRTUAL_PROTO", "https"),
        ("VIRTUAL_PORT", "8443"),
        ("EXTERNAL_HTTP_PORT", "8080"),
        ("EXTERNAL_HTTPS_PORT", "8448"),
    ]);
    assert_eq!((place(&claim).port, place(&claim).tls), (Some(8443), true));
    let external = ExternalPorts {
        http: Some(8080),
        https: Some(8448),
    };
    assert_eq!(claim.sites[0].external, external);
    let host = ("VIRTUAL_HOST", "a.example.org");
    let (claim, troubles) = open(&[host, ("EXTERNAL_HTTPS_PORT", "https")]);
    assert_eq!(
        claim.expect("served").sites[0].external,
        ExternalPorts::default()
    );
    assert!(troubles[0].contains("EXTERNAL_HTTPS_PORT"), "{troubles:?}");
}

#[test]
fn a_pattern_of_paths_counts_only_where_any_name_does_and_never_with_a_destination() {
    let values = [
        ("VIRTUAL_HOST", "a.example.org"),
        ("VIRTUAL_PATH", "~^/(a|b)/"),
    ];
    assert_eq!(place(&good(&values)).path, "~^/(a|b)/");
    let (claim, troubles) = read(&said(&values), NamesFromContainers::Listed);
    assert_eq!(claim, None);
    assert!(troubles[0].contains("[[instance]]"), "{troubles:?}");
    let (claim, troubles) = open(&[&values[..], &[("VIRTUAL_DEST", "/")]].concat());
    assert_eq!(claim, None);
    assert!(troubles[0].contains("VIRTUAL_DEST"), "{troubles:?}");
}

#[test]
fn several_ports_override_the_variables_for_one() {
    let text = "b.example.org:\n  external_https_port: 8448\n  /api:\n    port: 9000\n    \
        proto: https\n    dest: /\na.example.org:\n";
    let claim = good(&[
        ("VIRTUAL_HOST", "other.example.org"),
        ("VIRTUAL_PORT", "1"),
        ("VIRTUAL_PATH", "nonsense"),
        ("EXTERNAL_HTTPS_PORT", "9448"),
        (MULTIPORTS, text),
    ]);
    assert_eq!(hosts(&claim), ["a.example.org", "b.example.org"]);
    let root = Place {
        path: "/".to_owned(),
        dest: None,
        port: None,
        tls: false,
    };
    let api = Place {
        path: "/api".to_owned(),
        dest: Some("/".to_owned()),
        port: Some(9000),
        tls: true,
    };
    assert_eq!(claim.sites[0].places, [root]);
    assert_eq!(claim.sites[1].places, [api]);
    let external = |site: &Site| site.external.https;
    assert_eq!(
        (external(&claim.sites[0]), external(&claim.sites[1])),
        (Some(9448), Some(8448))
    );
}

#[test]
fn several_ports_of_which_one_is_none_keep_the_container_out_and_bad_names_do_not() {
    for text in [
        "a.example.org:\n  /: { port: 0 }",
        "a.example.org:\n  /: { proto: uwsgi }",
        "a.example.org:\n  app: { port: 80 }",
        "a.example.org:\n  /: { dest: 'http://10.0.0.1' }",
        "a.example.org:\n  '~(': {}",
        "a b:",
    ] {
        let (claim, troubles) = open(&[("VIRTUAL_HOST", "c.example.org"), (MULTIPORTS, text)]);
        assert_eq!(claim, None, "{text}");
        assert!(troubles[0].contains("not routed"), "{troubles:?}");
    }
    let many = |count: usize, path: &dyn Fn(usize) -> String| {
        let paths: String = (0..count)
            .map(|number| format!("  {}:\n", path(number)))
            .collect();
        open(&[(MULTIPORTS, &format!("a.example.org:\n{paths}"))])
    };
    let (claim, troubles) = many(33, &|number| format!("/{number}"));
    assert_eq!(claim, None);
    assert!(troubles[0].contains("33 paths"), "{troubles:?}");
    let (claim, troubles) = many(9, &|number| format!("'~{number}'"));
    assert_eq!(claim, None);
    assert!(troubles[0].contains("9 patterns"), "{troubles:?}");
    let (claim, troubles) = open(&[(MULTIPORTS, "a b:\nc.example.org:\n")]);
    assert_eq!(hosts(&claim.expect("served")), ["c.example.org"]);
    assert!(troubles[0].contains("`a b` is ignored"), "{troubles:?}");
}

#[test]
fn what_is_said_of_keys_and_of_clients_is_of_its_type_or_a_sentence() {
    use crate::plan::ClientVerify::{Any, Optional, Required};
    let label = |name: &str| format!("{LABELS}{name}");
    let (verify, default) = (label("ssl_verify_client"), label("trust-default-cert"));
    let host = ("VIRTUAL_HOST", "a.example.org");
    for (value, expected) in [
        ("on", Some(Clients::Asked(Required))),
        ("optional", Some(Clients::Asked(Optional))),
        ("optional_no_ca", Some(Clients::Asked(Any))),
        ("off", Some(Clients::NotAsked)),
        ("perhaps", None),
    ] {
        let (claim, troubles) = open(&[host, (&verify, value)]);
        let tls = claim.expect("a claim").wishes.tls;
        assert_eq!(
            (tls.clients, troubles.len()),
            (expected, usize::from(expected.is_none()))
        );
    }
    for (value, expected) in [("true", Some(true)), ("False", Some(false)), ("no", None)] {
        let (claim, troubles) = open(&[host, (&default, value)]);
        let tls = claim.expect("a claim").wishes.tls;
        assert_eq!(
            (tls.trust_default, troubles.len()),
            (expected, usize::from(expected.is_none()))
        );
    }
    for kind in KeyType::ALL {
        let claim = good(&[host, ("LETSENCRYPT_KEYSIZE", kind.word())]);
        assert_eq!(claim.wishes.tls.key_type, Some(kind));
    }
    let (claim, troubles) = open(&[host, ("LETSENCRYPT_KEYSIZE", "1024")]);
    assert_eq!(claim.expect("a claim").wishes.tls.key_type, None);
    assert!(
        troubles[0].contains("LETSENCRYPT_KEYSIZE `1024`"),
        "{troubles:?}"
    );
}
