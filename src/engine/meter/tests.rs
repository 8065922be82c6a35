//! Who is looked at when, and what is made of it.

use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream};

use super::*;
use crate::engine::{Action, EngineError, Line, Printer, Span};
use crate::names::StackName;
use crate::shutdown;

/// Runs a few, and counts how often it is asked.
#[derive(Debug, Default)]
struct Asked(AtomicU32);

#[async_trait]
impl Engine for Asked {
    fn kind(&self) -> &'static str {
        "docker"
    }

    async fn subscribe(&self) -> Result<BoxStream<'static, ()>, EngineError> {
        Ok(Box::pin(stream::pending()))
    }

    async fn list(&self) -> Result<Inventory, EngineError> {
        Ok(Inventory::default())
    }

    async fn act(&self, _action: &Action) -> Result<(), EngineError> {
        Ok(())
    }

    async fn printers(&self, _stack: &StackName) -> Result<Vec<Printer>, EngineError> {
        Ok(Vec::new())
    }

    async fn output(
        &self,
        _printer: &str,
        _span: Span,
    ) -> Result<BoxStream<'static, Line>, EngineError> {
        Ok(Box::pin(stream::empty()))
    }

    async fn running(&self) -> Result<Vec<Runner>, EngineError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        let names: Vec<String> = (0..500).map(|number| format!("n{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        Ok(runners(&names))
    }

    async fn usage(&self, _handle: &str) -> Result<Option<Usage>, EngineError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        // It answers when it counts next.
        sleep(Duration::from_secs(1)).await;
        Ok(used(1.0))
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_does_not_answer_is_not_asked_and_one_that_does_gently() {
    let engine = Arc::new(Asked::default());
    let (listings, listed) = watch::channel(Listing {
        inventory: Some(Arc::default()),
        last_sync: None,
        error: Some("no answer within 5 s".into()),
    });
    let (metered, mut seen) = mpsc::channel(10_000);
    let (_going, shutdown) = shutdown::channel();
    let asked = || engine.0.load(Ordering::Relaxed);
    let looks = run(Arc::clone(&engine) as _, listed, metered, shutdown);
    tokio::pin!(looks);
    let pass = Duration::from_secs(600);
    assert!(timeout(pass, &mut looks).await.is_err());
    assert_eq!(asked(), 0);
    listings.send_modify(|listing| listing.error = None);
    assert!(timeout(pass, &mut looks).await.is_err());
    assert!((250..=305).contains(&asked()), "{}", asked());
    assert!(matches!(seen.try_recv(), Ok(Metered::Running(all)) if all.len() == 500));
    assert!(matches!(seen.try_recv(), Ok(Metered::Taken(_))));
    listings.send_modify(|listing| listing.error = Some("gone".into()));
    let before = asked();
    assert!(timeout(pass, &mut looks).await.is_err());
    assert!(asked() <= before + 1, "the one that was under way");
}

fn runners(units: &[&str]) -> Vec<Runner> {
    let one = |unit: &&str| Runner {
        unit: (*unit).to_owned(),
        handle: format!("of {unit}"),
    };
    units.iter().map(one).collect()
}

fn used(processor: f64) -> Option<Usage> {
    Some(Usage {
        memory: Some(60 << 20),
        processor: Some(Duration::from_secs_f64(processor)),
        reserved: None,
    })
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[tokio::test(start_paused = true)]
async fn processor_time_is_that_between_two_looks_at_the_same_life() {
    let (mut rounds, start) = (Rounds::default(), Instant::now());
    rounds.found(runners(&["a"]), start);
    let mut look = |after, processor| {
        let taken = rounds.looked("a", used(processor), start + seconds(after));
        taken.expect("known").processor
    };
    assert_eq!(look(10, 1.0), None, "nothing to compare with");
    assert_eq!(look(70, 16.0), Some(250));
    assert_eq!(look(130, 0.5), None, "it was started anew");
    assert_eq!(look(190, 0.5), Some(0));
}

#[tokio::test(start_paused = true)]
async fn who_has_nothing_to_do_is_looked_at_less_and_less_often() {
    let (mut rounds, start) = (Rounds::default(), Instant::now());
    rounds.found(runners(&["busy", "idle"]), start);
    let mut looks = HashMap::from([("busy".to_owned(), 0), ("idle".to_owned(), 0)]);
    for second in 0..3_600 {
        let now = start + seconds(second);
        if let Some(Runner { unit, .. }) = rounds.next(now) {
            *looks.get_mut(&unit).expect("known") += 1;
            let processor = if unit == "busy" {
                second as f64 / 2.0
            } else {
                1.0
            };
            rounds.looked(&unit, used(processor), now);
        }
    }
    assert!((58..=61).contains(&looks["busy"]), "{looks:?}");
    assert!((6..=9).contains(&looks["idle"]), "{looks:?}");
}

#[tokio::test(start_paused = true)]
async fn among_more_than_there_is_time_for_the_busy_come_sooner_and_nobody_is_left_out() {
    let (mut rounds, start) = (Rounds::default(), Instant::now());
    let names: Vec<String> = (0..300).map(|number| format!("n{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    rounds.found(runners(&names), start);
    let mut looks: HashMap<String, u32> = HashMap::new();
    // An engine so slow that there is one look in five seconds.
    for second in (0..20_000).step_by(5) {
        let now = start + seconds(second);
        if let Some(Runner { unit, .. }) = rounds.next(now) {
            *looks.entry(unit.clone()).or_default() += 1;
            let processor = if unit == "n7" {
                second as f64 / 2.0
            } else {
                1.0
            };
            rounds.looked(&unit, used(processor), now);
        }
    }
    assert_eq!(looks.len(), 300);
    assert!(looks["n7"] >= 60, "{}", looks["n7"]);
    assert!((8..=20).contains(&looks["n8"]), "{}", looks["n8"]);
}

#[tokio::test(start_paused = true)]
async fn one_that_cannot_be_looked_at_holds_up_nobody_and_what_is_gone_is_forgotten() {
    let (mut rounds, start) = (Rounds::default(), Instant::now());
    rounds.found(runners(&["a", "b"]), start);
    let now = start + FIRST_AFTER;
    let first = rounds.next(now).expect("late").unit;
    assert_eq!(rounds.looked(&first, None, now), None);
    assert_ne!(rounds.next(now).expect("late").unit, first);
    rounds.found(runners(&["a"]), now);
    assert_eq!(rounds.units(), BTreeSet::from(["a".to_owned()]));
}
