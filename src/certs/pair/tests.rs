use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::*;

/// A self-signed pair that holds for the year 2026, as PEM.
pub(crate) fn pem(names: &[&str]) -> (String, String) {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).expect("names");
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2026, 12, 31);
    let key = KeyPair::generate().expect("key");
    let certificate = params.self_signed(&key).expect("signed");
    (certificate.pem(), key.serialize_pem())
}

/// Noon of the first day of a month of 2026.
pub(crate) fn month(month: u64) -> SystemTime {
    // 2026-01-01T12:00:00Z, and months of 30 days.
    UNIX_EPOCH + Duration::from_secs(1_767_268_800 + (month - 1) * 30 * 86_400)
}

#[test]
fn a_good_pair_tells_its_names_and_its_end() {
    let (chain, key) = pem(&["a.example.org", "*.b.example.org"]);
    let pair = Pair::parse(chain.as_bytes(), key.as_bytes()).expect("good");
    let covers = |name: &str| pair.covers(&name.parse().expect("domain"));
    assert!(covers("a.example.org") && covers("x.b.example.org") && covers("*.b.example.org"));
    for name in [
        "b.example.org",
        "x.y.b.example.org",
        "c.example.org",
        "*.example.org",
    ] {
        assert!(!covers(name), "{name}");
    }
    assert!(pair.not_after > month(12));
}

#[test]
fn a_bad_pair_is_refused_for_its_reason_with_what_to_do() {
    let (chain, key) = pem(&["a.example.org"]);
    let (_, other) = pem(&["a.example.org"]);
    let torn = &chain[..chain.len() / 2];
    let before = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    for (chain, key, now, about_the_key, said) in [
        (
            &*chain,
            &*other,
            month(6),
            true,
            "does not belong to the certificate",
        ),
        (
            &chain,
            &key,
            month(14),
            false,
            "has expired on 2026-12-31T00:00:00Z; put a newer",
        ),
        (
            &chain,
            &key,
            before,
            false,
            "is not valid before 2026-01-01T00:00:00Z; look whether the clock",
        ),
        ("", &key, month(6), false, "holds no certificate; put"),
        (&chain, "", month(6), true, "holds no key that can be read"),
        (torn, &key, month(6), false, "holds no certificate"),
    ] {
        let pair = Pair::parse(chain.as_bytes(), key.as_bytes());
        let error = pair.and_then(|pair| pair.holding(now)).expect_err("bad");
        assert_eq!(error.is_about_the_key(), about_the_key, "{error}");
        assert!(error.to_string().starts_with(said), "{error}");
    }
}
