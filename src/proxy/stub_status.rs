//! nginx's stub-status text, for scrapers that read it already.

use crate::plan::InstanceReport;
use crate::routing::InstanceTable;

/// One instance's counts. usher accepts every connection it counts, and neither reads nor writes
/// are told apart, so requests in flight or held count as being written.
pub(super) fn text(instance: &InstanceTable) -> String {
    let report: InstanceReport = instance.counters().snapshot();
    let open = report.connections;
    let total = report.requests.total();
    let busy = report.in_flight + instance.held() + report.websockets;
    let waiting = open.saturating_sub(busy);
    format!(
        "Active connections: {open} \nserver accepts handled requests\n {accepted} {accepted} {total} \nReading: 0 Writing: {busy} Waiting: {waiting} \n",
        accepted = report.accepted_connections,
    )
}
