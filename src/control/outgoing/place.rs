//! Where files lie, as this machine sees it.

use std::path::{Path, PathBuf};

use crate::inventory::{Stack, Volume};
use crate::plan::FileRoot;

/// A place that lies in a folder which is made anew as a whole.
pub(in crate::control) fn in_set(place: FileRoot, set: Option<&Path>) -> FileRoot {
    match (place, set) {
        (FileRoot::At { root, path }, Some(set)) => FileRoot::InSet {
            root,
            // The configuration has made sure that it does.
            path: path
                .strip_prefix(set)
                .map_or_else(|_| PathBuf::new(), Path::to_owned),
            set: set.to_owned(),
        },
        (place, _) => place,
    }
}

pub(in crate::control) fn volume_root(
    volume: &str,
    path: PathBuf,
    stack: Option<&Stack>,
) -> FileRoot {
    let Some(stack) = stack else {
        return FileRoot::Missing("the stack does not run".to_owned());
    };
    match stack.volumes.get(volume) {
        Some(Volume::At(root)) => FileRoot::At {
            root: root.clone(),
            path,
        },
        Some(Volume::Invisible { why }) => FileRoot::Missing(why.clone()),
        None => {
            let known: Vec<_> = stack.volumes.keys().map(String::as_str).collect();
            FileRoot::Missing(if known.is_empty() {
                format!("the stack has no volume `{volume}`")
            } else {
                format!(
                    "the stack has no volume `{volume}`; it has {}",
                    known.join(", ")
                )
            })
        }
    }
}
