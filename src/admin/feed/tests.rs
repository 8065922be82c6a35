use super::super::fixture::{Nothing, instance, now, status};
use super::*;

fn feed() -> Arc<Feed> {
    let (_sender, status) = watch::channel(status(vec![instance("congress"), instance("quiet")]));
    Feed::new(&status, Arc::new(Nothing), Arc::new(Nothing))
}

fn next(records: &mut mpsc::Receiver<Bytes>) -> Bytes {
    records.try_recv().expect("a record")
}

#[test]
fn a_hundred_watchers_cost_one_serialisation() {
    let feed = feed();
    let topics = [
        Topic::Stats(Scope::All),
        Topic::Overview {
            scope: Scope::All,
            all: false,
        },
    ];
    let mut watchers: Vec<_> = (0..100)
        .map(|index| feed.watch(&topics[index % 2]).expect("room"))
        .collect();
    let mut rates = Rates::default();
    for second in 1..4 {
        let mut congress = instance("congress");
        congress.websockets = second;
        let newer = status(vec![congress, instance("quiet")]);
        let snapshot = feed.observe(
            now() + Duration::from_secs(second.into()),
            newer,
            &mut rates,
        );
        feed.publish(snapshot);
    }
    let records: Vec<Vec<Bytes>> = watchers
        .iter_mut()
        .map(|watcher| (0..4).map(|_| next(watcher)).collect())
        .collect();
    for (index, own) in records.iter().enumerate() {
        let first = &records[index % 2];
        for (record, of_first) in own.iter().zip(first) {
            // Not only the same text: the very same memory.
            assert_eq!(record.as_ptr(), of_first.as_ptr());
        }
    }
    let text = |record: &Bytes| String::from_utf8_lossy(record).into_owned();
    let (stats, page) = (text(&records[0][3]), text(&records[1][3]));
    assert!(
        stats.contains("\"websockets\":3") && !stats.contains("quiet"),
        "{stats}"
    );
    assert!(
        page.contains("row-congress") && !page.contains("row-quiet"),
        "{page}"
    );
}

#[test]
fn whoever_does_not_read_is_left_behind_and_others_are_not() {
    let feed = feed();
    let topic = Topic::Stats(Scope::All);
    let mut mute = feed.watch(&topic).expect("room");
    let mut reads = feed.watch(&topic).expect("room");
    let mut rates = Rates::default();
    for second in 0..40 {
        let newer = status(vec![instance("congress")]);
        let snapshot = feed.observe(now() + Duration::from_secs(second), newer, &mut rates);
        feed.publish(snapshot);
        next(&mut reads);
    }
    let mut kept = 0;
    while mute.try_recv().is_ok() {
        kept += 1;
    }
    assert_eq!(kept, QUEUE);
    assert!(mute.is_closed(), "his stream ends");
    assert!(!reads.is_closed());
}

#[test]
fn there_is_a_bound_on_watchers_and_whoever_leaves_makes_room() {
    let feed = feed();
    let topic = Topic::Stats(Scope::All);
    let mut watchers: Vec<_> = (0..MOST_WATCHERS)
        .map_while(|_| feed.watch(&topic))
        .collect();
    assert_eq!(watchers.len(), MOST_WATCHERS);
    assert!(feed.watch(&topic).is_none());
    watchers.pop();
    assert!(feed.watch(&topic).is_some());
}
