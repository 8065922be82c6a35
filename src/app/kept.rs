//! The file that makes a restart of the control plane remember.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task;
use tokio::time::sleep;
use tracing::warn;

use crate::control::Kept;
use crate::durable;

/// Until it is tried again to keep what could not be kept.
const AGAIN: Duration = Duration::from_secs(10);

pub(super) fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("control.json")
}

/// Reads what an earlier process left. A file that cannot be read is moved aside and told: usher
/// serves without it.
pub(super) fn read(path: &Path) -> Kept {
    let text = match durable::kept(path) {
        Ok(Some(text)) => text,
        Ok(None) => return Kept::default(),
        Err(error) => {
            forgotten(path, &error);
            return Kept::default();
        }
    };
    serde_json::from_str(&text).unwrap_or_else(|error| {
        forgotten(path, &error);
        if let Err(error) = durable::set_aside(path) {
            warn!(path = %path.display(), %error, "cannot be moved aside");
        }
        Kept::default()
    })
}

fn forgotten(path: &Path, error: &dyn std::error::Error) {
    warn!(
        path = %path.display(),
        %error,
        "what operators asked for (`usher scale`, `usher pause`), what was saved and who had which name \
         is forgotten; everything is served all the same"
    );
}

/// Keeps what changes, until the control plane has handed out its last. `unkept`: why that cannot be
/// done, while it cannot.
pub(super) async fn follow(
    path: PathBuf,
    mut kept: watch::Receiver<Arc<Kept>>,
    unkept: watch::Sender<Option<String>>,
) {
    loop {
        // A disk may have room again without anybody asking for anything.
        let failed = unkept.borrow().is_some();
        let again = async {
            match failed {
                true => sleep(AGAIN).await,
                false => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            changed = kept.changed() => if changed.is_err() { return },
            () = again => {}
        }
        let newest = Arc::clone(&kept.borrow_and_update());
        let path = path.clone();
        let shown = path.display().to_string();
        let written = task::spawn_blocking(move || {
            let text = serde_json::to_string(&*newest).map_err(io::Error::from)?;
            durable::keep(&path, &text)
        });
        // Who does not come back was ended by shutdown.
        let Ok(written) = written.await else { return };
        // Told once, and again after it has worked.
        let was_well = unkept.borrow().is_none();
        if let (Err(error), true) = (&written, was_well) {
            warn!(path = %shown, %error, "a restart will not remember what is asked for now; is the disk full?");
        }
        let why = written
            .err()
            .map(|error| format!("{shown}: {error}; is the disk full?"));
        unkept.send_if_modified(|known| {
            let new = *known != why;
            *known = why;
            new
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_kept_is_said_and_kept_as_soon_as_it_can_be() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path().join("state");
        // A file where the folder should be.
        std::fs::write(&state, "").expect("written");
        let (kept, keeping) = watch::channel(Arc::new(Kept::default()));
        let (unkept, mut why) = watch::channel(None);
        let task = tokio::spawn(follow(path(&state), keeping, unkept));
        kept.send_replace(Arc::default());
        let told = why.wait_for(Option::is_some).await.expect("told").clone();
        let told = told.unwrap_or_default();
        assert!(told.contains("state/control.json"), "{told}");
        std::fs::remove_file(&state).expect("removed");
        std::fs::create_dir(&state).expect("made");
        // Nobody asks for anything meanwhile.
        why.wait_for(Option::is_none).await.expect("told");
        assert!(path(&state).exists());
        drop(kept);
        task.await.expect("ended");
    }
}
