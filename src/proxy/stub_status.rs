//! nginx's stub-status text, for scrapers that read it already.

use crate::plan::InstanceReport;
use crate::routing::InstanceTable;

/// One instance's counts. usher accepts every connection it counts, and neither reads nor writes
/// are told apart, so those in flight count as being written.
pub(super) fn text(instance: &InstanceTable) -> String {
    let report: InstanceReport = instance.counters().snapshot();
    let open = report.connections;
    let total = report.requests.total();
    let waiting = open.saturating_sub(report.in_flight + report.websockets);
    format!(
        "Active connections: {open} \nserver accepts handled requests\n {accepted} {accepted} {total} \nReading: 0 Writing: {} Waiting: {waiting} \n",
        report.in_flight + report.websockets,
        accepted = report.accepted_connections,
    )
}
