//! The head guard: however the bytes of a connection are cut, it comes to the same end, and lets
//! the same bytes through as long as nothing is refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use usher::listener::fuzz::{End, passed};

fuzz_target!(|bytes: &[u8]| {
    let whole = passed(bytes, bytes.len().max(1));
    for chunk in [1, 7] {
        let parts = passed(bytes, chunk);
        assert_eq!(parts.end, whole.end, "in parts of {chunk}");
        // Of a body that turns out to be none, what came before has gone already.
        assert!(parts.end == End::Refused || parts.length == whole.length);
    }
});
