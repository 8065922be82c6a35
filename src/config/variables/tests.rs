use super::{FOLLOWED, Layer, Note, read};

fn reading(set: &[(&str, &str)]) -> (Layer, Vec<Note>) {
    read(|name| {
        let found = set.iter().find(|(key, _)| *key == name)?;
        Some(found.1.to_owned())
    })
}

/// What is said beside what holds without any variable.
fn beyond(text: &str, usual: &str) -> String {
    let parse = |text: &str| text.parse::<toml::Table>().expect("TOML");
    let (said, usual) = (parse(text), parse(usual));
    let mut beyond = toml::Table::new();
    for (table, value) in said {
        let (toml::Value::Table(keys), Some(toml::Value::Table(known))) =
            (&value, usual.get(&table))
        else {
            beyond.insert(table, value);
            continue;
        };
        let more: toml::Table = keys
            .iter()
            .filter(|(key, value)| known.get(*key) != Some(*value))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        if !more.is_empty() {
            beyond.insert(table, more.into());
        }
    }
    beyond.to_string().trim().replace("\n\n", "\n")
}

#[test]
fn each_variable_says_what_its_key_says() {
    let (usual, notes) = reading(&[]);
    assert!(notes.is_empty(), "{notes:?}");
    for (set, globals, instances) in [
        (
            &[("ENABLE_IPV6", "true")][..],
            "[listen]\nhttp = [\"0.0.0.0:80\", \"[::]:80\"]\nhttps = [\"0.0.0.0:443\", \"[::]:443\"]",
            "",
        ),
        (
            &[("HTTP_PORT", "1080"), ("HTTPS_PORT", "10443")],
            "[listen]\nhttp = [\"0.0.0.0:1080\"]\nhttps = [\"0.0.0.0:10443\"]",
            "",
        ),
        (
            &[("ENABLE_PROXY_PROTOCOL", "true")],
            "[listen]\nproxy-protocol = \"all\"",
            "",
        ),
        (&[("ENABLE_HTTP2", "false")], "[listen]\nhttp2 = false", ""),
        (
            &[("DEFAULT_HOST", "Congress.example.org")],
            "[listen]\ndefault-host = \"congress.example.org\"",
            "",
        ),
        (
            &[("DOCKER_CONTAINER_FILTERS", "network=web, label=a=b")],
            "[engine]\ncontainer-filters = [\"network=web\", \"label=a=b\"]",
            "",
        ),
        (
            &[("PREFER_IPV6_NETWORK", "1")],
            "[engine]\nprefer-ipv6 = true",
            "",
        ),
        (&[("SSL_POLICY", "Mozilla-Intermediate")], "", ""),
        (
            &[("SSL_POLICY", "Mozilla-Modern")],
            "[certs]\nmin-version = \"1.3\"",
            "",
        ),
        (
            &[("RENEW_PRIVATE_KEYS", "false")],
            "[certs]\nreuse-key = true",
            "",
        ),
        (
            &[
                ("ACME_RENEW_PRIVATE_KEYS", "true"),
                ("RENEW_PRIVATE_KEYS", "false"),
            ],
            "",
            "",
        ),
        (
            &[("DEFAULT_EMAIL", "ops@example.org")],
            "[acme]\nemail = \"ops@example.org\"",
            "",
        ),
        (
            &[("ACME_CHALLENGE", "HTTP-01")],
            "[acme]\nchallenges = [\"http-01\"]",
            "",
        ),
        (
            &[(
                "ACME_CA_URI",
                "https://acme-staging-v02.api.letsencrypt.org/directory",
            )],
            "[acme]\ndirectories = [\"letsencrypt-staging\"]",
            "",
        ),
        (
            &[
                ("ACME_CA_URI", "https://ca.test/dir"),
                ("CA_BUNDLE", "/ca.pem"),
                ("ACME_EAB_KID", "kid"),
                ("ACME_EAB_HMAC_KEY", "secret"),
            ],
            "[acme]\ndirectories = [\"environment\"]\n[acme.directory.environment]\n\
             ca-bundle = \"/ca.pem\"\nurl = \"https://ca.test/dir\"\n\
             [acme.directory.environment.eab]\nkid = \"kid\"\nkey-variable = \"ACME_EAB_HMAC_KEY\"",
            "",
        ),
        (
            &[("ACME_CERT_PROFILE", "shortlived")],
            "[acme]\ndirectories = [\"letsencrypt\"]\n[acme.directory.letsencrypt]\n\
             profile = \"shortlived\"\nurl = \"https://acme-v02.api.letsencrypt.org/directory\"\n\
             caa-issuer = \"letsencrypt.org\"",
            "",
        ),
        (&[("DISABLE_ACCESS_LOGS", "1")], "[log]\naccess = false", ""),
        (
            &[("LOG_JSON", "true")],
            "[log]\naccess-keys = \"nginx-proxy\"",
            "",
        ),
        (&[("HTTPS_METHOD", "redirect")], "", "https = \"redirect\""),
        (
            &[("HTTPS_METHOD", "noredirect"), ("HSTS", "max-age=1")],
            "",
            "https = \"both\"\nhsts = \"max-age=1\"",
        ),
        (&[("HTTPS_METHOD", "nohttp")], "", "https = \"only\""),
        (&[("HTTPS_METHOD", "nohttps")], "", "https = \"off\""),
        (&[("HSTS", "off")], "", "hsts = \"off\""),
        (&[("NON_GET_REDIRECT", "308")], "", ""),
        (&[("NON_GET_REDIRECT", "307")], "", "non-get-redirect = 307"),
        (
            &[("ENABLE_HTTP_ON_MISSING_CERT", "false")],
            "",
            "http-without-certificate = false",
        ),
        (&[("DEFAULT_ROOT", "418")], "", "no-route = \"418\""),
        (&[("DEFAULT_ROOT", "none")], "", ""),
        (
            &[("DEFAULT_ROOT", "301 https://$host/app$request_uri")],
            "",
            "no-route = \"301 https://$host/app$request_uri\"",
        ),
        (&[("LETSENCRYPT_TEST", "True")], "", "staging = true"),
        (&[("NETWORK_ACCESS", "external")], "", ""),
        (
            &[("NETWORK_ACCESS", "internal")],
            "",
            "allow = [\"127.0.0.0/8\", \"10.0.0.0/8\", \"172.16.0.0/12\", \"192.168.0.0/16\", \
             \"fc00::/7\", \"::1/128\"]",
        ),
    ] {
        let (layer, notes) = reading(set);
        assert_eq!(beyond(&layer.globals, &usual.globals), globals, "{set:?}");
        assert_eq!(layer.instances.trim(), instances, "{set:?}");
        assert!(notes.is_empty(), "{set:?}: {notes:?}");
    }
}

