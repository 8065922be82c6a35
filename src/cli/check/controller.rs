//! The control plane as a look has it: it is told what there is, and nothing that it decides is done.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Instant;

use crate::config::Config;
use crate::config::watch::Current;
use crate::control::{Controller, EngineFacts, Event, Now, QUIET};
use crate::engine::Listing;
use crate::host::Host;
use crate::inventory::Inventory;

/// An engine that nothing is asked of.
const NOBODY: EngineFacts = EngineFacts {
    kind: "none",
    starts_from_nothing: false,
    shared: false,
    quiet: QUIET,
};

fn current(config: &Arc<Config>) -> Current {
    Current {
        config: Arc::clone(config),
        issues: Arc::from([]),
        last_reload: Ok(()),
    }
}

/// What usher would know of the configuration alone.
pub(super) fn of_config(config: &Arc<Config>, now: Now) -> Controller {
    Controller::new(current(config), NOBODY, now)
}

/// What usher would know of this machine and of what its engine lists.
pub(super) fn listed_by(config: &Arc<Config>, inventory: Inventory) -> Controller {
    let now = now();
    let mut controller = of_config(config, now);
    controller.take(
        now,
        Event::Listing(Listing {
            inventory: Some(Arc::new(inventory)),
            last_sync: Some(now.wall),
            error: None,
        }),
    );
    controller.take(now, Event::Host(Host::now(Path::new("/"))));
    controller
}

#[expect(clippy::disallowed_methods, reason = "the clock of a command")]
pub(super) fn now() -> Now {
    Now {
        at: Instant::now(),
        wall: SystemTime::now(),
    }
}
