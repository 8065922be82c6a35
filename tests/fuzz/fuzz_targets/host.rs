//! The host parser: what it takes it writes as it was meant, and takes again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use usher::names::Hostname;

fuzz_target!(|text: &str| {
    let Ok((host, port)) = Hostname::from_authority(text) else {
        return;
    };
    let written = match port {
        Some(port) => format!("{host}:{port}"),
        None => host.to_string(),
    };
    assert_eq!(Hostname::from_authority(&written), Ok((host.clone(), port)));
    let text = host.as_str();
    assert!(text.len() <= 253 && text == text.to_ascii_lowercase());
    assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
});
