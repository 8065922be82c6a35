//! `usher status`: one line per instance, and why what is not healthy is not.

use serde::Deserialize;

use super::client::ask;
use super::{At, Exit, Format, table};

/// The part of the statistics that the table shows.
#[derive(Debug, Deserialize)]
struct Stats {
    status: String,
    reasons: Vec<Reason>,
    instances: Vec<Instance>,
}

#[derive(Debug, Deserialize)]
struct Reason {
    part: String,
    status: String,
    text: String,
    since: String,
}

#[derive(Debug, Deserialize)]
struct Instance {
    name: String,
    status: String,
    standby: bool,
    paused: bool,
    asleep: bool,
    rented_out: bool,
    websockets: u32,
    requests_in_flight: u32,
    held: u32,
    services: Vec<Service>,
    savings: Option<Savings>,
    certificates: Vec<Certificate>,
}

#[derive(Debug, Deserialize)]
struct Service {
    name: String,
    role: String,
    ready: u32,
    desired: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct Savings {
    replica_hours: f64,
    always_on_hours: f64,
}

#[derive(Debug, Deserialize)]
struct Certificate {
    state: String,
    not_after: Option<String>,
}

pub(super) async fn status(at: &At, format: Format) -> Exit {
    let body = match ask(at, "/stats", None).await {
        Ok(body) => body,
        Err(why) => {
            eprintln!("error: {why}");
            return Exit::Failed;
        }
    };
    match format {
        Format::Json => println!("{}", String::from_utf8_lossy(&body)),
        Format::Text => match serde_json::from_slice::<Stats>(&body) {
            Ok(stats) => print!("{}", table(&stats)),
            Err(error) => {
                eprintln!("error: the answer is not understood: {error}");
                return Exit::Failed;
            }
        },
    }
    Exit::Fine
}

fn table(stats: &Stats) -> String {
    let heads = [
        "INSTANCE",
        "STATUS",
        "WEBSOCKETS",
        "REQUESTS",
        "WAITING",
        "REPLICAS",
        "SAVED",
        "CERTIFICATE",
    ];
    let mut rows = vec![heads.map(str::to_owned)];
    rows.extend(stats.instances.iter().map(row));
    let mut text = table::table(&rows);
    text.push_str(&format!("\noverall: {}\n", stats.status));
    for reason in &stats.reasons {
        let Reason {
            part,
            status,
            text: why,
            since,
        } = reason;
        text.push_str(&format!("  {status}: {part}: {why} (since {since})\n"));
    }
    text
}

fn row(instance: &Instance) -> [String; 8] {
    let replicas = instance
        .services
        .iter()
        .filter(|service| service.role != "fixed")
        .map(|service| match service.desired {
            Some(desired) => format!("{} {}/{desired}", service.name, service.ready),
            None => format!("{} {}", service.name, service.ready),
        })
        .collect::<Vec<_>>()
        .join(", ");
    let certificate = instance.certificates.first().map_or_else(
        || "-".to_owned(),
        |certificate| match &certificate.not_after {
            Some(end) => {
                let day = end.split_once('T').map_or(end.as_str(), |(day, _)| day);
                format!("{} until {day}", certificate.state)
            }
            None => certificate.state.clone(),
        },
    );
    let words = [
        (instance.paused, "paused"),
        (instance.standby, "standby"),
        (instance.rented_out, "rented-out"),
        (instance.asleep, "scaled to zero"),
    ];
    let rests = words.iter().find(|(is, _)| *is).map(|(_, word)| *word);
    let status = rests.unwrap_or(&instance.status).to_owned();
    [
        instance.name.clone(),
        status,
        instance.websockets.to_string(),
        instance.requests_in_flight.to_string(),
        instance.held.to_string(),
        replicas,
        saved(instance.savings.as_ref()),
        certificate,
    ]
}

/// The share of this month's replica-hours that were not spent.
fn saved(savings: Option<&Savings>) -> String {
    let share = savings
        .filter(|savings| savings.always_on_hours > 0.0)
        .map(|savings| 1.0 - savings.replica_hours / savings.always_on_hours);
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.0} %", share * 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rests_says_why_in_the_place_of_its_status() {
        let status = |paused, standby, rented_out, asleep| {
            let instance = serde_json::json!({
                "name": "congress", "status": "healthy", "standby": standby, "paused": paused,
                "asleep": asleep, "rented_out": rented_out,
                "websockets": 0, "requests_in_flight": 0, "held": 0,
                "services": [], "savings": null, "certificates": [],
            });
            let instance: Instance = serde_json::from_value(instance).expect("an instance");
            let [_, status, ..] = row(&instance);
            status
        };
        assert_eq!(status(false, false, false, false), "healthy");
        assert_eq!(status(false, false, false, true), "scaled to zero");
        assert_eq!(status(false, false, true, true), "rented-out");
        assert_eq!(status(false, true, true, false), "standby");
        assert_eq!(status(true, true, false, false), "paused");
    }

    #[test]
    fn the_table_has_a_line_per_instance_and_the_reasons_below() {
        let stats = serde_json::json!({
            "status": "warning",
            "reasons": [{
                "part": "instance:congress", "status": "warning",
                "text": "web is at its maximum", "since": "2026-11-20T08:59:10Z",
            }],
            "instances": [{
                "name": "congress", "status": "warning", "standby": false, "paused": false,
                "asleep": false, "rented_out": false,
                "websockets": 640, "requests_in_flight": 9, "held": 3,
                "services": [
                    { "name": "web", "role": "sessions", "ready": 4, "desired": 5 },
                    { "name": "redis", "role": "fixed", "ready": 1, "desired": null },
                ],
                "savings": { "replica_hours": 38.0, "always_on_hours": 100.0 },
                "certificates": [{ "state": "valid", "not_after": "2027-02-18T00:00:00Z" }],
            }],
        });
        let stats: Stats = serde_json::from_value(stats).expect("stats");
        assert_eq!(
            table(&stats),
            "INSTANCE  STATUS   WEBSOCKETS  REQUESTS  WAITING  REPLICAS  SAVED  CERTIFICATE\n\
             congress  warning  640         9         3        web 4/5   62 %   valid until 2027-02-18\n\
             \n\
             overall: warning\n\
             \x20 warning: instance:congress: web is at its maximum (since 2026-11-20T08:59:10Z)\n"
        );
    }
}
