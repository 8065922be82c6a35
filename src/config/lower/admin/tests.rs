use std::path::Path;

use crate::config;

/// The errors of an `[admin]` table, with `{dir}` as a folder of good and bad files.
fn errors(table: &str) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path();
    let write = |name: &str, text: &str| std::fs::write(dir.join(name), text).expect("written");
    write("tokens", "0123456789abcdef\n");
    write("short", "# nobody\nshort\n");
    write("empty", "# nobody\n");
    let key = rcgen::KeyPair::generate().expect("a key");
    let ca = rcgen::CertificateParams::default().self_signed(&key);
    write("ca.pem", &ca.expect("a certificate").pem());
    let text = format!(
        "[admin]\n{}\n",
        table.replace("{dir}", &dir.display().to_string())
    );
    let path = dir.join("usher.toml");
    write("usher.toml", &text);
    all(&path)
}

fn all(path: &Path) -> Vec<String> {
    let loaded = config::load(path, None);
    let errors = loaded
        .issues
        .iter()
        .filter(|issue| issue.level == config::Level::Error);
    errors
        .map(|issue| {
            assert!(issue.line.is_some(), "{issue}");
            format!("{}: {}", issue.key, issue.text)
        })
        .collect()
}

#[test]
fn outside_of_loopback_it_takes_a_certificate_and_somebody_to_let_in() {
    let listen = "listen = \"0.0.0.0:9900\"";
    let certificate = "certificate = \"ops.example.org\"";
    let tokens = "token-file = \"{dir}/tokens\"";
    let ca = "client-ca = \"{dir}/ca.pem\"";
    for (table, says) in [
        (
            listen.to_owned(),
            "set `certificate`, and `token-file` or `client-ca`",
        ),
        (
            format!("{listen}\n{certificate}"),
            "set `token-file` or `client-ca` as well",
        ),
        (
            format!("{listen}\n{tokens}"),
            "tokens would travel in the clear",
        ),
    ] {
        let errors = errors(&table);
        assert_eq!(errors.len(), 1, "{table}: {errors:?}");
        assert!(errors[0].starts_with("admin.listen: "), "{errors:?}");
        assert!(errors[0].contains(says), "{errors:?}");
    }
    for table in [
        format!("{listen}\n{certificate}\n{tokens}"),
        format!("{listen}\n{certificate}\n{ca}"),
        format!("{listen}\n{certificate}\n{tokens}\n{ca}"),
        // On loopback each for itself.
        tokens.to_owned(),
        certificate.to_owned(),
    ] {
        assert_eq!(errors(&table), Vec::<String>::new(), "{table}");
    }
}

#[test]
fn what_cannot_work_is_said_with_a_remedy() {
    for (table, key, says) in [
        (
            "token-file = \"{dir}/nowhere\"",
            "token-file",
            "cannot read",
        ),
        ("token-file = \"{dir}/empty\"", "token-file", "openssl rand"),
        (
            "token-file = \"{dir}/short\"",
            "token-file",
            "line 2 has a token of less",
        ),
        (
            "client-ca = \"{dir}/ca.pem\"",
            "client-ca",
            "set `certificate`",
        ),
        (
            "certificate = \"ops\"\nclient-ca = \"{dir}/tokens\"",
            "client-ca",
            "holds no certificate",
        ),
        (
            "certificate = \"../ops\"",
            "certificate",
            "name of a pair below",
        ),
        ("certificate = \"\"", "certificate", "name of a pair below"),
    ] {
        let errors = errors(table);
        assert_eq!(errors.len(), 1, "{table}: {errors:?}");
        assert!(
            errors[0].starts_with(&format!("admin.{key}: ")),
            "{errors:?}"
        );
        assert!(errors[0].contains(says), "{table}: {errors:?}");
    }
}

#[test]
fn a_pair_that_is_not_there_yet_is_a_warning() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("usher.toml");
    let text = format!(
        "[certs]\ndir = {:?}\n[admin]\ncertificate = \"ops.example.org\"\n",
        folder.path()
    );
    std::fs::write(&path, text).expect("written");
    let loaded = config::load(&path, None);
    let said: Vec<String> = loaded.issues.iter().map(ToString::to_string).collect();
    let named = said.iter().any(|text| {
        text.contains(":4: admin.certificate: ")
            && text.contains("ops.example.org.crt is not there")
    });
    assert!(named, "{said:?}");
    assert!(loaded.config.is_some());
}
