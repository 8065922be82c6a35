//! Files that a power cut leaves either as they were or as they are to be, with modes that hold
//! whatever the umask.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Writes a file that its owner alone reads, in folders that only its owner enters.
///
/// # Errors
/// The disk does not take it, or gives back something else. What was there before is there still.
pub fn keep(path: &Path, text: &str) -> io::Result<()> {
    make_dirs(folder_of(path))?;
    replace_file(path, text, 0o600)
}

/// Replaces a file in one step, in a folder that is there.
///
/// # Errors
/// The disk does not take it, or gives back something else. What was there before is there still.
pub fn replace_file(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let fresh = path.with_file_name(format!("{name}.new"));
    write_file(&fresh, text, mode)?;
    // A key that was not written whole would be found out when it is too late.
    if fs::read(&fresh)? != text.as_bytes() {
        return Err(io::Error::other(format!(
            "{} is not what was written; look whether the disk is well",
            fresh.display()
        )));
    }
    fs::rename(&fresh, path)?;
    sync(folder_of(path))
}

/// Writes a whole file that is on the disk when this returns.
fn write_file(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)?;
    // The mode of `open` holds only for new files and is cut by the umask.
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Makes the folder and those above it. A folder that is not in the one above it after a power cut
/// takes all that is inside with it.
fn make_dirs(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    make_dirs(folder_of(folder))?;
    make_dir(folder, 0o700)?;
    sync(folder_of(folder))
}

/// Makes a folder and its parents, if they are not there. One that is there keeps its mode.
pub fn make_dir(path: &Path, mode: u32) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(mode).create(path)?;
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// The folder that something is in; of a bare name the one usher works in.
fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    folder.unwrap_or_else(|| Path::new("."))
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// What the file says. `None`: it is not there.
pub fn kept(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Moves a file that cannot be used out of the way, and says where it is now. Nothing is deleted:
/// it may be all that is left of a key.
pub fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let aside = (1..)
        .map(|number: u32| path.with_file_name(format!("{name}.unusable-{number}")))
        .find(|aside| !aside.exists())
        .unwrap_or_else(|| unreachable!("numbers do not end before folders do"));
    fs::rename(path, &aside)?;
    Ok(aside)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_kept_is_its_owners_alone_and_what_is_set_aside_is_still_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a/b/key.pem");
        keep(&path, "one").expect("kept");
        keep(&path, "two").expect("kept");
        assert_eq!(kept(&path).expect("read").as_deref(), Some("two"));
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(&folder.path().join("a")), 0o700);
        assert_eq!(mode(&folder.path().join("a/b")), 0o700);

        let first = set_aside(&path).expect("moved");
        keep(&path, "three").expect("kept");
        let second = set_aside(&path).expect("moved");
        assert_eq!(kept(&path).expect("read"), None);
        assert_eq!(kept(&first).expect("read").as_deref(), Some("two"));
        assert_eq!(kept(&second).expect("read").as_deref(), Some("three"));
    }

    #[test]
    fn modes_hold_whatever_was_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret");
        fs::write(&path, "old").expect("written");
        fs::set_permissions(&path, Permissions::from_mode(0o666)).expect("mode");
        write_file(&path, "new", 0o600).expect("written");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
