//! Whether an authority may issue for a name (RFC 8659).

use super::dns::{Dns, Record};
use crate::names::Domain;

/// Says what keeps the issuer from this name. The records of the nearest name upwards count
/// (RFC 8659 §3).
pub(super) async fn objection(dns: &Dns, domain: &Domain, issuer: &str) -> Option<String> {
    let (Domain::Exact(name) | Domain::Below(name)) = domain;
    let mut at = Some(name.as_str());
    while let Some(name) = at {
        match dns.caa(name).await {
            Ok(records) if records.is_empty() => {}
            Ok(records) => {
                return forbids(&records, domain, issuer)
                    .map(|why| format!("the CAA records of {name} {why}"));
            }
            Err(why) => return Some(format!("the CAA records of {name} cannot be read: {why}")),
        }
        at = name
            .split_once('.')
            .map(|(_, parent)| parent)
            .filter(|parent| parent.contains('.'));
    }
    None
}

/// Completes "the CAA records of … ".
fn forbids(records: &[Record], domain: &Domain, issuer: &str) -> Option<String> {
    let tagged = |tag: &str| -> Vec<&Record> {
        records
            .iter()
            .filter(|record| record.tag.eq_ignore_ascii_case(tag))
            .collect()
    };
    // RFC 8659 §4.1
    const KNOWN: [&str; 5] = ["issue", "issuewild", "issuemail", "iodef", "contactemail"];
    let strange = records.iter().find(|record| {
        record.critical && !KNOWN.iter().any(|tag| record.tag.eq_ignore_ascii_case(tag))
    });
    if let Some(record) = strange {
        return Some(format!("demand `{}`, which nobody knows", record.tag));
    }
    // RFC 8659 §4.3: for wildcards `issuewild` counts alone where it is there.
    let mut counting = tagged("issue");
    if matches!(domain, Domain::Below(_)) && !tagged("issuewild").is_empty() {
        counting = tagged("issuewild");
    }
    if counting.is_empty() {
        return None;
    }
    let allowed: Vec<String> = counting.iter().map(|record| named(record)).collect();
    if allowed.iter().any(|name| name.eq_ignore_ascii_case(issuer)) {
        return None;
    }
    let allowed: Vec<&str> = allowed
        .iter()
        .map(String::as_str)
        .filter(|name| !name.is_empty())
        .collect();
    Some(if allowed.is_empty() {
        format!("let nobody issue; add `0 issue \"{issuer}\"`")
    } else {
        format!(
            "let {} issue and not {issuer}; add `0 issue \"{issuer}\"`",
            allowed.join(", ")
        )
    })
}

/// The issuer of a property, without its parameters; empty for nobody.
fn named(record: &Record) -> String {
    let value = String::from_utf8_lossy(&record.value);
    let name = value.split(';').next().unwrap_or_default();
    name.trim().trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(critical: bool, tag: &str, value: &str) -> Record {
        Record {
            critical,
            tag: tag.to_owned(),
            value: value.as_bytes().to_vec(),
        }
    }

    #[test]
    fn the_records_say_who_may_issue() {
        let issue = |value| record(false, "issue", value);
        let wild = |value| record(false, "issuewild", value);
        for (records, host, below) in [
            (vec![], true, true),
            (
                vec![record(false, "iodef", "mailto:a@example.org")],
                true,
                true,
            ),
            (vec![issue("letsencrypt.org")], true, true),
            (
                vec![issue("LetsEncrypt.org.; validationmethods=http-01")],
                true,
                true,
            ),
            (
                vec![issue("other.example"), issue("letsencrypt.org")],
                true,
                true,
            ),
            (vec![issue("other.example")], false, false),
            (vec![issue(";")], false, false),
            (vec![issue("letsencrypt.org"), wild(";")], true, false),
            (
                vec![issue("other.example"), wild("letsencrypt.org")],
                false,
                true,
            ),
            (
                vec![record(true, "surprise", "x"), issue("letsencrypt.org")],
                false,
                false,
            ),
            (vec![record(false, "surprise", "x")], true, true),
        ] {
            for (name, allowed) in [("a.example.org", host), ("*.example.org", below)] {
                let domain = name.parse().expect("a name");
                let found = forbids(&records, &domain, "letsencrypt.org");
                assert_eq!(found.is_none(), allowed, "{name} {records:?} {found:?}");
            }
        }
    }
}
