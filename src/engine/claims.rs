//! What a container claims about itself, in the words of nginx-proxy and its companion.
//!
//! Pure: variables and labels in, plain strings out. Nothing is interpreted here. What the image says
//! is not the container's word, and what is longer than anybody needs is left out: both come from
//! whoever may start a container.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::inventory::Claims;

const MULTIPORTS: &str = "VIRTUAL_HOST_MULTIPORTS";

/// Without one of these a container asks for nothing.
const BEGIN: [&str; 2] = ["VIRTUAL_HOST", MULTIPORTS];

/// Variables whose values are read, the important ones first: what there is no room for is left out.
const READ: [&str; 24] = [
    MULTIPORTS,
    "VIRTUAL_HOST",
    "VIRTUAL_PORT",
    "VIRTUAL_PATH",
    "VIRTUAL_DEST",
    "VIRTUAL_PROTO",
    "HTTPS_METHOD",
    "HSTS",
    "CERT_NAME",
    "NETWORK_ACCESS",
    "NON_GET_REDIRECT",
    "ENABLE_HTTP_ON_MISSING_CERT",
    "EXTERNAL_HTTP_PORT",
    "EXTERNAL_HTTPS_PORT",
    "ACME_CA_URI",
    "ACME_HOST",
    "LETSENCRYPT_HOST",
    "ACME_EMAIL",
    "LETSENCRYPT_EMAIL",
    "LETSENCRYPT_TEST",
    "ACME_SINGLE_DOMAIN_CERTS",
    "LETSENCRYPT_SINGLE_DOMAIN_CERTS",
    "ACME_KEYSIZE",
    "LETSENCRYPT_KEYSIZE",
];

/// Variables of the same family: that they are there is told, their values may be secrets.
const FAMILY: [&str; 3] = ["VIRTUAL_", "LETSENCRYPT_", "ACME_"];
const OTHERS: [&str; 2] = ["SERVER_TOKENS", "SSL_POLICY"];

/// What labels for the proxy begin with.
pub(super) const LABELS: &str = "com.github.nginx-proxy.nginx-proxy.";

/// Sixteen names fit, and so does a pattern of 1 KiB.
const LONGEST_VALUE: usize = 2 * 1024;
/// Sixteen names fit with two paths each, and what is said of them.
const LONGEST_MULTIPORTS: usize = 4 * 1024;
const LONGEST_KEY: usize = 96;
/// Of all values of one container together.
const ROOM: usize = 8 * 1024;
const MOST: usize = 32;
/// Sentences about what was left out.
const MOST_TOLD: usize = 4;

/// What somebody says: a container or its image.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Said<'s> {
    /// As `KEY=value`.
    pub(super) variables: Option<&'s [String]>,
    pub(super) labels: Option<&'s HashMap<String, String>>,
}

impl Said<'_> {
    /// Whether it asks for a name, whoever said so.
    pub(super) fn claims(&self) -> bool {
        self.variables.unwrap_or_default().iter().any(|variable| {
            let key = variable.split_once('=').map_or("", |(key, _)| key);
            BEGIN.contains(&key)
        })
    }
}

/// What the container says and its image does not.
pub(super) fn claims(container: Said<'_>, image: Said<'_>) -> Claims {
    let inherited: BTreeSet<&str> = image
        .variables
        .unwrap_or_default()
        .iter()
        .map(String::as_str)
        .collect();
    let own: BTreeMap<&str, &str> = container
        .variables
        .unwrap_or_default()
        .iter()
        .filter(|variable| !inherited.contains(variable.as_str()))
        .filter_map(|variable| variable.split_once('='))
        .collect();
    let mut taking = Taking::default();
    if !BEGIN.iter().any(|key| own.contains_key(key)) {
        return taking.claims;
    }
    if own
        .get(MULTIPORTS)
        .is_some_and(|value| value.len() > LONGEST_MULTIPORTS)
    {
        // What it overrides says something else: without it the container would be served wrongly.
        taking.claims.left_out.push(format!(
            "`{MULTIPORTS}` is longer than {LONGEST_MULTIPORTS} bytes, and the container is not \
             routed; shorten it"
        ));
        return taking.claims;
    }
    for key in READ {
        if let Some(value) = own.get(key) {
            taking.take(key, value);
        }
    }
    for key in own.keys() {
        let akin = FAMILY.iter().any(|family| key.starts_with(family)) || OTHERS.contains(key);
        if akin && !READ.contains(key) {
            taking.take(key, "");
        }
    }
    let by_image = |key: &str, value: &str| {
        let labels = image.labels;
        labels.is_some_and(|labels| labels.get(key).is_some_and(|known| known == value))
    };
    let labels: BTreeMap<&String, &String> = container
        .labels
        .into_iter()
        .flatten()
        .filter(|(key, value)| key.starts_with(LABELS) && !by_image(key, value))
        .collect();
    for (key, value) in labels {
        taking.take(key, value);
    }
    taking.done()
}

/// What cannot be told from the words of an image that is not there to be asked.
pub(super) fn unknown(why: &str) -> Claims {
    Claims {
        values: BTreeMap::new(),
        left_out: vec![format!(
            "what it says is not followed, because its image cannot be asked what of it is the \
             image's own ({why}); create the container anew"
        )],
    }
}

