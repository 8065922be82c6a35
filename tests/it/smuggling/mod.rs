//! Nothing that a client or a replica writes is understood in two ways: what usher forwards has one
//! reading, and what has two is refused.

mod bodies;
pub mod cases;
mod chunks;
mod downgrade;
mod heads;
mod replies;
pub mod second;
mod upgrades;

use std::collections::HashMap;

use futures_util::StreamExt;
use tokio::time::Instant;

use self::cases::{Case, Expect, HOST};
use crate::harness::line::{Heard, Line, Pace};
use crate::harness::recorder::Recorded;
use crate::harness::{Front, Installed, Recorder, client, instance};

/// Whether everything is tried in every way, or a choice of it.
pub fn long() -> bool {
    std::env::var_os("USHER_LONG").is_some_and(|value| value == "1")
}

/// One instance, served over plain HTTP as well.
pub fn both_ways(replicas: &[std::net::SocketAddr]) -> String {
    instance("congress", replicas)
        .replace("[instance.service", "https = \"both\"\n[instance.service")
}

/// The panics that this usher has counted.
pub async fn panics(edge: &Installed) -> String {
    let metrics = client::plain(edge.admin(), "localhost", "/metrics")
        .await
        .text();
    let line = metrics
        .lines()
        .find(|line| line.starts_with("usher_panics_total"));
    line.unwrap_or("no metric").to_owned()
}

/// A way to send a case.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    pub pace: Pace,
    pub secure: bool,
}

/// In which ways a case is sent: all of them, or every pace over a transport that its number chooses.
pub fn ways(case: &Case, long: bool) -> Vec<Way> {
    let all = Pace::ALL.map(|pace| [false, true].map(|secure| Way { pace, secure }));
    let chosen = |(index, both): (usize, [Way; 2])| both[(case.id + index) % both.len()];
    match long {
        true => all.concat(),
        false => all.into_iter().enumerate().map(chosen).collect(),
    }
}

