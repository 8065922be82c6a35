//! Answers to challenges, while they are being asked: over HTTP (RFC 8555 §8.3) and in the
//! handshake (RFC 8737).

use std::sync::Arc;

use dashmap::DashMap;

use crate::names::Hostname;

/// The path under which an authority asks.
pub const PREFIX: &str = "/.well-known/acme-challenge/";

/// Published answers. Each belongs to one host: what is asked elsewhere has no answer.
#[derive(Clone, Debug, Default)]
pub struct Challenges(Arc<Answers>);

#[derive(Debug, Default)]
struct Answers {
    /// By host and token: the key authorization.
    http: DashMap<(Hostname, String), String>,
    /// By host: the SHA-256 of the key authorization.
    handshake: DashMap<Hostname, [u8; 32]>,
}

impl Challenges {
    /// Publishes an answer over HTTP until the guard is dropped.
    pub(super) fn publish(&self, host: Hostname, token: String, answer: String) -> Published {
        let key = (host, token);
        self.0.http.insert(key.clone(), answer);
        Published {
            all: self.clone(),
            what: What::Http(key),
        }
    }

    /// Publishes an answer in the handshake until the guard is dropped.
    pub(super) fn publish_in_handshake(&self, host: Hostname, digest: [u8; 32]) -> Published {
        self.0.handshake.insert(host.clone(), digest);
        Published {
            all: self.clone(),
            what: What::Handshake(host),
        }
    }

    /// What the certificate of an `acme-tls/1` handshake for this host has to say.
    pub fn digest(&self, host: &Hostname) -> Option<[u8; 32]> {
        self.0.handshake.get(host).map(|digest| *digest)
    }

    #[cfg(test)]
    pub(crate) fn publish_for_test(&self, host: Hostname, token: &str, answer: &str) -> impl Drop {
        self.publish(host, token.to_owned(), answer.to_owned())
    }

    #[cfg(test)]
    pub(crate) fn publish_in_handshake_for_test(
        &self,
        host: Hostname,
        digest: [u8; 32],
    ) -> impl Drop + use<> {
        self.publish_in_handshake(host, digest)
    }

    /// The answer for exactly this host and token.
    pub fn answer(&self, host: &Hostname, token: &str) -> Option<String> {
        // A token is base64url without padding (RFC 8555 §8.3): nothing else is looked up.
        let plausible = !token.is_empty()
            && token.len() <= 128
            && token
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        if !plausible {
            return None;
        }
        let found = self.0.http.get(&(host.clone(), token.to_owned()))?;
        Some(found.value().clone())
    }
}

/// One published answer.
#[must_use]
#[derive(Debug)]
pub(super) struct Published {
    all: Challenges,
    what: What,
}

#[derive(Debug)]
enum What {
    Http((Hostname, String)),
    Handshake(Hostname),
}

impl Drop for Published {
    fn drop(&mut self) {
        match &self.what {
            What::Http(key) => {
                self.all.0.http.remove(key);
            }
            What::Handshake(host) => {
                self.all.0.handshake.remove(host);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_host_and_token_are_answered_and_only_while_published() {
        let challenges = Challenges::default();
        let host: Hostname = "a.example.org".parse().expect("host");
        let other: Hostname = "b.example.org".parse().expect("host");
        let published = challenges.publish(host.clone(), "tok-en_1".into(), "answer".into());
        assert_eq!(
            challenges.answer(&host, "tok-en_1").as_deref(),
            Some("answer")
        );
        for (host, token) in [
            (&other, "tok-en_1"),
            (&host, "tok-en_2"),
            (&host, ""),
            (&host, "../x"),
        ] {
            assert_eq!(challenges.answer(host, token), None, "{host} {token}");
        }
        drop(published);
        assert_eq!(challenges.answer(&host, "tok-en_1"), None);
    }
}
