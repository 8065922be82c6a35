//! A replica that lies about its answers: its client is told the truth or a 502, and nobody else hears
//! of it.

mod cases;
mod heads;

use self::cases::{Case, Expect, cases};
use super::both_ways;
use super::cases::HOST;
use crate::harness::eventually::check;
use crate::harness::h2raw::RawH2;
use crate::harness::line::{Heard, Line, PATIENCE, Pace};
use crate::harness::recorder::{Reply, Then};
use crate::harness::{Installed, Recorder, eventually};

/// Waits until usher has ended the connection over which this was asked.
async fn has_ended(replica: &Recorder, target: &str) {
    eventually("usher ends the connection", async || {
        let requests = replica.requests();
        let asked = requests
            .iter()
            .filter(|recorded| recorded.message.target() == target);
        let open: Vec<_> = asked
            .filter(|asked| !replica.has_ended(asked.connection))
            .collect();
        check(open.is_empty(), format!("{open:?}"))
    })
    .await;
}

async fn over_http1(
    edge: &Installed,
    replica: &Recorder,
    id: usize,
    case: &Case,
) -> Result<(), String> {
    let connect = || async {
        Line::secure(edge, HOST)
            .await
            .map_err(|error| error.to_string())
    };
    let (mut line, mut neighbour) = (connect().await?, connect().await?);
    let ask = |method: &str, target: String| {
        format!("{method} {target} HTTP/1.1\r\nHost: {HOST}\r\n\r\n").into_bytes()
    };
    let bad = ask(case.method, format!("/bad/{id}/1"));
    let heard = line.ask(&bad, Pace::AtOnce).await;
    match &heard {
        Heard::Answer(answer) => case.judge(answer.status(), Some(&answer.text()))?,
        // However much of it was on its way: it visibly breaks off.
        Heard::End(_) | Heard::Broken(_) => {
            case.judge(200, None)?;
        }
        other => return Err(format!("{}: {other:?}", case.name)),
    }
    if case.reply.parts.len() > 1 {
        // A surplus that comes while nothing is asked ends the connection it came over. One that
        // comes behind the next request could be its answer, for all that HTTP/1.1 can tell.
        let target = format!("/bad/{id}/1");
        has_ended(replica, &target).await;
    }
    for (who, line) in [("itself", &mut line), ("a neighbour", &mut neighbour)] {
        let target = format!("/good/{id}/{}", who.len());
        let heard = line.ask(&ask("GET", target.clone()), Pace::AtOnce).await;
        let good = match &heard {
            Heard::Answer(answer) => answer.status() == 200 && answer.text().ends_with(&target),
            Heard::End(rest) => who == "itself" && rest.is_empty(),
            Heard::Broken(_) | Heard::Silence(_) => false,
        };
        // What broke off may have no end to tell the next answer by; that is its own line alone.
        let broken_off = who == "itself" && case.expect == Expect::NeverWhole;
        if !good && !broken_off {
            return Err(format!("{}: then {who} heard {heard:?}", case.name));
        }
        let all = String::from_utf8_lossy(&line.heard);
        if all.contains("SMUGGLED") {
            return Err(format!(
                "{}: {who} heard another's answer: {all}",
                case.name
            ));
        }
    }
    Ok(())
}

