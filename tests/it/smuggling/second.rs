//! A second reader of all cases, which shares no line with the first.

use std::collections::{HashMap, HashSet};

use super::cases::HOST;
use super::{both_ways, forwarded, panics, planned, play_all};
use crate::harness::Installed;
use crate::harness::readers::Reader;

/// Plays all cases before this server.
pub async fn understands_what_was_meant(server: Reader) {
    let edge = Installed::new(&both_ways(&[server.address]));
    let _usher = edge.start().await;
    edge.answers(&format!("https://{HOST}/ready"), 200).await;

    let knows_the_end = server.knows_the_end;
    let cases = planned();
    let mut wrong = play_all(&edge, &cases).await;
    assert_eq!(panics(&edge).await, "usher_panics_total 0");
    let never_whole: HashSet<String> = cases
        .iter()
        .filter(|(case, ways)| forwarded(case, ways.len()) == 0)
        .map(|(case, _)| format!("{:04}", case.id))
        .collect();
    let mut counts: HashMap<String, usize> = HashMap::new();
    for request in server.understood().await {
        if request.marker != "-" || request.line.contains("/marker") {
            wrong.push(format!("it understood {request:?}"));
        }
        match (request.status.as_str(), request.case.as_str()) {
            ("200", "-") => {}
            ("200", _) => *counts.entry(request.case).or_default() += 1,
            // Its body was never whole, so it was hung up on; or that came while it was answered.
            ("400" | "408" | "499" | "-1", case) if never_whole.contains(case) => {}
            _ => wrong.push(format!("it did not understand {request:?}")),
        }
    }
    for (case, ways) in &cases {
        let count = counts.remove(&format!("{:04}", case.id)).unwrap_or(0);
        let expected = forwarded(case, ways.len());
        // Its head was lawful, and its body is what was refused.
        let begun = !knows_the_end && expected == 0 && count <= ways.len();
        if count != expected && !begun {
            wrong.push(format!(
                "{}: {count} requests instead of {expected}",
                case.name
            ));
        }
    }
    wrong.extend(counts.keys().map(|case| format!("nobody's case {case:?}")));
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
