use super::*;

fn refused(text: &str) -> String {
    let refused = parse(text).expect_err(text);
    assert!(refused.len() < 200 && !refused.contains('\n'), "{refused}");
    refused
}

fn path(hosts: &Hosts, host: &str, path: &str) -> [Option<String>; 3] {
    let said = hosts[host].as_ref().expect("said");
    let nothing = Words::default();
    let words = said.paths[path].as_ref().unwrap_or(&nothing);
    [&words.port, &words.proto, &words.dest].map(|word| said_in(word).map(ToOwned::to_owned))
}

#[test]
fn yaml_and_json_mean_the_same() {
    let yaml = "www.example.org:\n\
        service.example.org:\n  \
          external_https_port: 8448\n  \
          \"/\":\n    port: 8000\n  \
          \"/b\":\n    port: \"9000\"\n    proto: https\n    dest: \"\"\n";
    let json = "{\n\t\"www.example.org\": null,\n\t\"service.example.org\": {\n\
        \t\t\"external_https_port\": 8448, \"/\": { \"port\": 8000 },\n\
        \t\t\"/b\": {\"port\": \"9000\", \"proto\": \"https\", \"dest\": \"\"} }\n}";
    for text in [yaml, json] {
        let hosts = parse(text).expect(text);
        assert_eq!(hosts["www.example.org"], None);
        let said = hosts["service.example.org"].as_ref().expect("said");
        assert_eq!(said_in(&said.external_https_port), Some("8448"));
        let owned = |text: &str| Some(text.to_owned());
        assert_eq!(
            path(&hosts, "service.example.org", "/"),
            [owned("8000"), None, None]
        );
        let expected = [owned("9000"), owned("https"), None];
        assert_eq!(path(&hosts, "service.example.org", "/b"), expected);
    }
}

#[test]
fn what_is_no_yaml_or_of_another_shape_is_refused_in_one_line() {
    for text in [
        "a: [",
        "a.example.org",
        "- a.example.org",
        "{}",
        "a.example.org: 80",
        "a.example.org:\n  \"/\": 8000",
        "a.example.org:\n  \"/\":\n    port: [1, 2]",
        "a.example.org:\n  \"/\":\n    prot: https",
        "a.example.org:\n  \"/\":\n    port: { of: 1 }",
        "a.example.org: {}\n---\nb.example.org: {}",
        "a.example.org: {}\na.example.org: {}",
        "a.example.org:\n  \"/\": {}\n  \"/\": {}",
        "\u{0}",
        "!!binary a",
    ] {
        refused(text);
    }
}

#[test]
fn what_says_much_with_few_bytes_is_refused_at_once() {
    let laughs = "a: &a {\"/\": {}}\nb: &b {\"/\": *a}\nc: *b\n";
    let merged = "a: &a {\"/\": {}}\nb:\n  <<: *a\n";
    let deep = format!("{}{}", "{\"a\":".repeat(1000), "}".repeat(1000));
    let nested = "[".repeat(4000);
    let many: String = (0..600).map(|number| format!("{number}:\n")).collect();
    for text in [laughs, merged, &deep, &nested, &many] {
        refused(text);
    }
}
