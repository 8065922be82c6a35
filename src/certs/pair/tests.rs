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
    let pair = Pair::read(chain.as_bytes(), key.as_bytes(), month(6)).expect("good");
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
fn it_asks_for_its_renewal_with_a_third_of_its_life_left() {
    let (chain, key) = pem(&["a.example.org"]);
    let pair = Pair::read(chain.as_bytes(), key.as_bytes(), month(6)).expect("good");
    let left = pair
        .not_after
        .duration_since(pair.renew_at())
        .expect("before the end");
    assert_eq!(left.as_secs() / 86_400, 364 / 3);
}

#[test]
fn a_bad_pair_is_refused_for_its_reason() {
    let (chain, key) = pem(&["a.example.org"]);
    let (_, other) = pem(&["a.example.org"]);
    let read = |chain: &str, key: &str, now| {
        Pair::read(chain.as_bytes(), key.as_bytes(), now)
            .expect_err("bad")
            .to_string()
    };
    assert_eq!(
        read(&chain, &other, month(6)),
        "the key does not belong to the certificate"
    );
    assert_eq!(read(&chain, &key, month(14)), "has expired");
    let before = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    assert_eq!(
        read(&chain, &key, before),
        "is not valid yet; is the clock right?"
    );
    assert_eq!(read("", &key, month(6)), "holds no certificate");
    assert!(read(&chain, "", month(6)).starts_with("the key cannot be read"));
    let torn = &chain[..chain.len() / 2];
    assert_ne!(read(torn, &key, month(6)), "");
}
