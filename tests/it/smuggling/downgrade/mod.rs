//! HTTP/2 in front, HTTP/1.1 behind: what a frame can say and a line cannot, reaches no replica.

mod cases;
mod heads;

use std::collections::HashMap;

use futures_util::StreamExt;

use self::cases::{Case, Expect, cases, field, pseudo};
use super::cases::HOST;
use super::{both_ways, panics};
use crate::harness::h2raw::{Outcome, RawH2};
use crate::harness::line::PATIENCE;
use crate::harness::{Installed, Recorder};

/// RFC 9113 §7.
const PROTOCOL_ERROR: u32 = 1;

/// Plays a case beside a sibling on the same connection; says what is wrong with what came back.
async fn play(edge: &Installed, id: usize, case: &Case) -> Result<(), String> {
    let connected = RawH2::connect(edge, HOST).await;
    let mut client = connected.map_err(|error| format!("no connection: {error}"))?;
    let mut sibling = pseudo("POST", "https", "/sibling", HOST);
    sibling.push(field("x-sibling", &id.to_string()));
    client.headers(1, &sibling, false).await;
    client.data(1, b"half ", false).await;

    let mut fields = case.fields.clone();
    fields.push(field("x-case", &id.to_string()));
    let trailed = !case.trailers.is_empty();
    client.headers(3, &fields, case.data.is_none()).await;
    if let Some(data) = &case.data {
        client.data(3, data, !trailed).await;
    }
    if trailed {
        client.headers(3, &case.trailers, true).await;
    }
    let outcome = client.outcome(3, PATIENCE).await;
    let refused = outcome.reset.is_some() || matches!(outcome.status, Some(400..=499));
    let served = outcome.status == Some(200) && outcome.ended && outcome.reset.is_none();
    let good = match case.expect {
        Expect::Refused => refused,
        Expect::Passed => served,
        Expect::Either => refused || served,
        Expect::Severed => refused || client.goaway == Some(PROTOCOL_ERROR),
    };
    if !good {
        return Err(format!("{outcome:?}, goaway {:?}", client.goaway));
    }
    if client.goaway.is_some() && case.expect == Expect::Severed {
        return Ok(());
    }
    client.data(1, b"a body", true).await;
    let sibling = client.outcome(1, PATIENCE).await;
    let whole = Outcome {
        status: Some(200),
        body: b"you asked for /sibling".to_vec(),
        reset: None,
        ended: true,
    };
    if sibling != whole {
        return Err(format!(
            "its sibling: {sibling:?}, goaway {:?}",
            client.goaway
        ));
    }
    Ok(())
}

#[tokio::test]
async fn what_only_frames_can_say_reaches_no_replica_and_costs_no_sibling() {
    let replica = Recorder::telling().await;
    let edge = Installed::new(&both_ways(&[replica.address]));
    let _usher = edge.start().await;
    edge.answers(&format!("https://{HOST}/ready"), 200).await;

    let cases = cases();
    let mut wrong: Vec<String> = futures_util::stream::iter(cases.iter().enumerate())
        .map(|(id, case)| {
            let edge = &edge;
            async move {
                let result = play(edge, id, case).await;
                result.err().map(|why| format!("{}: {why}", case.name))
            }
        })
        .buffer_unordered(8)
        .filter_map(|wrong| async { wrong })
        .collect()
        .await;

    let mut forwarded: HashMap<usize, usize> = HashMap::new();
    for recorded in replica.requests() {
        let message = &recorded.message;
        let forbidden = [
            "te",
            "connection",
            "upgrade",
            "keep-alive",
            "proxy-connection",
            "expect",
            "http2-settings",
        ];
        if let Some(name) = forbidden
            .into_iter()
            .find(|name| message.value(name).is_some())
        {
            wrong.push(format!("{name} was forwarded: {message:?}"));
        }
        if message.target().contains("/marker") {
            wrong.push(format!("a marker came as a request: {message:?}"));
        }
        if let Some(id) = message.value("x-case").and_then(|id| id.parse().ok()) {
            *forwarded.entry(id).or_default() += 1;
            let data = cases[id].data.as_ref();
            let differs = data.is_some_and(|data| *data != message.body);
            // A surplus that goes nowhere leaves no body at all.
            let dropped = cases[id].expect == Expect::Either && message.body.is_empty();
            if differs && !dropped {
                wrong.push(format!("{}: another body: {message:?}", cases[id].name));
            }
        }
    }
    for (id, case) in cases.iter().enumerate() {
        let count = forwarded.remove(&id).unwrap_or(0);
        let good = match case.expect {
            Expect::Refused | Expect::Severed => count == 0,
            Expect::Passed => count == 1,
            Expect::Either => count <= 1,
        };
        if !good {
            wrong.push(format!("{}: {count} requests", case.name));
        }
    }
    wrong.extend(replica.broken());
    println!("{} cases over HTTP/2, each beside a sibling", cases.len());
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert_eq!(panics(&edge).await, "usher_panics_total 0");
}