/// Sends a case and a lawful request behind it; says what is wrong with what came back.
pub async fn play(edge: &dyn Front, case: &Case, way: Way) -> Result<(), String> {
    let line = match way.secure {
        true => Line::secure(edge, HOST).await,
        false => Line::plain(edge).await,
    };
    let mut line = line.map_err(|error| format!("no connection: {error}"))?;
    let judged = |heard: &Heard, good: bool| match good {
        true => Ok(()),
        false => Err(format!("heard {heard:?}")),
    };
    if case.expect == Expect::Cut {
        line.send(&case.bytes).await;
        line.finish().await;
        let heard = line.hear().await;
        let good = matches!(heard.status(), 400..=499)
            || matches!(&heard, Heard::End(rest) if rest.is_empty());
        return judged(&heard, good);
    }
    let mut heard = line.ask(&case.bytes, way.pace).await;
    let before = match case.expect {
        Expect::Pipelined(count) => count - 1,
        Expect::ThenRefused(count) => count,
        _ => 0,
    };
    for _ in 0..before {
        judged(&heard, heard.status() == 200)?;
        heard = line.hear().await;
    }
    match case.expect {
        Expect::Refused | Expect::ThenRefused(_) => {
            judged(&heard, matches!(heard.status(), 400..=499))?;
            let end = line.hear().await;
            return judged(&end, matches!(&end, Heard::End(rest) if rest.is_empty()));
        }
        Expect::Answered => judged(&heard, matches!(heard.status(), 400..=499))?,
        Expect::Passed(_) | Expect::Pipelined(_) => judged(&heard, heard.status() == 200)?,
        Expect::Cut => {}
    }
    // Whoever was answered with another's words would see it now.
    let target = format!("/after/{}", case.id);
    let last = format!("GET {target} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    line.send(last.as_bytes()).await;
    let heard = line.hear().await;
    match &heard {
        Heard::Answer(answer) => {
            judged(
                &heard,
                answer.status() == 200 && answer.text().ends_with(&target),
            )?;
            let end = line.hear().await;
            judged(&end, matches!(&end, Heard::End(rest) if rest.is_empty()))
        }
        // The connection may be closed with any answer.
        Heard::End(rest) if rest.is_empty() => Ok(()),
        _ => judged(&heard, false),
    }
}

/// How many requests of a case have to reach a replica, over all its ways.
pub fn forwarded(case: &Case, ways: usize) -> usize {
    ways * match case.expect {
        Expect::Refused | Expect::Answered | Expect::Cut => 0,
        Expect::Passed(_) => 1,
        Expect::Pipelined(count) | Expect::ThenRefused(count) => count,
    }
}

/// What is wrong with what the replica saw of the cases.
fn judge(cases: &[(Case, Vec<Way>)], recorded: &[Recorded]) -> Vec<String> {
    let mut found: HashMap<&str, Vec<&Recorded>> = HashMap::new();
    let mut wrong = Vec::new();
    for request in recorded {
        let message = &request.message;
        if message.target().contains("/marker") || message.value("x-marker").is_some() {
            wrong.push(format!("a marker came as a request: {message:?}"));
        }
        if message
            .value("host")
            .is_none_or(|host| !host.starts_with(HOST))
        {
            wrong.push(format!("not the canonical host: {message:?}"));
        }
        for name in [
            "te",
            "connection",
            "upgrade",
            "expect",
            "keep-alive",
            "trailer",
        ] {
            // An own word about this hop is no word of the client.
            let value = message.value(name).filter(|value| *value != "keep-alive");
            if value.is_some() {
                wrong.push(format!("{name} was forwarded: {message:?}"));
            }
        }
        if let Some(id) = message.value("x-case") {
            found.entry(id).or_default().push(request);
        }
    }
    for (case, ways) in cases {
        let id = format!("{:04}", case.id);
        let requests = found.remove(id.as_str()).unwrap_or_default();
        let expected = forwarded(case, ways.len());
        if requests.len() != expected {
            let count = requests.len();
            wrong.push(format!(
                "{}: {count} requests instead of {expected}",
                case.name
            ));
        }
        if let Expect::Passed(body) = &case.expect {
            for request in requests
                .iter()
                .filter(|request| request.message.body != *body)
            {
                wrong.push(format!(
                    "{}: another body: {:?}",
                    case.name, request.message
                ));
            }
        }
    }
    for (id, requests) in found {
        wrong.push(format!("nobody's case {id:?}: {requests:?}"));
    }
    wrong
}

/// All cases of this run, with the ways to send each.
pub fn planned() -> Vec<(Case, Vec<Way>)> {
    let cases = cases::all(long()).into_iter();
    cases
        .map(|case| (case.clone(), ways(&case, long())))
        .collect()
}

/// Sends all cases in all their ways, some at a time; says what is wrong with what came back.
pub async fn play_all(edge: &Installed, cases: &[(Case, Vec<Way>)]) -> Vec<String> {
    let began = Instant::now();
    let each = cases
        .iter()
        .flat_map(|(case, ways)| ways.iter().map(move |way| (case, *way)));
    let played = futures_util::stream::iter(each)
        .map(|(case, way)| async move {
            let result = play(edge, case, way).await;
            result.err().map(|why| {
                let bytes = case.bytes.escape_ascii();
                format!("{} ({way:?}): {why}\n    {bytes}", case.name)
            })
        })
        .buffer_unordered(16)
        .collect::<Vec<_>>()
        .await;
    let (count, sent) = (cases.len(), played.len());
    println!(
        "{count} cases in {sent} connections took {:?}",
        began.elapsed()
    );
    played.into_iter().flatten().collect()
}

#[tokio::test]
async fn no_request_hides_in_another_and_what_has_two_readings_is_refused() {
    let replica = Recorder::telling().await;
    let edge = Installed::new(&both_ways(&[replica.address]));
    let _usher = edge.start().await;
    edge.answers(&format!("https://{HOST}/ready"), 200).await;

    let cases = planned();
    let mut wrong = play_all(&edge, &cases).await;
    wrong.extend(judge(&cases, &replica.requests()));
    wrong.extend(replica.broken());
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(
        cases.len() >= if long() { 1500 } else { 300 },
        "{}",
        cases.len()
    );
    assert_eq!(panics(&edge).await, "usher_panics_total 0");
}
