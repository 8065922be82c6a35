//! The last failures of one instance as JSON.

use serde::Serialize;

use crate::moment::Moment;
use crate::plan::Failures;

/// One element of the answer to `/stats/INSTANCE/errors`.
#[derive(Debug, Serialize)]
pub(super) struct Row<'f> {
    time: Moment,
    method: &'f str,
    /// Without the query.
    path: &'f str,
    replica: Option<&'f str>,
    status: u16,
    cause: &'static str,
}

/// The newest first.
pub(super) fn list(failures: &Failures) -> Vec<Row<'_>> {
    let kept = failures.kept.iter().map(|failure| Row {
        time: Moment(failure.at),
        method: &failure.method,
        path: &failure.path,
        replica: failure.replica.as_deref(),
        status: failure.status,
        cause: failure.cause,
    });
    kept.collect()
}