async fn over_http2(
    edge: &Installed,
    replica: &Recorder,
    id: usize,
    case: &Case,
) -> Result<(), String> {
    let connected = RawH2::connect(edge, HOST).await;
    let mut client = connected.map_err(|error| error.to_string())?;
    let fields = |method: &str, path: String| {
        let path = path.into_bytes();
        vec![
            (b":method".to_vec(), method.as_bytes().to_vec()),
            (b":scheme".to_vec(), b"https".to_vec()),
            (b":path".to_vec(), path),
            (b":authority".to_vec(), HOST.as_bytes().to_vec()),
        ]
    };
    client
        .headers(1, &fields(case.method, format!("/bad/{id}/2")), true)
        .await;
    let bad = client.outcome(1, PATIENCE).await;
    let body = String::from_utf8_lossy(&bad.body).into_owned();
    let whole = bad.ended && bad.reset.is_none();
    case.judge(bad.status.unwrap_or(0), whole.then_some(&body))
        .map_err(|why| format!("{why} over HTTP/2: {bad:?}"))?;
    if case.reply.parts.len() > 1 {
        has_ended(replica, &format!("/bad/{id}/2")).await;
    }
    let target = format!("/good/{id}/2");
    client
        .headers(3, &fields("GET", target.clone()), true)
        .await;
    let good = client.outcome(3, PATIENCE).await;
    if good.status != Some(200) || !good.body.ends_with(target.as_bytes()) {
        return Err(format!(
            "{}: its sibling over HTTP/2 heard {good:?}",
            case.name
        ));
    }
    if body.contains("SMUGGLED") {
        return Err(format!(
            "{}: another's answer over HTTP/2: {body}",
            case.name
        ));
    }
    Ok(())
}

#[tokio::test]
async fn whatever_a_replica_says_nobody_hears_an_answer_to_somebody_else() {
    let replies: Vec<Reply> = cases().into_iter().map(|case| case.reply).collect();
    let replica = Recorder::start(move |message| {
        let mut parts = message.target().split('/').skip(1);
        match (
            parts.next(),
            parts.next().and_then(|id| id.parse::<usize>().ok()),
        ) {
            (Some("bad"), Some(id)) => replies[id].clone(),
            _ => Reply::text(&format!("you asked for {}", message.target())),
        }
    })
    .await;
    let edge = Installed::new(&both_ways(&[replica.address]));
    let _usher = edge.start().await;
    edge.answers(&format!("https://{HOST}/ready"), 200).await;

    let cases = cases();
    let mut wrong = Vec::new();
    for (id, case) in cases.iter().enumerate() {
        wrong.extend(over_http1(&edge, &replica, id, case).await.err());
        wrong.extend(over_http2(&edge, &replica, id, case).await.err());
    }
    let requests = replica.requests();
    for (index, bad) in requests.iter().enumerate() {
        let mut parts = bad.message.target().split('/').skip(1);
        let (Some("bad"), Some(id)) = (parts.next(), parts.next()) else {
            continue;
        };
        let case = &cases[id.parse::<usize>().expect("a number")];
        let lawful = matches!(case.expect, Expect::Lawful(..) | Expect::Harmless(_));
        let mut later = requests[index + 1..].iter();
        if !lawful && later.any(|other| other.connection == bad.connection) {
            wrong.push(format!("{}: its connection was used again", case.name));
        }
    }
    // Every connection that an unlawful answer came over is ended, and not only unused.
    for (id, case) in cases.iter().enumerate() {
        if !matches!(case.expect, Expect::Lawful(..) | Expect::Harmless(_)) {
            has_ended(&replica, &format!("/bad/{id}/1")).await;
        }
    }
    wrong.extend(replica.broken());
    println!("{} answers, over HTTP/1.1 and HTTP/2", cases.len());
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert_eq!(super::panics(&edge).await, "usher_panics_total 0");
}

#[tokio::test]
async fn a_replica_that_dies_after_the_edge_said_go_on_is_a_502() {
    let replica = Recorder::start(|message| match message.target() {
        "/dies" => Reply::bytes("").then(Then::Close),
        _ => Reply::text("here"),
    })
    .await;
    let edge = Installed::new(&both_ways(&[replica.address]));
    let _usher = edge.start().await;
    edge.answers(&format!("https://{HOST}/ready"), 200).await;

    let mut line = Line::secure(&edge, HOST).await.unwrap();
    let request = format!(
        "POST /dies HTTP/1.1\r\nHost: {HOST}\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc"
    );
    let heard = line.ask(request.as_bytes(), Pace::AtOnce).await;
    assert_eq!(heard.status(), 502, "{heard:?}");
    assert!(line.heard.starts_with(b"HTTP/1.1 100 "), "{heard:?}");
}
