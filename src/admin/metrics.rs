//! The same read model in Prometheus' text format.
//!
//! Labels come from the configuration and the engine, never from what a client sends, so their
//! number is bounded.

use std::borrow::Cow;
use std::fmt::{Display, Write};
use std::fs;

use crate::control::Status;
use crate::control::status::{Level, ReplicaStatus};
use crate::plan::{DURATION_BUCKETS, Ending, Handshake, InstanceReport, Report, Signal};

mod scaling;

/// One page of metrics.
struct Page(String);

impl Page {
    /// Begins a metric; its samples follow.
    fn metric(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = write!(
            self.0,
            "# HELP usher_{name} {help}\n# TYPE usher_{name} {kind}\n"
        );
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        // Piece by piece: formatting would cost a thousand instances most of their time.
        self.0.push_str("usher_");
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            self.0.push(if index == 0 { '{' } else { ',' });
            self.0.push_str(label);
            self.0.push_str("=\"");
            self.0.push_str(&escape(text));
            self.0.push('"');
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.metric(name, kind, help);
        self.sample(name, &[], value);
    }
}

/// The whole page. `orders` are those issued and failed.
pub(super) fn text(status: &Status, report: &Report, orders: (u64, u64), panics: u64) -> String {
    let mut page = Page(String::with_capacity(16 * 1024));
    edge(&mut page, status, report, orders, panics);
    instances(&mut page, report);
    services(&mut page, status, report);
    certificates(&mut page, status);
    process(&mut page);
    page.0
}

/// As [`text`], for somebody who may see these instances and nothing of the whole.
pub(super) fn text_of_instances(status: &Status, report: &Report) -> String {
    let mut page = Page(String::with_capacity(16 * 1024));
    instances(&mut page, report);
    services(&mut page, status, report);
    certificates(&mut page, status);
    page.0
}

fn edge(page: &mut Page, status: &Status, report: &Report, orders: (u64, u64), panics: u64) {
    page.metric("build_info", "gauge", "The version that runs; always 1.");
    page.sample("build_info", &[("version", status.version)], 1);
    let edge = &report.edge;
    page.single(
        "connections",
        "gauge",
        "Open client connections.",
        edge.connections,
    );
    page.single(
        "unrouted_requests_total",
        "counter",
        "Requests for names nobody declared, or that could not be understood.",
        edge.unrouted_total,
    );
    page.single(
        "overload_level",
        "gauge",
        "0 calm, 1 connections are not kept, 2 the largest instances get no new requests, 3 full.",
        // A variant is its own number.
        edge.level as u8,
    );
    page.single(
        "access_log_dropped_total",
        "counter",
        "Lines of the access log that could not be written in time.",
        edge.log_lines_dropped,
    );
    page.metric(
        "tls_handshakes_total",
        "counter",
        "TLS handshakes by outcome.",
    );
    let outcomes = [
        (Handshake::Full, "ok", "false"),
        (Handshake::Resumed, "ok", "true"),
        (Handshake::Challenge, "challenge", "false"),
        (Handshake::UnknownName, "unknown_name", "false"),
        (Handshake::Failed, "failed", "false"),
    ];
    for (kind, outcome, resumed) in outcomes {
        let count = edge.handshakes.get(&kind).copied().unwrap_or(0);
        let labels = [("outcome", outcome), ("resumed", resumed)];
        page.sample("tls_handshakes_total", &labels, count);
    }
    page.single(
        "tls_handshakes_waiting",
        "gauge",
        "TLS handshakes that wait until a processor has time for them.",
        edge.handshakes_waiting,
    );
    page.single(
        "proxy_headers_refused_total",
        "counter",
        "Connections of trusted proxies without a good PROXY header.",
        edge.proxy_headers_refused_total,
    );
    page.single(
        "engine_connected",
        "gauge",
        "Whether the engine answers.",
        u8::from(status.engine.connected),
    );
    page.single(
        "swarm_wrong_tasks_total",
        "counter",
        "Tasks that a Swarm ended in place of a drained one.",
        status.engine.wrong_tasks,
    );
    page.metric(
        "swarm_node_ready",
        "gauge",
        "Whether a machine of the Swarm is ready.",
    );
    for node in &status.nodes {
        if let Some(member) = &node.swarm {
            let ready = u8::from(member.state == "ready");
            page.sample("swarm_node_ready", &[("node", &node.name)], ready);
        }
    }
    scaling::room(page, status);
    page.single(
        "config_generation",
        "gauge",
        "Number of the plan in force.",
        report.applied.0,
    );
    page.single(
        "config_last_reload_success",
        "gauge",
        "Whether the files, as they are now, are in force.",
        u8::from(status.last_reload_succeeded),
    );
    page.single(
        "panics_total",
        "counter",
        "Panics; each cost one connection or task.",
        panics,
    );
    page.metric("acme_orders_total", "counter", "Orders by outcome.");
    page.sample("acme_orders_total", &[("outcome", "issued")], orders.0);
    page.sample("acme_orders_total", &[("outcome", "failed")], orders.1);
}

