//! A small file at once, where no shelf and no condition is worth the while.

use std::path::Path;

use bytes::Bytes;

use super::root::{Found, Root, RootError, read};

/// All of a regular file in a folder `within`, itself beneath `root`. Blocking.
///
/// # Errors
/// Whatever is not a readable file there, or is larger than `most` bytes.
pub fn small(root: &Path, within: &Path, name: &str, most: u64) -> Result<Bytes, RootError> {
    match Root::open(&root.into(), within)?.find(Path::new(name))? {
        Found::File(file) if file.length <= most => {
            let length = usize::try_from(file.length).unwrap_or(0);
            read(&file, 0, length).map_err(RootError::Io)
        }
        Found::File(_) | Found::Directory => Err(RootError::NotFound),
    }
}