#[test]
fn a_default_certificate_is_for_everybody_unless_it_is_not_trusted() {
    assert!(
        reading(&[])
            .0
            .globals
            .contains("unknown-name = \"default\"")
    );
    let (layer, _) = reading(&[("TRUST_DEFAULT_CERT", "false")]);
    assert!(!layer.globals.contains("unknown-name"), "{layer:?}");
    assert!(
        layer.globals.contains("trust-default-cert = false"),
        "{layer:?}"
    );
    let (layer, _) = reading(&[("DEFAULT_KEY_SIZE", "4096")]);
    assert!(layer.globals.contains("key-type = \"4096\""), "{layer:?}");
}

#[test]
fn whoever_believes_everybody_is_told_so() {
    let (layer, notes) = reading(&[("TRUST_DOWNSTREAM_PROXY", "true")]);
    assert!(
        layer.globals.contains("\"0.0.0.0/0\", \"::/0\""),
        "{layer:?}"
    );
    assert!(notes[0].text.contains("trusted-proxies"), "{notes:?}");
    let (layer, _) = reading(&[("TRUST_DOWNSTREAM_PROXY", "false")]);
    assert_eq!(layer, reading(&[]).0);
}

#[test]
fn a_bad_value_is_one_sentence_and_the_default() {
    let (usual, _) = reading(&[]);
    let long = "x".repeat(5000);
    for (name, value, words) in [
        ("HTTP_PORT", "0", "80 holds"),
        ("HTTP_PORT", "443", "80 and 443 hold"),
        ("HTTPS_PORT", "http", "443 holds"),
        ("HTTPS_PORT", "80", "80 and 443 hold"),
        ("ENABLE_IPV6", "yes", "false holds"),
        ("ENABLE_HTTP2", "perhaps", "true holds"),
        ("ENABLE_PROXY_PROTOCOL", "2", "false holds"),
        ("DEFAULT_HOST", "a b", "nobody has get 503"),
        ("DEFAULT_EMAIL", "ops", "no mail address"),
        ("ACME_CA_URI", "http://ca.test/dir", "https://"),
        ("ACME_CHALLENGE", "DNS-01", "`dns-hook`"),
        ("ACME_CHALLENGE", "MAGIC-01", "neither HTTP-01 nor DNS-01"),
        ("ACME_EAB_KID", "kid", "ACME_EAB_HMAC_KEY is not set"),
        ("ACME_EAB_HMAC_KEY", "secret", "ACME_EAB_KID is not set"),
        (
            "SSL_POLICY",
            "AWS-TLS-1-2-2017-01",
            "Mozilla-Intermediate holds",
        ),
        ("SSL_POLICY", "Mozilla-Old", "Mozilla-Intermediate holds"),
        ("HTTPS_METHOD", "https", "redirect holds"),
        ("HSTS", "max-age=1\r\nX: y", "cannot be sent"),
        ("NON_GET_REDIRECT", "301", "308 holds"),
        ("DEFAULT_KEY_SIZE", "1024", "ec-256 holds"),
        ("DEFAULT_ROOT", "444", "404 holds"),
        ("DEFAULT_ROOT", "301", "404 holds"),
        ("DEFAULT_ROOT", "301 https://$remote_addr/", "404 holds"),
        ("DOCKER_CONTAINER_FILTERS", "network", "is no filter"),
        ("DOCKER_CONTAINER_FILTERS", "colour=red", "is no filter"),
        ("TRUST_DEFAULT_CERT", "maybe", "true holds"),
        ("HSTS", &long, "longer than"),
    ] {
        let (layer, notes) = reading(&[(name, value)]);
        assert_eq!(layer, usual, "{name}={value}");
        let [note] = &notes[..] else {
            panic!("{name}={value}: {notes:?}");
        };
        assert_eq!(note.variable, name);
        assert!(note.text.contains(words), "{note:?}");
        assert!(!note.text.contains("secret"), "{note:?}");
    }
}

#[test]
fn an_access_that_is_not_understood_is_the_narrow_one() {
    let (layer, notes) = reading(&[("NETWORK_ACCESS", "intern")]);
    assert_eq!(layer, reading(&[("NETWORK_ACCESS", "internal")]).0);
    assert!(notes[0].text.contains("internal holds"), "{notes:?}");
}

#[test]
fn what_is_empty_is_not_set() {
    for name in FOLLOWED {
        assert_eq!(reading(&[(name, " ")]), reading(&[]), "{name}");
    }
}