#[derive(Default)]
struct Taking {
    claims: Claims,
    used: usize,
    untold: usize,
}

impl Taking {
    fn take(&mut self, key: &str, value: &str) {
        let why = if key.len() > LONGEST_KEY {
            "its name is too long".to_owned()
        } else if value.len() > LONGEST_VALUE && key != MULTIPORTS {
            format!("it is longer than {LONGEST_VALUE} bytes")
        } else if self.used + value.len() > ROOM {
            format!("all of them together are longer than {ROOM} bytes")
        } else if self.claims.values.len() == MOST {
            format!("there are more than {MOST} of them")
        } else {
            self.used += value.len();
            self.claims.values.insert(key.to_owned(), value.to_owned());
            return;
        };
        if self.claims.left_out.len() == MOST_TOLD {
            self.untold += 1;
            return;
        }
        let key: String = key.chars().take(LONGEST_KEY).collect();
        let text = format!("`{}` is ignored: {why}; shorten it", key.escape_debug());
        self.claims.left_out.push(text);
    }

    fn done(mut self) -> Claims {
        if self.untold > 0 {
            let text = format!("{} more are ignored for such reasons", self.untold);
            self.claims.left_out.push(text);
        }
        self.claims
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said<'s>(variables: &'s [String], labels: &'s HashMap<String, String>) -> Said<'s> {
        Said {
            variables: Some(variables),
            labels: Some(labels),
        }
    }

    fn variables(all: &[&str]) -> Vec<String> {
        all.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn only_the_words_of_the_proxy_are_taken() {
        let own = variables(&[
            "VIRTUAL_HOST=a.example.org",
            "PASSWORD=secret",
            "PATH=/bin",
            "ACME_EAB_HMAC_KEY=secret",
        ]);
        let labels = HashMap::from([
            (format!("{LABELS}keepalive"), "auto".to_owned()),
            ("traefik.enable".to_owned(), "true".to_owned()),
        ]);
        let taken = claims(said(&own, &labels), Said::default());
        let expected = BTreeMap::from([
            ("ACME_EAB_HMAC_KEY".to_owned(), String::new()),
            ("VIRTUAL_HOST".to_owned(), "a.example.org".to_owned()),
            (format!("{LABELS}keepalive"), "auto".to_owned()),
        ]);
        assert_eq!(taken.values, expected);
        assert!(taken.left_out.is_empty());
    }

    #[test]
    fn what_the_image_says_is_not_the_containers_word() {
        let image = variables(&["VIRTUAL_HOST=bank.example.org", "VIRTUAL_PORT=80"]);
        let labels = HashMap::from([(format!("{LABELS}loadbalance"), "ip_hash;".to_owned())]);
        let inherited = claims(said(&image, &labels), said(&image, &labels));
        assert!(inherited.is_empty(), "{inherited:?}");

        let own = variables(&["VIRTUAL_HOST=own.example.org", "VIRTUAL_PORT=80"]);
        let taken = claims(said(&own, &labels), said(&image, &labels));
        let expected = BTreeMap::from([("VIRTUAL_HOST".to_owned(), "own.example.org".to_owned())]);
        assert_eq!(taken.values, expected, "the port is still the image's");
    }

    #[test]
    fn a_container_without_a_name_to_claim_claims_nothing() {
        let own = variables(&["LETSENCRYPT_HOST=a.example.org", "HSTS=off"]);
        let taken = claims(said(&own, &HashMap::new()), Said::default());
        assert!(taken.is_empty(), "{taken:?}");
    }

    #[test]
    fn a_list_of_ports_that_is_too_long_is_not_passed_by() {
        let multiports = |length: usize| {
            let own = [
                "VIRTUAL_HOST=a.example.org".to_owned(),
                format!("{MULTIPORTS}={}", "x".repeat(length)),
            ];
            claims(said(&own, &HashMap::new()), Said::default())
        };
        assert_eq!(multiports(LONGEST_MULTIPORTS).values.len(), 2);
        let refused = multiports(LONGEST_MULTIPORTS + 1);
        assert!(refused.values.is_empty(), "{refused:?}");
        assert!(refused.left_out[0].contains("not routed"), "{refused:?}");
    }

    #[test]
    fn what_is_too_long_or_too_much_is_left_out_and_told() {
        let long = "x".repeat(LONGEST_VALUE + 1);
        let own = [
            "VIRTUAL_HOST=a.example.org".to_owned(),
            format!("HSTS={long}"),
        ];
        let labels: HashMap<_, _> = (0..300)
            .map(|number| (format!("{LABELS}{number}"), "y".repeat(100)))
            .collect();
        let taken = claims(said(&own, &labels), Said::default());
        assert!(taken.values.len() <= MOST, "{}", taken.values.len());
        let bytes: usize = taken.values.values().map(String::len).sum();
        assert!(bytes <= ROOM, "{bytes}");
        assert_eq!(taken.values["VIRTUAL_HOST"], "a.example.org");
        assert!(taken.left_out[0].contains("`HSTS` is ignored"), "{taken:?}");
        assert_eq!(taken.left_out.len(), MOST_TOLD + 1);
        let last = taken.left_out.last().expect("told");
        assert!(last.contains("more are ignored"), "{last}");
    }
}
