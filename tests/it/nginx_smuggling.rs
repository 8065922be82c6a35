//! The same requests as in `smuggling`, with a real nginx as the second reader.

use std::collections::{HashMap, HashSet};

use crate::harness::Installed;
use crate::harness::nginx::Nginx;
use crate::smuggling::cases::HOST;
use crate::smuggling::{both_ways, forwarded, panics, planned, play_all};

#[tokio::test]
#[ignore = "needs nginx"]
async fn a_real_server_understands_exactly_the_requests_that_were_meant() {
    let nginx = Nginx::start().await;
    let edge = Installed::new(&both_ways(&[nginx.address]));
    let _usher = edge.start().await;
    edge.answers(&format!("https://{HOST}/ready"), 200).await;

    let cases = planned();
    let mut wrong = play_all(&edge, &cases).await;
    assert_eq!(panics(&edge).await, "usher_panics_total 0");
    let never_whole: HashSet<String> = cases
        .iter()
        .filter(|(case, ways)| forwarded(case, ways.len()) == 0)
        .map(|(case, _)| format!("{:04}", case.id))
        .collect();
    let mut counts: HashMap<String, usize> = HashMap::new();
    for request in nginx.understood().await {
        if request.marker != "-" || request.line.contains("/marker") {
            wrong.push(format!("nginx understood {request:?}"));
        }
        match (request.status.as_str(), request.case.as_str()) {
            ("200", "-") => {}
            ("200", _) => *counts.entry(request.case).or_default() += 1,
            // Its body was never whole, so it was hung up on; or that came while it was answered.
            ("400" | "499", case) if never_whole.contains(case) => {}
            _ => wrong.push(format!("nginx did not understand {request:?}")),
        }
    }
    for (case, ways) in &cases {
        let count = counts.remove(&format!("{:04}", case.id)).unwrap_or(0);
        let expected = forwarded(case, ways.len());
        if count != expected {
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
