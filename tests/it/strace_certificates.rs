//! Crashes while a pair is written, at every step of it: no key is ever readable by others, a pair
//! that was there is still there and whole, and the next start cleans up.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::harness::client::tls;
use crate::harness::program::usher;
use crate::harness::{Installed, instance};

const HOST: &str = "congress.example.org";
/// Every call that changes a folder. strace counts each kind for itself: the n-th moment is when the
/// first of them is called for the n-th time.
const STEPS: &str = "mkdir,mkdirat,fchmod,fsync,renameat,renameat2,symlinkat,unlinkat";

/// Imports a pair as a script would, with this umask and what strace does to it.
fn import(installed: &Installed, umask: &str, inject: &str) -> Output {
    let inject = match inject {
        "none" => String::new(),
        inject => format!("-e inject={inject}"),
    };
    let script = format!(
        "umask {umask}; exec strace -f -o trace -e trace={STEPS} {inject} \
         \"$0\" cert import from --config usher.toml"
    );
    Command::new("sh")
        .args(["-c", &script])
        .arg(usher())
        .current_dir(installed.folder.path())
        .output()
        .expect("sh, with strace")
}

/// Everything below a folder, with its mode.
fn modes(folder: &Path) -> Vec<(PathBuf, u32)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        if metadata.is_dir() {
            found.extend(modes(&path));
        }
        found.push((path, metadata.permissions().mode() & 0o777));
    }
    found
}

/// The key of the pair that the name would be served with; exporting looks at the whole pair.
async fn key(installed: &Installed) -> Result<String, String> {
    let export = ["cert", "export", HOST, "--key"];
    let exported = installed.command(&export).await;
    let (_, key) = exported.out.split_once("PRIVATE KEY").unwrap_or_default();
    if exported.code == 0 {
        Ok(key.to_owned())
    } else {
        Err(exported.err)
    }
}

fn hidden(installed: &Installed) -> Vec<PathBuf> {
    let entries = fs::read_dir(installed.certs()).unwrap().flatten();
    let hidden = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with('.'));
    hidden.map(|entry| entry.path()).collect()
}

/// Writes a pair over another one (or over none) and dies at each step. Gives how many there were.
async fn dies_at_every_step(umask: &str, replaces: bool, every: usize) -> usize {
    let mut step: usize = 1;
    let mut cleaned = 0;
    loop {
        let installed = Installed::new("");
        installed.write(&instance("congress", &[([127, 0, 0, 1], 1).into()]));
        let from = installed.folder.path().join("from");
        let put = |end: u16| {
            let (chain, key) = installed.pki.pair_until(&[HOST], end);
            fs::create_dir_all(&from).unwrap();
            fs::write(from.join(format!("{HOST}.crt")), chain).unwrap();
            fs::write(from.join(format!("{HOST}.key")), key).unwrap();
        };
        if replaces {
            put(2090);
            let first = import(&installed, "022", "none");
            assert!(first.status.success(), "{first:?}");
        }
        let before = key(&installed).await;
        assert_eq!(before.is_ok(), replaces, "{before:?}");
        put(2095);
        let inject = format!("{STEPS}:signal=KILL:when={step}");
        let killed = import(&installed, umask, &inject);
        let died = !killed.status.success();

        for (path, mode) in modes(installed.folder.path()) {
            let inside = path.strip_prefix(installed.folder.path()).unwrap();
            let text = inside.display().to_string();
            let is_key = inside.starts_with("certs") && text.ends_with("key.pem");
            assert!(
                !is_key || mode == 0o600,
                "step {step}, umask {umask}: {text} {mode:o}"
            );
            let is_folder = text == "certs" || text == format!("certs/{HOST}");
            let whole = !died || replaces;
            assert!(
                !is_folder || !whole || mode == 0o755,
                "step {step}: {text} {mode:o}"
            );
        }
        let after = key(&installed).await;
        assert!(
            after.is_ok() || !replaces,
            "step {step}: the pair is gone: {after:?}"
        );
        if died && replaces && step.is_multiple_of(3) {
            let _usher = installed.start().await;
            tls(&installed, HOST, &["http/1.1"])
                .await
                .expect("served after the crash");
            assert_eq!(
                hidden(&installed),
                [""; 0].map(PathBuf::from),
                "step {step}"
            );
            cleaned += 1;
        }
        // Whatever it left, the next attempt is not held up by it.
        let again = import(&installed, umask, "none");
        assert!(again.status.success(), "step {step}: {again:?}");
        let last = key(&installed).await.expect("a pair");
        assert!(Ok(&last) != before.as_ref(), "step {step}: the newer one");
        if !died {
            assert!(!replaces || cleaned > 0, "starts were looked at");
            return step - 1;
        }
        step += every;
    }
}

