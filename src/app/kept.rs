//! The file that makes a restart of the control plane remember.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task;
use tracing::warn;

use crate::control::Kept;
use crate::durable;
use crate::shutdown::Shutdown;

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
        "what operators asked for (`usher scale`, `usher pause`) and what was saved is forgotten; \
         everything is served all the same"
    );
}

/// Keeps what changes, until shutdown.
pub(super) async fn follow(
    path: PathBuf,
    mut kept: watch::Receiver<Arc<Kept>>,
    mut shutdown: Shutdown,
) {
    // Told once, and again after it has worked.
    let mut told = false;
    loop {
        tokio::select! {
            biased;
            changed = kept.changed() => if changed.is_err() { return },
            () = shutdown.begun() => return,
        }
        let newest = Arc::clone(&kept.borrow_and_update());
        let path = path.clone();
        let shown = path.display().to_string();
        let written = task::spawn_blocking(move || {
            let text = serde_json::to_string(&*newest).map_err(io::Error::from)?;
            durable::keep(&path, &text)
        });
        match written.await {
            Ok(Ok(())) => told = false,
            Ok(Err(error)) if !told => {
                warn!(path = %shown, %error, "a restart will not remember what is asked for now; is the disk full?");
                told = true;
            }
            Ok(Err(_)) | Err(_) => {}
        }
    }
}
