//! What an operator has told nginx-proxy or acme-companion as a whole, by variables of their
//! containers. Where containers name themselves by the command line, which is how the image runs,
//! they are a layer below the file (`config::variables`). One that has no effect is named with the key
//! that takes its place, and never ignored in silence.

use std::sync::Arc;

use crate::config::Asked;
use crate::config::model::NamesFromContainers;
use crate::config::variables::{self, FOLLOWED, Layer, Note};

/// The variables, and what to write instead.
const SPOKEN: [(&str, &str); 58] = [
    ("ACMESH_DNS_API_CONFIG", "`[acme] dns-hook`"),
    (
        "ACME_CA_URI",
        "`[acme.directory.NAME] url`, and NAME in `[acme] directories`",
    ),
    ("ACME_CERT_PROFILE", "`profile` in `[acme.directory.NAME]`"),
    ("ACME_CHALLENGE", "`[acme] challenges`"),
    ("ACME_EAB_HMAC_KEY", "`eab` in `[acme.directory.NAME]`"),
    ("ACME_EAB_KID", "`eab` in `[acme.directory.NAME]`"),
    (
        "ACME_HTTP_CHALLENGE_ACCEPT_UNKNOWN_HOST",
        "nothing: the challenges of names that are ordered are answered, whoever has them",
    ),
    (
        "ACME_HTTP_CHALLENGE_LOCATION",
        "`[certs] webroot`, for challenges of other programs",
    ),
    ("ACME_KEYSIZE", "`[certs] key-type`"),
    (
        "ACME_POST_HOOK",
        "an `[[alert]]`; nothing has to be restarted for a certificate",
    ),
    (
        "ACME_PREFERRED_CHAIN",
        "nothing: the chain is the one the authority gives",
    ),
    (
        "ACME_PRE_HOOK",
        "an `[[alert]]`; nothing has to be restarted for a certificate",
    ),
    (
        "ACME_RENEW_AFTER",
        "nothing: renewals are when the authority says, else with a third of the life left",
    ),
    ("ACME_RENEW_PRIVATE_KEYS", "`[certs] reuse-key`"),
    ("CA_BUNDLE", "`ca-bundle` in `[acme.directory.NAME]`"),
    (
        "CERTS_UPDATE_INTERVAL",
        "nothing: every certificate has a moment of its own",
    ),
    (
        "CREATE_DEFAULT_CERTIFICATE",
        "nothing: names without a certificate are refused in the handshake",
    ),
    ("DEBUG_ENDPOINT", "`[admin] listen`, which tells more"),
    ("DEFAULT_EMAIL", "`[acme] email`"),
    ("DEFAULT_HOST", "`[listen] default-host`"),
    ("DEFAULT_KEY_SIZE", "`[certs] key-type`"),
    (
        "DEFAULT_RENEW",
        "nothing: renewals are when the authority says, else with a third of the life left",
    ),
    ("DEFAULT_ROOT", "`no-route` of an instance"),
    (
        "DHPARAM_BITS",
        "nothing: no cipher that usher offers has such parameters",
    ),
    (
        "DHPARAM_SKIP",
        "nothing: no cipher that usher offers has such parameters",
    ),
    ("DISABLE_ACCESS_LOGS", "`[log] access = false`"),
    ("DOCKER_CONTAINER_FILTERS", "`[engine] container-filters`"),
    ("ENABLE_HTTP2", "`[listen] http2`"),
    ("ENABLE_HTTP3", "nothing: HTTP/3 is not offered"),
    (
        "ENABLE_HTTP_ON_MISSING_CERT",
        "`http-without-certificate` of an instance",
    ),
    (
        "ENABLE_IPV6",
        "`[listen]`, where both families are the default",
    ),
    (
        "ENABLE_PROXY_PROTOCOL",
        "`[listen] proxy-protocol` and `trusted-proxies`",
    ),
    ("FILES_GID", PERMISSIONS),
    ("FILES_PERMS", PERMISSIONS),
    ("FILES_UID", PERMISSIONS),
    ("FOLDERS_PERMS", PERMISSIONS),
    ("HSTS", "`hsts` of an instance"),
    ("HTTPS_METHOD", "`https` of an instance"),
    ("HTTPS_PORT", "`[listen] https`"),
    ("HTTP_PORT", "`[listen] http`"),
    ("LETSENCRYPT_KEYSIZE", "`[certs] key-type`"),
    ("LETSENCRYPT_TEST", "`staging` of an instance"),
    (
        "LOG_FORMAT",
        "`[log] access-format` for nginx-proxy's own line; other lines cannot be chosen",
    ),
    (
        "LOG_FORMAT_ESCAPE",
        "nothing: nobody can leave the line or its quotes",
    ),
    ("LOG_JSON", "`[log] access-keys`"),
    ("NETWORK_ACCESS", "`allow` of an instance"),
    (
        "NGINX_CONTAINER_LABEL",
        "nothing: usher finds its own container",
    ),
    (
        "NGINX_PROXY_CONTAINER",
        "nothing: certificates are taken into use by whoever orders them",
    ),
    ("NON_GET_REDIRECT", "`non-get-redirect` of an instance"),
    ("PREFER_IPV6_NETWORK", "`[engine] prefer-ipv6`"),
    ("RENEW_PRIVATE_KEYS", "`[certs] reuse-key`"),
    ("RESOLVERS", "`[acme] resolver`"),
    ("SERVER_TOKENS", "nothing: no version is told to visitors"),
    ("SHA1_UPSTREAM_NAME", "nothing: no file is generated"),
    ("SSL_POLICY", "`[certs] min-version`"),
    ("TRUST_DEFAULT_CERT", "`[compat] trust-default-cert`"),
    ("TRUST_DOWNSTREAM_PROXY", "`[listen] trusted-proxies`"),
    ("ZEROSSL_API_KEY", "`eab` in `[acme.directory.NAME]`"),
];

