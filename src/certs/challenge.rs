//! Answers to HTTP-01 challenges (RFC 8555 §8.3), while they are being asked.

use std::sync::Arc;

use dashmap::DashMap;

use crate::names::Hostname;

/// The path under which an authority asks.
pub const PREFIX: &str = "/.well-known/acme-challenge/";

/// Published answers. Each belongs to one host: what is asked elsewhere has no answer.
#[derive(Clone, Debug, Default)]
pub struct Challenges(Arc<DashMap<(Hostname, String), String>>);

impl Challenges {
    /// Publishes an answer until the guard is dropped.
    pub(super) fn publish(&self, host: Hostname, token: String, answer: String) -> Published {
        let key = (host, token);
        self.0.insert(key.clone(), answer);
        Published {
            all: self.clone(),
            key,
        }
    }

    #[cfg(test)]
    pub(crate) fn publish_for_test(&self, host: Hostname, token: &str, answer: &str) -> impl Drop {
        self.publish(host, token.to_owned(), answer.to_owned())
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
        let found = self.0.get(&(host.clone(), token.to_owned()))?;
        Some(found.value().clone())
    }
}

/// One published answer.
#[must_use]
#[derive(Debug)]
pub(super) struct Published {
    all: Challenges,
    key: (Hostname, String),
}

impl Drop for Published {
    fn drop(&mut self) {
        self.all.0.remove(&self.key);
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
