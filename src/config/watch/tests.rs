use std::fs;

use super::*;
use crate::shutdown;

fn tenant(name: &str) -> String {
    format!(
        "[[instance]]\nname = \"{name}\"\ndomains = [\"{name}.example.org\"]\n[instance.service.web]\nrole = \"sessions\"\n"
    )
}

struct Following {
    folder: tempfile::TempDir,
    current: watch::Receiver<Current>,
    requests: mpsc::Sender<Reload>,
    _trigger: shutdown::Trigger,
    _task: tokio::task::JoinSet<()>,
}

impl Following {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("usher.toml");
        fs::write(&path, text).expect("written");
        let loaded = load(&path, None);
        let (sender, current) = watch::channel(Current {
            config: Arc::new(loaded.config.expect("good")),
            issues: loaded.issues.into(),
            last_reload: Ok(()),
        });
        let (requests, receiver) = mpsc::channel(4);
        let (trigger, shutdown) = shutdown::channel();
        let mut task = tokio::task::JoinSet::new();
        task.spawn(follow(path, loaded.seen, sender, receiver, shutdown));
        Self {
            folder,
            current,
            requests,
            _trigger: trigger,
            _task: task,
        }
    }

    fn write(&self, text: &str) {
        fs::write(self.folder.path().join("usher.toml"), text).expect("written");
    }

    async fn reload(&self, force: bool) -> Outcome {
        let (reply, outcome) = oneshot::channel();
        self.requests
            .send(Reload { force, reply })
            .await
            .expect("following");
        outcome.await.expect("answered")
    }

    fn names(&self) -> Vec<String> {
        self.current
            .borrow()
            .config
            .instances
            .keys()
            .map(ToString::to_string)
            .collect()
    }
}

#[tokio::test]
async fn a_changed_file_is_applied_without_being_asked() {
    let mut following = Following::new(&tenant("a"));
    following.write(&format!("{}{}", tenant("a"), tenant("b")));
    let changed = following
        .current
        .wait_for(|current| current.config.instances.len() == 2);
    tokio::time::timeout(Duration::from_secs(9), changed)
        .await
        .expect("within three times the promised three seconds")
        .expect("following");
    assert!(following.current.borrow().last_reload.is_ok());
}

#[tokio::test]
async fn a_broken_file_keeps_what_is_in_force_and_says_why() {
    let following = Following::new(&tenant("a"));
    following.write("[[instance]\n");
    let outcome = following.reload(false).await;
    assert!(!outcome.applied);
    assert!(
        outcome
            .lines
            .iter()
            .any(|line| line.contains("usher.toml:1")),
        "{outcome:?}"
    );
    assert_eq!(following.names(), ["a"]);
    assert!(following.current.borrow().last_reload.is_err());
}

#[tokio::test]
async fn a_reload_says_what_changed() {
    let following = Following::new(&format!("{}{}", tenant("a"), tenant("b")));
    following.write(&format!(
        "[listen]\nhttp = []\n{}{}",
        tenant("b"),
        tenant("c")
    ));
    let outcome = following.reload(false).await;
    assert_eq!(
        outcome.lines,
        [
            "instance a: removed",
            "instance c: added",
            "listen.http: changed; takes effect at the next start",
        ]
    );
    let again = following.reload(false).await;
    assert_eq!(
        again.lines,
        ["nothing changed: the file says what is in force"]
    );
}

#[tokio::test]
async fn losing_most_names_needs_force() {
    let many: String = ["a", "b", "c", "d", "e", "f"].map(tenant).concat();
    let following = Following::new(&many);
    following.write(&tenant("a"));
    let refused = following.reload(false).await;
    assert!(!refused.applied);
    assert!(
        refused
            .lines
            .last()
            .expect("a reason")
            .contains("5 of 6 names"),
        "{refused:?}"
    );
    assert_eq!(following.names().len(), 6);
    assert!(following.reload(true).await.applied);
    assert_eq!(following.names(), ["a"]);
}
