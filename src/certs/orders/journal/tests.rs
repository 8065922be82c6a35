use std::num::NonZeroU32;
use std::time::SystemTime;

use super::*;

fn lineage(names: &[&str]) -> Lineage {
    Lineage::new(
        names.iter().map(|name| name.parse().expect("a name")),
        false,
    )
    .expect("a lineage")
}

fn directory(url: &str) -> Directory {
    Directory {
        name: "ca".into(),
        url: url.into(),
        ca_bundle: None,
        external_account: None,
        profile: None,
        requests_per_second: NonZeroU32::MIN,
        rate_limits: false,
        caa_issuer: None,
    }
}

fn journal(state: &Path, names: &[&str]) -> Journal {
    let authorities = Authorities::new(|| SystemTime::UNIX_EPOCH);
    Journal::new(
        state,
        &lineage(names),
        &directory("https://ca.example.org/dir"),
        &authorities,
    )
}

#[tokio::test]
async fn what_was_written_is_read_after_a_restart_and_nothing_is_after_the_end() {
    let state = tempfile::tempdir().expect("a folder");
    let names = ["a.example.org", "*.a.example.org"];
    let before = journal(state.path(), &names);
    assert!(!before.resumes());
    before.keep_key("the key".into()).await.expect("kept");
    assert!(!before.resumes(), "a key alone saves no order");
    assert!(unfinished(state.path()).is_empty());
    before.ordered("https://ca/o/1".into()).await.expect("kept");
    before.finalizing().await.expect("kept");
    before.keep_chain("the chain".into()).await.expect("kept");

    let after = journal(state.path(), &names);
    assert!(after.resumes());
    let written = after.read().await.expect("read");
    assert_eq!(written.key.as_deref(), Some("the key"));
    assert_eq!(written.order.as_deref(), Some("https://ca/o/1"));
    assert_eq!(written.chain.as_deref(), Some("the chain"));
    assert_eq!(unfinished(state.path()), [lineage(&names)]);

    after.done();
    assert!(!after.resumes());
    assert!(unfinished(state.path()).is_empty());
    assert!(after.read().await.expect("read").key.is_none());
}

#[tokio::test]
async fn another_set_of_names_or_another_directory_is_another_order() {
    let state = tempfile::tempdir().expect("a folder");
    let one = journal(state.path(), &["a.example.org", "b.example.org"]);
    one.keep_key("one".into()).await.expect("kept");
    one.ordered("https://ca/o/1".into()).await.expect("kept");
    let other = journal(state.path(), &["a.example.org", "c.example.org"]);
    assert!(!other.resumes());
    let elsewhere = Journal::new(
        state.path(),
        &lineage(&["a.example.org", "b.example.org"]),
        &directory("https://other.example.org/dir"),
        &Authorities::new(|| SystemTime::UNIX_EPOCH),
    );
    assert!(!elsewhere.resumes());
}

#[tokio::test]
async fn a_corrupt_journal_is_moved_aside_and_its_key_stays() {
    let state = tempfile::tempdir().expect("a folder");
    for garbage in [&b"{"[..], b"", b"\xff\xfe", b"[1]"] {
        let journal = journal(state.path(), &["a.example.org"]);
        journal.keep_key("the key".into()).await.expect("kept");
        journal
            .ordered("https://ca/o/1".into())
            .await
            .expect("kept");
        fs::write(journal.folder().join(ORDER), garbage).expect("written");
        assert!(!journal.resumes());
        let written = journal.read().await.expect("read");
        assert_eq!(written.order, None);
        assert_eq!(written.key.as_deref(), Some("the key"));
    }
    let folder = journal(state.path(), &["a.example.org"]).folder;
    let aside = entries(&folder)
        .into_iter()
        .filter(|path| path.to_string_lossy().contains("unusable"))
        .count();
    assert_eq!(aside, 4);
}

#[tokio::test]
async fn an_order_that_the_disk_did_not_take_is_gone_on_with_by_this_process() {
    let state = tempfile::tempdir().expect("a folder");
    let journal = journal(state.path(), &["a.example.org"]);
    // A file where the folder should be.
    fs::write(state.path().join("orders"), "").expect("written");
    let refused = journal.ordered("https://ca/o/1".into()).await;
    refused.expect_err("no folder");
    assert!(journal.resumes());
    fs::remove_file(state.path().join("orders")).expect("removed");
    let written = journal.read().await.expect("read");
    assert_eq!(written.order.as_deref(), Some("https://ca/o/1"));
}