type Count = fn(&InstanceReport) -> u64;

fn instances(page: &mut Page, report: &Report) {
    let counts: [(&str, &str, &str, Count); 2] = [
        (
            "instance_requests_in_flight",
            "gauge",
            "Requests of an instance that are being answered, by replicas or by usher itself.",
            |r| r.in_flight.into(),
        ),
        (
            "instance_connections",
            "gauge",
            "Open client connections of an instance.",
            |r| r.connections.into(),
        ),
    ];
    for (name, kind, help, count) in counts {
        page.metric(name, kind, help);
        for (instance, report) in &report.instances {
            page.sample(name, &[("instance", instance.as_str())], count(report));
        }
    }
    page.metric(
        "requests_total",
        "counter",
        "Requests answered, by the class of the status.",
    );
    for (instance, report) in &report.instances {
        for (class, count) in ["1xx", "2xx", "3xx", "4xx", "5xx"]
            .iter()
            .zip(report.requests.by_class)
        {
            let labels = [("instance", instance.as_str()), ("code_class", class)];
            page.sample("requests_total", &labels, count);
        }
    }
    page.metric("bytes_total", "counter", "Bytes of bodies and websockets.");
    for (instance, report) in &report.instances {
        for (direction, bytes) in [("in", report.bytes_in), ("out", report.bytes_out)] {
            let labels = [("instance", instance.as_str()), ("direction", direction)];
            page.sample("bytes_total", &labels, bytes);
        }
    }
    page.metric(
        "backpressure_total",
        "counter",
        "Words of replicas that their workers are too few, by word.",
    );
    for (instance, report) in &report.instances {
        for (index, signal) in Signal::ALL.iter().enumerate() {
            let counts = report.services.values();
            let count: u64 = counts
                .filter_map(|totals| totals.pushed_back.get(index))
                .sum();
            let labels = [("instance", instance.as_str()), ("signal", signal.word())];
            page.sample("backpressure_total", &labels, count);
        }
    }
    page.metric(
        "request_duration_seconds",
        "histogram",
        "From the head of a request to the end of its answer, sessions excluded.",
    );
    for (instance, report) in &report.instances {
        durations(page, instance.as_str(), report);
    }
}

fn durations(page: &mut Page, instance: &str, report: &InstanceReport) {
    let requests = &report.requests;
    let bounds = DURATION_BUCKETS
        .iter()
        .map(f64::to_string)
        .chain(["+Inf".to_owned()]);
    let mut total = 0;
    for (bound, count) in bounds.zip(requests.durations) {
        total += count;
        let labels = [("instance", instance), ("le", bound.as_str())];
        page.sample("request_duration_seconds_bucket", &labels, total);
    }
    let labels = [("instance", instance)];
    let sum = requests.duration_sum.as_secs_f64();
    page.sample("request_duration_seconds_sum", &labels, sum);
    page.sample("request_duration_seconds_count", &labels, total);
}

/// One count of a replica.
type CountOf = fn(&ReplicaStatus) -> u32;

fn services(page: &mut Page, status: &Status, report: &Report) {
    page.metric("held", "gauge", "Requests that wait for a replica.");
    for instance in &status.instances {
        let labels = [("instance", instance.name.as_str())];
        page.sample("held", &labels, instance.held);
    }
    let of_replicas: [(&str, &str, CountOf); 3] = [
        ("websockets", "Open websockets of a replica.", |replica| {
            replica.websockets
        }),
        (
            "streams",
            "Answers that have been streaming for longer than 30 s.",
            |replica| replica.streams,
        ),
        (
            "requests_in_flight",
            "Requests that a replica is answering.",
            |replica| replica.requests_in_flight,
        ),
    ];
    for (name, help, count) in of_replicas {
        page.metric(name, "gauge", help);
        each_replica(status, |instance, service, replica| {
            let labels = [
                ("instance", instance),
                ("service", service),
                ("replica", &replica.name),
            ];
            page.sample(name, &labels, count(replica));
        });
    }
    page.metric(
        "sessions_opened_total",
        "counter",
        "Websockets and streams that began.",
    );
    for (instance, report) in &report.instances {
        for (service, totals) in &report.services {
            let labels = [
                ("instance", instance.as_str()),
                ("service", service.as_str()),
            ];
            page.sample("sessions_opened_total", &labels, totals.opened);
        }
    }
    page.metric(
        "sessions_closed_total",
        "counter",
        "Websockets and streams that ended, by why.",
    );
    for (instance, report) in &report.instances {
        for (service, totals) in &report.services {
            for (ending, count) in Ending::ALL.iter().zip(totals.closed) {
                let labels = [
                    ("instance", instance.as_str()),
                    ("service", service.as_str()),
                    ("reason", ending.word()),
                ];
                page.sample("sessions_closed_total", &labels, count);
            }
        }
    }
    page.metric(
        "handshake_window",
        "gauge",
        "Websocket handshakes that may be under way at a time.",
    );
    for (instance, report) in &report.instances {
        for (service, totals) in &report.services {
            let labels = [
                ("instance", instance.as_str()),
                ("service", service.as_str()),
            ];
            page.sample("handshake_window", &labels, totals.window);
        }
    }
    const STATES: [&str; 7] = [
        "starting",
        "ready",
        "unhealthy",
        "draining",
        "cutting",
        "stopping",
        "failed",
    ];
    page.metric("replicas", "gauge", "Replicas by state.");
    for instance in &status.instances {
        for service in &instance.services {
            for state in STATES {
                let count = service
                    .replicas
                    .iter()
                    .filter(|replica| replica.state == state)
                    .count();
                let labels = [
                    ("instance", instance.name.as_str()),
                    ("service", service.name.as_str()),
                    ("state", state),
                ];
                page.sample("replicas", &labels, count);
            }
        }
    }
    scaling::scaling(page, status);
    page.metric("status", "gauge", "0 healthy, 1 warning, 2 critical.");
    for instance in &status.instances {
        let value = match instance.status {
            Level::Healthy => 0,
            Level::Warning => 1,
            Level::Critical => 2,
        };
        page.sample("status", &[("instance", &instance.name)], value);
    }
}

