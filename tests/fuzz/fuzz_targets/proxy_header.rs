//! The PROXY header: never a panic, and never more taken than there is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use usher::listener::fuzz::proxy_header;

fuzz_target!(|bytes: &[u8]| {
    if let Some(length) = proxy_header(bytes) {
        assert!(length <= bytes.len());
    }
});
