//! Which folders are served, and which of them are made anew as a whole, by the plan in force.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::watch;

use crate::files::{Routes, Served, Set};
use crate::plan::{FileRoot, Listing, Plan, Target};

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

/// What the routes of all instances serve.
pub(super) fn served(plans: watch::Receiver<Arc<Plan>>) -> impl Fn() -> Routes + Send {
    move || {
        let plan = Arc::clone(&plans.borrow());
        let mut all = Routes::new();
        for (name, instance) in &plan.instances {
            let served = instance.routes.iter().filter_map(|route| {
                let served = match &route.target {
                    Target::File(FileRoot::At { root, path }) => Served::File {
                        root: root.clone(),
                        path: path.clone(),
                    },
                    Target::Files(FileRoot::At { root, path }, listing) => Served::Folder {
                        root: root.clone(),
                        path: path.clone(),
                        listed: *listing == Listing::Shown,
                    },
                    Target::File(FileRoot::InSet { root, set, .. })
                    | Target::Files(FileRoot::InSet { root, set, .. }, _) => Served::InSet(Set {
                        instance: name.to_string(),
                        root: root.clone(),
                        folder: set.clone(),
                    }),
                    // What has no place is known without looking.
                    _ => return None,
                };
                Some((route.prefix.to_string(), served))
            });
            all.insert(name.to_string(), served.collect());
        }
        all
    }
}
