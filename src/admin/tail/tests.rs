use serde_json::Value;
use tokio::time::Instant;

use super::*;
use crate::engine::Chatty;

fn tails(lines: usize) -> (Tails, Choice) {
    let choice = Choice {
        stack: "congress".parse().expect("a name"),
        replica: None,
    };
    (
        Tails::new(Logs::new(Arc::new(Chatty { lines, last: LINES }))),
        choice,
    )
}

async fn told(records: &mut BoxStream<'static, Bytes>) -> (bool, String) {
    let bytes = records.next().await.expect("an event");
    let text = std::str::from_utf8(&bytes).expect("text");
    let data = text.strip_prefix("event: output\ndata: ").expect(text);
    let told: Value = serde_json::from_str(data.trim()).expect(data);
    let text = told["text"].as_str().expect("text").to_owned();
    (told["whole"] == true, text)
}

fn count(text: &str) -> usize {
    text.matches("<li").count()
}

#[tokio::test(start_paused = true)]
async fn however_much_is_printed_the_last_lines_are_shown_and_no_more() {
    let (tails, choice) = tails(5_000);
    let now = tails.now(&choice).await.into_string();
    assert_eq!(count(&now), LINES);
    assert!(now.contains("old 4999<") && !now.contains("old 4799<"));

    let mut records = tails.follow(choice);
    let (whole, first) = told(&mut records).await;
    assert!(whole && first == now);
    let began = Instant::now();
    for last in [1_999, 3_999, 4_999] {
        let (whole, text) = told(&mut records).await;
        assert!(!whole && text.contains(&format!("young {last}<")), "{text}");
        assert!(count(&text) <= LINES, "{}", count(&text));
    }
    assert!(began.elapsed() >= 3 * EVERY, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn few_read_at_the_same_time_and_who_leaves_makes_room() {
    let (tails, choice) = tails(1);
    let mut readers: Vec<_> = (0..MOST_READERS)
        .map(|_| tails.follow(choice.clone()))
        .collect();
    let crowd = tails.now(&choice).await.into_string();
    assert!(crowd.contains("Too many"), "{crowd}");
    let mut late = tails.follow(choice.clone());
    assert!(told(&mut late).await.1.contains("Too many"));
    assert_eq!(late.next().await, None);
    readers.pop();
    assert_eq!(count(&tails.now(&choice).await.into_string()), 1);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_is_not_there_is_a_sentence_and_said_once() {
    let (tails, choice) = tails(1);
    let choice = Choice {
        replica: Some("congress_web_9".to_owned()),
        ..choice
    };
    let mut records = tails.follow(choice);
    let (whole, why) = told(&mut records).await;
    assert!(whole && why.contains("it has congress_web_1"), "{why}");
    let again = timeout(Duration::from_secs(60), records.next()).await;
    assert!(again.is_err(), "{again:?}");
}
