//! What daphne 1.x says when its workers are too few: a few words in an answer, a status, a code.

use std::time::Duration;

use http::StatusCode;

use crate::plan::Signal;

/// The words stand this near the beginning of an answer; daphne's page around them has a kilobyte.
const NEAR: usize = 4096;
/// daphne rejects a websocket with 403 that no worker has accepted after this time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// The code of a websocket whose messages find no place in the queue (RFC 6455 §7.4, IANA: try again
/// later).
const TRY_AGAIN_LATER: u16 = 1013;

const WORDS: [(&[u8], Signal); 2] = [
    (b"Request queue full.", Signal::QueueFull),
    (
        b"Worker server failed to respond within time limit.",
        Signal::WorkerSilent,
    ),
];

/// Listens to the beginning of an answer that may contain the words. What it hears goes on as it
/// came.
#[derive(Debug)]
pub(super) struct Ear(Vec<u8>);

impl Ear {
    /// For an answer with this status.
    pub(super) fn of(status: StatusCode) -> Option<Self> {
        (status == StatusCode::SERVICE_UNAVAILABLE).then(|| Self(Vec::new()))
    }

    /// Listens to a part. A signal is told once: nobody listens after it.
    pub(super) fn hear(&mut self, part: &[u8]) -> Option<Signal> {
        let more = part.len().min(NEAR.saturating_sub(self.0.len()));
        if more == 0 {
            return None;
        }
        self.0.extend_from_slice(part.get(..more)?);
        in_words(&self.0)
    }
}

/// The signal in a text.
pub(super) fn in_words(text: &[u8]) -> Option<Signal> {
    let says = |words: &[u8]| text.windows(words.len()).any(|some| some == words);
    WORDS
        .into_iter()
        .find_map(|(words, signal)| says(words).then_some(signal))
}

/// The signal in the answer to a handshake that took so long.
pub(super) fn in_handshake(status: StatusCode, took: Duration) -> Option<Signal> {
    match status {
        StatusCode::SERVICE_UNAVAILABLE => Some(Signal::HandshakeRefused),
        StatusCode::FORBIDDEN if took >= CONNECT_TIMEOUT => Some(Signal::HandshakeUnanswered),
        _ => None,
    }
}

/// The signal in the code that a replica closed a websocket with.
pub(super) fn in_close(code: u16) -> Option<Signal> {
    (code == TRY_AGAIN_LATER).then_some(Signal::TryAgainLater)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_heard_however_they_arrive_and_near_the_beginning_only() {
        let page = |words: &str| format!("<html>{}<p>{words}</p></html>", " ".repeat(1_000));
        for (words, signal) in WORDS {
            let page = page(std::str::from_utf8(words).expect("text"));
            for step in [1, 7, 600, 4_096] {
                let mut ear = Ear::of(StatusCode::SERVICE_UNAVAILABLE).expect("an ear");
                let heard = page.as_bytes().chunks(step).find_map(|part| ear.hear(part));
                assert_eq!(heard, Some(signal), "{step}");
            }
        }
        let mut ear = Ear::of(StatusCode::SERVICE_UNAVAILABLE).expect("an ear");
        assert_eq!(ear.hear(page("We are closed.").as_bytes()), None);
        assert_eq!(ear.hear(&[b'x'; 2 * NEAR]), None);
        assert_eq!(ear.hear(b"Request queue full."), None);
        assert_eq!(ear.0.len(), NEAR);
        assert!(Ear::of(StatusCode::OK).is_none());
    }

    #[test]
    fn a_handshake_speaks_by_its_status_and_its_time() {
        let within = Duration::from_secs(2);
        let signal = |status, took| in_handshake(status, took).map(Signal::word);
        assert_eq!(
            signal(StatusCode::SERVICE_UNAVAILABLE, within),
            Some("handshake-refused")
        );
        assert_eq!(signal(StatusCode::FORBIDDEN, within), None, "not allowed");
        assert_eq!(
            signal(StatusCode::FORBIDDEN, CONNECT_TIMEOUT),
            Some("handshake-unanswered")
        );
        assert_eq!(
            signal(StatusCode::SWITCHING_PROTOCOLS, CONNECT_TIMEOUT),
            None
        );
        assert_eq!(in_close(1013), Some(Signal::TryAgainLater));
        assert_eq!(in_close(1012), None);
    }
}
