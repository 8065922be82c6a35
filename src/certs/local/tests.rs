use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{RootCertStore, client};

use super::super::pair::tests::month;
use super::*;

const YEAR: Duration = Duration::from_secs(365 * 86_400);

fn name(text: &str) -> Domain {
    text.parse().expect("a name")
}

/// What a device that trusts these roots says of a leaf for a name.
fn trusts(roots: &str, leaf: &Pair, name: &str, now: SystemTime) -> Result<(), String> {
    let mut store = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(roots.as_bytes()) {
        store.add(root.expect("PEM")).expect("a root");
    }
    let leaf = leaf.key.cert.first().expect("a leaf");
    let parsed = ParsedCertificate::try_from(leaf).expect("a certificate");
    let now = UnixTime::since_unix_epoch(now.duration_since(SystemTime::UNIX_EPOCH).expect("now"));
    let algorithms =
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
    client::verify_server_cert_signed_by_trust_anchor(&parsed, &store, &[], now, algorithms.all)
        .map_err(|error| error.to_string())?;
    let name = ServerName::try_from(name).expect("a name");
    client::verify_server_name(&parsed, &name).map_err(|error| error.to_string())
}

#[test]
fn devices_that_trust_the_roots_believe_every_name_and_address() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut authority = LocalAuthority::new(folder.path());
    assert_eq!(root_pem(folder.path()).expect("readable"), None);
    let now = month(6);
    for (text, asked) in [
        ("localhost", "localhost"),
        ("congress.localhost", "congress.localhost"),
        ("*.congress.test", "a.congress.test"),
        ("printer", "printer"),
        ("192.168.1.7", "192.168.1.7"),
        ("203.0.113.5", "203.0.113.5"),
    ] {
        let pair = authority.pair(&name(text), now).expect("signed").clone();
        let roots = root_pem(folder.path()).expect("readable").expect("roots");
        assert_eq!(trusts(&roots, &pair, asked, now), Ok(()), "{text}");
        assert!(pair.covers(&name(text)), "{text}");
        let life = pair
            .not_after
            .duration_since(pair.not_before)
            .expect("a life");
        assert!(life <= 90 * DAY, "{text} lives {life:?}");
    }
    // One for what is nobody's, and one for each name that is not.
    let roots = root_pem(folder.path()).expect("readable").expect("roots");
    assert_eq!(roots.matches("BEGIN CERTIFICATE").count(), 3);
}

#[test]
fn a_stolen_key_signs_nothing_that_anybody_owns() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut authority = LocalAuthority::new(folder.path());
    let now = month(6);
    for text in ["localhost", "printer", "203.0.113.5"] {
        authority.pair(&name(text), now).expect("signed");
    }
    let roots = root_pem(folder.path()).expect("readable").expect("roots");
    let dir = folder.path().join("local-ca");
    for (stolen, scope) in [
        (dir.clone(), Scope::Nobodys),
        (
            dir.join("only/printer"),
            Scope::Only("printer".parse().expect("name")),
        ),
        (
            dir.join("only/203.0.113.5"),
            Scope::Only("203.0.113.5".parse().expect("name")),
        ),
    ] {
        let root = root(&stolen, &scope, now).expect("the root");
        for victim in [
            "www.example.org",
            "example.com",
            "203.0.113.6",
            "scanner",
            "a.printer2",
        ] {
            let key = KeyPair::generate().expect("key");
            let mut params = CertificateParams::new([victim.to_owned()]).expect("params");
            params.not_before = now.into();
            params.not_after = (now + DAY).into();
            let forged = params.signed_by(&key, &root).expect("signed");
            let (chain, key) = (forged.pem(), key.serialize_pem());
            let forged = Pair::parse(chain.as_bytes(), key.as_bytes()).expect("a pair");
            let said = trusts(&roots, &forged, victim, now).expect_err("forged");
            assert!(
                said.contains("NameConstraint"),
                "{stolen:?} {victim}: {said}"
            );
        }
    }
}

#[test]
fn a_root_outlives_restarts_and_leaves_are_renewed_under_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut authority = LocalAuthority::new(folder.path());
    let now = month(6);
    let first = authority
        .pair(&name("localhost"), now)
        .expect("signed")
        .clone();
    let again = authority
        .pair(&name("localhost"), now + 58 * DAY)
        .expect("signed");
    assert!(Arc::ptr_eq(&again.key, &first.key), "good for a while");
    let renewed = authority
        .pair(&name("localhost"), now + 60 * DAY)
        .expect("signed");
    assert!(!Arc::ptr_eq(&renewed.key, &first.key), "renewed");

    let roots = root_pem(folder.path()).expect("readable").expect("roots");
    let mut restarted = LocalAuthority::new(folder.path());
    let late = now + 9 * YEAR;
    let leaf = restarted.pair(&name("localhost"), late).expect("signed");
    assert_eq!(trusts(&roots, leaf, "localhost", late), Ok(()));
    assert_eq!(
        root_pem(folder.path()).expect("readable").expect("roots"),
        roots
    );
    let mode = |file: &str| {
        let path = folder.path().join("local-ca").join(file);
        fs::metadata(path).expect("there").permissions().mode() & 0o777
    };
    assert_eq!((mode("root.key"), mode("")), (0o600, 0o700));
}

#[test]
fn a_root_that_cannot_be_used_is_named_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let now = month(6);
    let sign = |now| {
        let mut authority = LocalAuthority::new(folder.path());
        let signed = authority.pair(&name("localhost"), now).map(|_| ());
        signed.map_err(|error| error.to_string())
    };
    sign(now).expect("signed");
    let expired = sign(now + 11 * YEAR).expect_err("expired");
    assert!(
        expired.contains("has expired") && expired.contains("root.pem"),
        "{expired}"
    );

    let dir = folder.path().join("local-ca");
    let roots = root_pem(folder.path()).expect("readable");
    fs::rename(dir.join("root.key"), dir.join("kept")).expect("renamed");
    let lost = sign(now).expect_err("without a key");
    assert!(
        lost.contains("root.pem") && lost.contains("move the folder away"),
        "{lost}"
    );
    assert!(!dir.join("root.key").exists());
    assert_eq!(root_pem(folder.path()).expect("readable"), roots);

    // A crash between the two files: the key is used, and not another one made.
    fs::rename(dir.join("kept"), dir.join("root.key")).expect("renamed");
    fs::remove_file(dir.join("root.pem")).expect("removed");
    let key = fs::read(dir.join("root.key")).expect("the key");
    sign(now).expect("signed");
    assert_eq!(fs::read(dir.join("root.key")).expect("the key"), key);
}