fn each_replica<'s>(
    status: &'s Status,
    mut sample: impl FnMut(&'s str, &'s str, &'s ReplicaStatus),
) {
    for instance in &status.instances {
        for service in instance
            .services
            .iter()
            .filter(|service| service.role != "ratio")
        {
            for replica in &service.replicas {
                sample(&instance.name, &service.name, replica);
            }
        }
    }
}

fn certificates(page: &mut Page, status: &Status) {
    let certificates = || {
        let instances = status.instances.iter();
        instances.flat_map(|instance| &instance.certificates)
    };
    page.metric(
        "certificate_not_after_timestamp_seconds",
        "gauge",
        "When a certificate ends, in seconds since 1970.",
    );
    for certificate in certificates() {
        let Some(end) = certificate.not_after else {
            continue;
        };
        let seconds = end
            .0
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        for name in &certificate.names {
            let labels = [("name", name.as_str())];
            page.sample("certificate_not_after_timestamp_seconds", &labels, seconds);
        }
    }
    page.metric(
        "certificate_failed_attempts",
        "gauge",
        "Attempts in a row to get or renew a certificate that failed; 0 after a success.",
    );
    for (name, failures) in certificates().flat_map(|certificate| {
        let failures = certificate.failures;
        certificate.names.iter().map(move |name| (name, failures))
    }) {
        let labels = [("name", name.as_str())];
        page.sample("certificate_failed_attempts", &labels, failures);
    }
}

/// What every exporter tells of its own process, under the names dashboards expect.
fn process(page: &mut Page) {
    let text = |file: &str| fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default();
    let mut gauge = |name: &str, kind: &str, help: &str, value: f64| {
        let _ = write!(
            page.0,
            "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"
        );
    };
    let stat = text("stat");
    let fields: Vec<f64> = stat
        .rsplit_once(')')
        .map_or("", |(_, rest)| rest)
        .split_whitespace()
        .map(|field| field.parse().unwrap_or(0.0))
        .collect();
    let field = |index: usize| fields.get(index).copied().unwrap_or(0.0);
    // Fixed at 100 for user space on Linux, whatever the kernel's own tick is.
    const TICKS: f64 = 100.0;
    let cpu = (field(11) + field(12)) / TICKS;
    gauge(
        "process_cpu_seconds_total",
        "counter",
        "User and system time.",
        cpu,
    );
    let status = text("status");
    let kilobytes = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok())
    };
    let resident = kilobytes("VmRSS:").unwrap_or(0.0) * 1024.0;
    gauge(
        "process_resident_memory_bytes",
        "gauge",
        "Resident memory.",
        resident,
    );
    let open = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let open = u32::try_from(open).unwrap_or(u32::MAX);
    gauge(
        "process_open_fds",
        "gauge",
        "Open file handles.",
        open.into(),
    );
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    #[expect(clippy::cast_precision_loss, reason = "a limit of files fits 53 bits")]
    let most = most.unwrap_or(u64::MAX) as f64;
    gauge(
        "process_max_fds",
        "gauge",
        "The limit of open file handles.",
        most,
    );
}

/// nginx's stub-status text over all instances.
pub(super) fn stub_status(report: &Report) -> String {
    let open = report.edge.connections;
    let accepted = report.edge.accepted_total;
    let mut total = report.edge.unrouted_total;
    let mut busy = 0;
    for instance in report.instances.values() {
        total += instance.requests.total();
        let counts = [instance.in_flight, instance.held, instance.websockets];
        busy += counts.map(u64::from).iter().sum::<u64>();
    }
    let waiting = open.saturating_sub(busy);
    format!(
        "Active connections: {open} \nserver accepts handled requests\n {accepted} {accepted} {total} \nReading: 0 Writing: {busy} Waiting: {waiting} \n"
    )
}

fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(['\\', '"', '\n']) {
        return text.into();
    }
    let text = text
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n");
    text.into()
}

#[cfg(test)]
mod crowd;
#[cfg(test)]
mod tests;
