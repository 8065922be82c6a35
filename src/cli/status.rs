//! `usher status`: one line per instance, and why what is not healthy is not.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::sleep;

use super::client::ask;
use super::colour::{Palette, Tone};
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

const WATCH_EVERY: Duration = Duration::from_secs(1);
/// The cursor to the first line, and everything below it gone (ECMA-48 §8.3.21, §8.3.39).
const CLEAR: &str = "\x1b[H\x1b[J";

pub(super) async fn status(at: &At, format: Format, watching: bool) -> Exit {
    if watching {
        return watch(at, format).await;
    }
    match seen(at, format).await {
        Ok(text) => {
            print!("{text}");
            Exit::Fine
        }
        Err(why) => {
            eprintln!("error: {why}");
            Exit::Failed
        }
    }
}

/// The status every second, until Ctrl-C or until nobody reads it. An usher that does not answer is
/// waited for.
async fn watch(at: &At, format: Format) -> Exit {
    let page = matches!(format, Format::Text) && io::stdout().is_terminal();
    loop {
        let text = seen(at, format).await.unwrap_or_else(|why| match format {
            Format::Json => {
                eprintln!("error: {why}");
                String::new()
            }
            Format::Text => format!("error: {why}\n"),
        });
        let clear = if page { CLEAR } else { "" };
        let mut out = io::stdout().lock();
        let written = write!(out, "{clear}{text}").and_then(|()| out.flush());
        drop(out);
        if written.is_err() {
            return Exit::Fine;
        }
        sleep(WATCH_EVERY).await;
    }
}

async fn seen(at: &At, format: Format) -> Result<String, String> {
    let body = ask(at, "/stats", None).await?;
    match format {
        Format::Json => Ok(format!("{}\n", String::from_utf8_lossy(&body).trim_end())),
        Format::Text => serde_json::from_slice::<Stats>(&body)
            .map(|stats| table(&stats, Palette::of_stdout()))
            .map_err(|error| format!("the answer is not understood: {error}")),
    }
}

/// Where the status stands in a row.
const STATUS: usize = 1;

fn table(stats: &Stats, palette: Palette) -> String {
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
    let mut text = table::painted(&rows, |row, column, cell| {
        let tone = match (row, column) {
            (0, _) => Tone::Heading,
            (_, STATUS) => Tone::of(cell),
            _ => Tone::Plain,
        };
        palette.paint(tone, cell)
    });
    let word = |status: &str| palette.paint(Tone::of(status), status);
    text.push_str(&format!("\noverall: {}\n", word(&stats.status)));
    for reason in &stats.reasons {
        let Reason {
            part,
            status,
            text: why,
            since,
        } = reason;
        text.push_str(&format!(
            "  {}: {part}: {why} (since {since})\n",
            word(status)
        ));
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
            table(&stats, Palette::NONE),
            "INSTANCE  STATUS   WEBSOCKETS  REQUESTS  WAITING  REPLICAS  SAVED  CERTIFICATE\n\
             congress  warning  640         9         3        web 4/5   62 %   valid until 2027-02-18\n\
             \n\
             overall: warning\n\
             \x20 warning: instance:congress: web is at its maximum (since 2026-11-20T08:59:10Z)\n"
        );
    }
}
