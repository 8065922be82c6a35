//! What an operator has told nginx-proxy or acme-companion as a whole, by variables of their
//! containers. usher is told the same by its configuration; a variable that is still set is named
//! with the key that takes its place, and never ignored in silence.

/// The variables, and what to write instead.
const SPOKEN: [(&str, &str); 29] = [
    (
        "ACME_CA_URI",
        "`[acme.directory.NAME] url`, and NAME in `[acme] directories`",
    ),
    ("ACME_CERT_PROFILE", "`profile` in `[acme.directory.NAME]`"),
    ("ACME_CHALLENGE", "`[acme] challenges`"),
    (
        "ACME_HTTP_CHALLENGE_LOCATION",
        "nothing: challenges are answered before any route",
    ),
    (
        "ACME_PREFERRED_CHAIN",
        "nothing: the chain is the one the authority gives",
    ),
    ("CA_BUNDLE", "`ca-bundle` in `[acme.directory.NAME]`"),
    ("DEFAULT_EMAIL", "`[acme] email`"),
    (
        "DEFAULT_HOST",
        "nothing: no instance answers for names it does not have",
    ),
    (
        "DEFAULT_ROOT",
        "an `[[instance.route]]` for what has no route",
    ),
    (
        "DHPARAM_BITS",
        "nothing: no cipher that usher offers has such parameters",
    ),
    (
        "DHPARAM_SKIP",
        "nothing: no cipher that usher offers has such parameters",
    ),
    ("DISABLE_ACCESS_LOGS", "`[log] access = false`"),
    (
        "DOCKER_CONTAINER_FILTERS",
        "`match` and `except` of an instance `*`",
    ),
    ("ENABLE_HTTP2", "nothing: HTTP/2 is offered always"),
    ("ENABLE_HTTP3", "nothing: HTTP/3 is not offered"),
    (
        "ENABLE_HTTP_ON_MISSING_CERT",
        "`https` of an instance; without a certificate plain HTTP is served",
    ),
    (
        "ENABLE_IPV6",
        "`[listen]`, where both families are the default",
    ),
    (
        "ENABLE_PROXY_PROTOCOL",
        "`[listen] proxy-protocol` and `trusted-proxies`",
    ),
    ("HTTPS_PORT", "`[listen] https`"),
    ("HTTP_PORT", "`[listen] http`"),
    (
        "LOG_FORMAT",
        "nothing: the access log is JSON, one object on each line",
    ),
    (
        "LOG_FORMAT_ESCAPE",
        "nothing: the access log is JSON, one object on each line",
    ),
    ("LOG_JSON", "nothing: the access log is JSON always"),
    (
        "NGINX_PROXY_CONTAINER",
        "nothing: certificates are taken into use by whoever orders them",
    ),
    (
        "NON_GET_REDIRECT",
        "nothing: redirects of methods other than GET keep the method, with 308",
    ),
    ("RESOLVERS", "`[acme] resolver`"),
    ("SSL_POLICY", "`[certs] min-version`"),
    ("TRUST_DEFAULT_CERT", "`[certs] unknown-name`"),
    ("TRUST_DOWNSTREAM_PROXY", "`[listen] trusted-proxies`"),
];

/// Those variables that are set, each with its remedy.
pub(super) fn without_effect(
    is_set: impl Fn(&str) -> bool,
) -> impl Iterator<Item = (&'static str, &'static str)> {
    SPOKEN.into_iter().filter(move |(name, _)| is_set(name))
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
}
