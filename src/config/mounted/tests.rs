use std::fs;

use super::*;

fn mounted(nginx: &Path, certs: &Path, before: Option<&Mounted>) -> (Mounted, Vec<Issue>) {
    let compat = Compat {
        nginx: Some(nginx.to_owned()),
        html: None,
        app: None,
        trust_default_cert: true,
    };
    let (mut issues, mut seen) = (Vec::new(), Fingerprint::default());
    let mounted = Mounted::read(&compat, certs, before, &mut issues, &mut seen);
    (mounted, issues)
}

/// `password`, as `htpasswd -s` writes it.
const LINE: &str = "admin:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n";

#[test]
fn files_of_passwords_are_found_by_the_names_that_nginx_proxy_gives_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join("htpasswd").join(name);
    fs::create_dir(at("")).expect("made");
    // The hashes of `/foo/` and of `~^regex.*\.nginx-proxy\.example$`, by sha1sum.
    let of_path = "a.example.org_8d960560c82f4e6c8b1b0f03eb30a1afd00e5696";
    let of_expression = "561032515ede3ab3a015edfb244608b72409c430";
    for name in ["b.example.org", of_path, of_expression, "*.example.org"] {
        fs::write(at(name), LINE).expect("written");
    }
    fs::write(at("c.example.org"), "torn").expect("written");
    let (mounted, issues) = mounted(folder.path(), &at("none"), None);
    assert_eq!(issues, []);
    for (host, path, found) in [
        (
            "a.example.org",
            "/foo/",
            Some((of_path, "Restricted a.example.org/foo/")),
        ),
        ("a.example.org", "/", None),
        (
            "b.example.org",
            "/foo/",
            Some(("b.example.org", "Restricted b.example.org")),
        ),
        (
            r"~^regex.*\.nginx-proxy\.example$",
            "/",
            Some((of_expression, "Restricted access")),
        ),
        (
            "*.example.org",
            "/",
            Some(("*.example.org", "Restricted *.example.org")),
        ),
        ("d.example.org", "/", None),
    ] {
        let auth = mounted.passwords(host, path);
        let expected = found.map(|(name, realm)| BasicAuth {
            file: at(name),
            realm: realm.to_owned(),
        });
        assert_eq!(auth, expected, "{host}{path}");
    }
    assert!(mounted.has_passwords("a.example.org") && !mounted.has_passwords("example.org"));
    let torn = mounted.passwords("c.example.org", "/").expect("closed");
    let trouble = mounted.trouble_with(&torn).expect("told");
    assert!(trouble.contains("c.example.org: line 1"), "{trouble}");
}

#[test]
fn a_folder_that_cannot_be_read_closes_what_it_might_close_and_none_closes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("htpasswd");
    fs::write(&file, "").expect("written");
    let (unreadable, _) = mounted(folder.path(), folder.path(), None);
    let auth = unreadable.passwords("a.example.org", "/").expect("closed");
    assert_eq!(auth.file, file);
    assert!(unreadable.trouble_with(&auth).is_some());
    let (none, _) = mounted(&folder.path().join("none"), folder.path(), None);
    assert!(!none.has_passwords("a.example.org"));
}

#[test]
fn authorities_that_break_stay_as_they_were_or_vouch_for_nobody() {
    let certs = tempfile::tempdir().expect("a folder");
    let file = certs.path().join("a.example.org.ca.crt");
    fs::write(&file, "torn").expect("written");
    let none = certs.path().join("none");
    let (broken, _) = mounted(&none, certs.path(), None);
    let found = broken.clients("a.example.org").expect("closed");
    assert_eq!(*found.authorities, ClientAuthorities::nobody());
    assert!(
        found
            .trouble
            .as_ref()
            .is_some_and(|why| why.contains("nobody"))
    );
    assert_eq!(broken.clients("b.example.org"), None);

    let authority = rcgen::generate_simple_self_signed(["authority.example.org".to_owned()]);
    let chain = authority.expect("a certificate").cert.pem();
    fs::write(&file, &chain).expect("written");
    let (good, _) = mounted(&none, certs.path(), Some(&broken));
    let authorities = Arc::clone(&good.clients("a.example.org").expect("found").authorities);
    assert_eq!(authorities.certificates().count(), 1);
    fs::write(certs.path().join("ca.crt"), &chain).expect("written");
    fs::write(&file, "torn").expect("written");
    let (torn, _) = mounted(&none, certs.path(), Some(&good));
    let found = torn.clients("a.example.org").expect("found");
    assert_eq!(found.authorities, authorities);
    assert!(found.trouble.is_some());
    let of_all = torn.clients("b.example.org").expect("the global one");
    assert_eq!(of_all.trouble, None);
}

#[test]
fn what_is_not_followed_is_named_with_what_to_write_instead() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, "").expect("written");
    };
    for name in [
        "vhost.d/a.example.org",
        "vhost.d/default_location",
        "conf.d/default.conf",
        "conf.d/upload.conf",
        "proxy.conf",
        "certs/a.example.org.crt",
        "certs/a.example.org.dhparam.pem",
    ] {
        write(name);
    }
    let (_, issues) = mounted(folder.path(), &folder.path().join("certs"), None);
    let said: Vec<String> = issues.iter().map(ToString::to_string).collect();
    let said = said.join("\n");
    for words in [
        "vhost.d (a.example.org, default_location)",
        "conf.d (upload.conf)",
        "proxy.conf",
        "certs (a.example.org.dhparam.pem)",
        "`[[instance.route]]`",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!said.contains("a.example.org.crt"), "{said}");
}