#[tokio::test]
#[ignore = "needs strace"]
async fn a_crash_while_a_pair_is_replaced_leaves_one_whole_and_every_key_to_its_owner() {
    let steps = dies_at_every_step("000", true, 1).await;
    println!("killed at {steps} moments of a replacement");
    assert!(steps >= 6, "{steps}");
}

#[tokio::test]
#[ignore = "needs strace"]
async fn a_crash_while_the_first_pair_is_written_leaves_nothing_that_is_in_the_way() {
    let steps = dies_at_every_step("077", false, 1).await;
    println!("killed at {steps} moments of the writing of a first pair");
    assert!(steps >= 6, "{steps}");
}

#[tokio::test]
#[ignore = "needs strace"]
async fn a_file_system_without_an_exchange_gets_the_new_pair_all_the_same() {
    let installed = Installed::new("");
    installed.write(&instance("congress", &[([127, 0, 0, 1], 1).into()]));
    let from = installed.folder.path().join("from");
    let mut keys = Vec::new();
    for (end, inject) in [
        (2090, "none"),
        (2091, "renameat2:error=EINVAL"),
        (2092, "renameat2:error=ENOSYS"),
        (2093, "renameat2:error=EOPNOTSUPP"),
    ] {
        let (chain, key_pem) = installed.pki.pair_until(&[HOST], end);
        fs::create_dir_all(&from).unwrap();
        fs::write(from.join(format!("{HOST}.crt")), chain).unwrap();
        fs::write(from.join(format!("{HOST}.key")), key_pem).unwrap();
        let imported = import(&installed, "022", inject);
        assert!(imported.status.success(), "{inject}: {imported:?}");
        keys.push(key(&installed).await.expect("a pair"));
        assert_eq!(hidden(&installed), [""; 0].map(PathBuf::from), "{inject}");
    }
    keys.dedup();
    assert_eq!(keys.len(), 4, "each is another one");
}

#[tokio::test]
#[ignore = "needs strace"]
async fn a_disk_that_is_full_costs_nothing_that_was_there() {
    let installed = Installed::new("");
    installed.write(&instance("congress", &[([127, 0, 0, 1], 1).into()]));
    let from = installed.folder.path().join("from");
    let put = |end: u16| {
        let (chain, key) = installed.pki.pair_until(&[HOST], end);
        fs::create_dir_all(&from).unwrap();
        fs::write(from.join(format!("{HOST}.crt")), chain).unwrap();
        fs::write(from.join(format!("{HOST}.key")), key).unwrap();
    };
    put(2090);
    assert!(import(&installed, "022", "none").status.success());
    let before = key(&installed).await.expect("a pair");
    put(2095);
    for call in ["mkdirat", "fsync", "renameat2"] {
        let full = import(&installed, "022", &format!("{call}:error=ENOSPC:when=1"));
        let out = String::from_utf8_lossy(&full.stdout).into_owned();
        assert_eq!(full.status.code(), Some(1), "{call}: {full:?}");
        assert!(
            out.contains("cannot write") && out.contains("No space left"),
            "{call}: {out}"
        );
        assert_eq!(key(&installed).await.as_ref(), Ok(&before), "{call}");
    }
    assert!(import(&installed, "022", "none").status.success());
    assert_ne!(key(&installed).await.expect("a pair"), before);
}