const PERMISSIONS: &str = "nothing: keys are 0600, certificates 0644 and folders 0755, of the user that \
                           usher runs as";

/// Whether a variable of this process says anything.
pub(super) fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

/// What the command line and, with it, the variables of nginx-proxy say: whoever has containers name
/// themselves runs usher in its place.
pub(super) fn told(names: Option<NamesFromContainers>) -> (Option<Asked>, Vec<Note>) {
    let Some(names) = names else {
        return (None, Vec::new());
    };
    let (variables, notes) = match names {
        NamesFromContainers::Off => (Layer::default(), Vec::new()),
        NamesFromContainers::Listed | NamesFromContainers::Open => {
            variables::read(|name| std::env::var(name).ok())
        }
    };
    let asked = Asked {
        names,
        variables: Arc::new(variables),
    };
    (Some(asked), notes)
}

/// Whether variables count beside what the command line says.
pub(super) fn is_told(asked: &Asked) -> bool {
    asked.names != NamesFromContainers::Off
}

/// Those variables that are set and have no effect, each with its remedy. `followed`: those that are
/// understood have one.
pub(super) fn without_effect(
    followed: bool,
    is_set: impl Fn(&str) -> bool,
) -> impl Iterator<Item = (&'static str, &'static str)> {
    SPOKEN
        .into_iter()
        .filter(move |(name, _)| !(followed && FOLLOWED.contains(name)) && is_set(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_that_takes_the_place_of_a_variable_exists() {
        let reference = include_str!("../../config/reference.toml");
        for (name, instead) in SPOKEN {
            for words in instead.split('`').skip(1).step_by(2) {
                let key = words.split(' ').find(|word| !word.starts_with(['[', '*']));
                let Some(key) = key.filter(|key| *key != "NAME]") else {
                    continue;
                };
                let is_key = |line: &str| {
                    let told = line.split('=').next().unwrap_or_default();
                    told.split_whitespace().last() == Some(key)
                };
                assert!(reference.lines().any(is_key), "{name}: {key}");
            }
        }
    }

    #[test]
    fn whoever_runs_without_them_is_told_of_each_that_is_followed_elsewhere() {
        for name in FOLLOWED {
            let told = |followed| without_effect(followed, |set| set == name).count();
            assert_eq!((told(false), told(true)), (1, 0), "{name}");
        }
        let resolvers = |name: &str| name == "RESOLVERS";
        assert_eq!(without_effect(true, resolvers).count(), 1);
    }
}
