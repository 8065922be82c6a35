//! What is told of a request: to the access log, and to whoever asks for failures.

use std::time::SystemTime;

use super::access_log::Line;
use super::{Gateway, wall};
use crate::failures::Failed;
use crate::plan::Ending;

/// The cause where a replica answered, and what it answered was an error.
const OF_REPLICA: &str = "answer-of-replica";

impl Gateway {
    /// Writes the line, and remembers it where it is one of a failure.
    pub(super) fn tell(&self, line: &Line<'_>) {
        let now = wall();
        if let (Some(instance), Some(failed)) = (line.instance, failed(line, now)) {
            self.failures.note(instance, failed);
        }
        self.log.write(now, line);
    }
}

/// What usher or a replica could not do, a session that broke, or a word of back-pressure. What a client asked wrongly is
/// none.
fn failed<'a>(line: &Line<'a>, at: SystemTime) -> Option<Failed<'a>> {
    let status = line.status.unwrap_or_default();
    let broke = line.kind == "close" && line.reason == Some(Ending::Error.word());
    let fails = broke || (line.kind == "request" && status >= 500);
    (fails || line.signal.is_some()).then(|| Failed {
        at,
        method: line.method.unwrap_or_default(),
        path: line.path.unwrap_or_default(),
        replica: line.replica,
        status,
        cause: line.signal.or(line.reason).unwrap_or(OF_REPLICA),
    })
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn a_failure_is_what_the_client_could_not_help() {
        let cause = |kind, status, reason| {
            let line = Line {
                kind,
                status,
                reason,
                ..Line::EMPTY
            };
            failed(&line, UNIX_EPOCH).map(|failed| failed.cause)
        };
        assert_eq!(cause("request", Some(200), None), None);
        assert_eq!(cause("request", Some(404), Some("no-route")), None);
        assert_eq!(cause("request", Some(499), Some("client")), None);
        assert_eq!(
            cause("request", Some(503), Some("no-replica")),
            Some("no-replica")
        );
        assert_eq!(cause("request", Some(500), None), Some(OF_REPLICA));
        assert_eq!(cause("close", None, Some("client")), None);
        assert_eq!(cause("close", None, Some("error")), Some("error"));
        let pushed_back = Line {
            kind: "close",
            reason: Some("upstream"),
            signal: Some("try-again-later"),
            ..Line::EMPTY
        };
        let failed = failed(&pushed_back, UNIX_EPOCH).expect("a failure");
        assert_eq!(failed.cause, "try-again-later");
    }
}
