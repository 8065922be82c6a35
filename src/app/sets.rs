//! Which folders are made anew as a whole, by the plan in force.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::watch;

use crate::files::Set;
use crate::plan::{FileRoot, Plan, Target};

/// The names of all instances, and their sets.
pub(super) fn sets(
    plans: watch::Receiver<Arc<Plan>>,
) -> impl Fn() -> (HashSet<String>, Vec<Set>) + Send {
    move || {
        let plan = Arc::clone(&plans.borrow());
        let names = plan.instances.keys().map(ToString::to_string).collect();
        let mut sets = Vec::new();
        for (name, instance) in &plan.instances {
            for route in &instance.routes {
                if let Target::File(FileRoot::InSet { root, set, .. })
                | Target::Files(FileRoot::InSet { root, set, .. }, _) = &route.target
                {
                    let set = Set {
                        instance: name.to_string(),
                        root: root.clone(),
                        folder: set.clone(),
                    };
                    if !sets.contains(&set) {
                        sets.push(set);
                    }
                }
            }
        }
        (names, sets)
    }
}
