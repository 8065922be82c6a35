//! Which authorities are asked for certificates, and how names are proven to them.

use std::num::NonZeroU32;
use std::path::PathBuf;

use super::values::{parse_list, socket_address, value_or};
use crate::config::issue::{Issues, report};
use crate::config::model::{Acme, ChallengeKind, Directory, ExternalAccount, ExternalKey};
use crate::config::raw::{RawAcme, RawDirectory, RawExternalAccount};
use crate::config::reader::Field;

/// Well below what the strictest resource of Let's Encrypt allows one address (20 nonces a second).
const REQUESTS_PER_SECOND: NonZeroU32 = NonZeroU32::new(5).expect("not zero");
const STAGING: &str = "letsencrypt-staging";

impl RawAcme {
    /// `None`: it says that nobody is asked.
    pub(in crate::config) fn lower(self, issues: &Issues) -> Option<Acme> {
        let Self {
            email,
            directories,
            challenges,
            dns_hook,
            preflight,
            new_names_per_day,
            resolver,
            directory,
        } = self;
        if let Some(email) = email.as_ref().filter(|email| !email.value.contains('@')) {
            report(issues, email.at.error("is no e-mail address"));
        }
        let mut known = vec![
            built_in(
                "letsencrypt",
                "https://acme-v02.api.letsencrypt.org/directory",
            ),
            built_in(
                STAGING,
                "https://acme-staging-v02.api.letsencrypt.org/directory",
            ),
        ];
        for (name, raw) in directory {
            known.extend(raw.lower(name, issues));
        }
        // What the operator declares under a built-in name stands for it.
        let find = |name: &str| known.iter().rfind(|known| known.name == name).cloned();
        let chosen = match &directories {
            None => find("letsencrypt").into_iter().collect(),
            Some(field) => parse_list(field, issues, |name| {
                find(name).ok_or_else(|| {
                    format!(
                        "is no directory; declare it as [acme.directory.{name}], or use one of {}",
                        known
                            .iter()
                            .map(|known| known.name.as_str())
                            .collect::<Vec<_>>()
                            .join(", ")
                    )
                })
            }),
        };
        let nobody = directories.is_some_and(|field| field.value.is_empty());
        let dns_hook_at = dns_hook.as_ref().map(|field| field.at.clone());
        let dns_hook = value_or(dns_hook, Vec::new());
        if let (Some(at), Some(program)) = (dns_hook_at, dns_hook.first())
            && !program.starts_with('/')
        {
            // Whatever PATH happens to hold must not get to change the DNS.
            report(issues, at.error("needs the whole path of its program"));
        }
        let acme = Acme {
            email: email.map(|field| field.value),
            directories: chosen,
            staging: find(STAGING).unwrap_or_else(|| unreachable!("it is built in")),
            // The operator's own stand before those that are built in.
            known: known.iter().rev().cloned().collect(),
            challenges: lower_challenges(challenges, &dns_hook, issues),
            dns_hook,
            preflight: value_or(preflight, true),
            new_names_per_day: value_or(new_names_per_day, 10),
            resolver: resolver.and_then(|field| {
                socket_address(&field.value)
                    .map_err(|why| {
                        report(issues, field.at.error(format!("`{}` {why}", field.value)));
                    })
                    .ok()
            }),
        };
        (!nobody).then_some(acme)
    }
}

fn lower_challenges(
    field: Option<Field<Vec<String>>>,
    dns_hook: &[String],
    issues: &Issues,
) -> Vec<ChallengeKind> {
    let Some(field) = field else {
        let mut kinds = vec![ChallengeKind::Http01, ChallengeKind::TlsAlpn01];
        if !dns_hook.is_empty() {
            kinds.push(ChallengeKind::Dns01);
        }
        return kinds;
    };
    let kinds = parse_list(&field, issues, |word| {
        [
            ChallengeKind::Dns01,
            ChallengeKind::Http01,
            ChallengeKind::TlsAlpn01,
        ]
        .into_iter()
        .find(|kind| kind.word() == word)
        .ok_or_else(|| "is none of http-01, tls-alpn-01, dns-01".to_owned())
    });
    if field.value.is_empty() {
        report(
            issues,
            field
                .at
                .error("names no challenge; leave it out for the usual"),
        );
    }
    let twice = |kind| kinds.iter().filter(|other| *other == kind).count() > 1;
    if kinds.iter().any(twice) {
        report(issues, field.at.error("names a challenge twice"));
    }
    let dns = kinds.contains(&ChallengeKind::Dns01);
    if dns && dns_hook.is_empty() {
        let text = "names dns-01, which needs the command `dns-hook`";
        report(issues, field.at.error(text));
    }
    if !dns && !dns_hook.is_empty() {
        let text = "leaves out dns-01, so that `dns-hook` would never run";
        report(issues, field.at.error(text));
    }
    kinds
}

impl RawDirectory {
    /// `None` without a URL, which is an issue.
    fn lower(self, name: Field<String>, issues: &Issues) -> Option<Directory> {
        let Self {
            url,
            ca_bundle,
            eab,
            profile,
            requests_per_second,
            rate_limits,
            caa_issuer,
        } = self;
        let Some(url) = url else {
            report(issues, name.at.error("needs the `url` of the directory"));
            return None;
        };
        if !url.value.starts_with("https://") {
            report(
                issues,
                url.at.error("must begin with https:// (RFC 8555 §6.1)"),
            );
        }
        Some(Directory {
            name: name.value,
            url: url.value,
            ca_bundle: ca_bundle.map(|field| readable(field, issues)),
            external_account: eab.and_then(|eab| lower_external(eab, issues)),
            profile: profile.map(|field| field.value),
            requests_per_second: value_or(requests_per_second, REQUESTS_PER_SECOND),
            rate_limits: value_or(rate_limits, true),
            caa_issuer: caa_issuer.map(|field| field.value),
        })
    }
}

fn lower_external(eab: Field<RawExternalAccount>, issues: &Issues) -> Option<ExternalAccount> {
    let Field { value, at } = eab;
    let key = match (value.key_file, value.key_variable) {
        (Some(value), None) => ExternalKey::File(readable(Field { value, at }, issues)),
        (None, Some(name)) => ExternalKey::Variable(name),
        _ => {
            let text = "needs either `key-file` or `key-variable`";
            report(issues, at.error(text));
            return None;
        }
    };
    Some(ExternalAccount {
        kid: value.kid,
        key,
    })
}

fn built_in(name: &str, url: &str) -> Directory {
    Directory {
        name: name.to_owned(),
        url: url.to_owned(),
        ca_bundle: None,
        external_account: None,
        profile: None,
        requests_per_second: REQUESTS_PER_SECOND,
        // What the staging authority allows is beyond what one machine asks.
        rate_limits: name != STAGING,
        caa_issuer: Some("letsencrypt.org".to_owned()),
    }
}

/// A file that has to be there when it is used; said at once and not in the middle of an order.
fn readable(field: Field<PathBuf>, issues: &Issues) -> PathBuf {
    if let Err(error) = std::fs::File::open(&field.value) {
        let text = format!(
            "cannot read {}: {error}; nothing is ordered from this directory until it can be read",
            field.value.display()
        );
        // What is on the disk is served all the same: a lost bundle must not keep a site down.
        report(issues, field.at.warning(text));
    }
    field.value
}

#[cfg(test)]
mod tests;
