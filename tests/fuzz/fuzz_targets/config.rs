//! The configuration: any text is either understood or refused with an issue, and never a panic.
#![no_main]

use std::fs;

use libfuzzer_sys::fuzz_target;
use usher::config::{Level, load};

fuzz_target!(|text: &str| {
    // Includes would read the machine's own files.
    if text.contains("include") {
        return;
    }
    let path = std::env::temp_dir().join(format!("usher-fuzz-{}.toml", std::process::id()));
    if fs::write(&path, text).is_err() {
        return;
    }
    let loaded = load(&path, None);
    let errors = loaded.issues.iter().any(|issue| issue.level == Level::Error);
    assert!(loaded.config.is_some() || errors, "refused without a reason");
});
