//! What the library orders of the workshop.

use super::place::Place;
use super::root::Identity;

/// Below this the fields of an answer weigh more than what is saved.
const SMALLEST: u64 = 1024;
/// What takes brotli longer than half a minute is left as it is.
pub(super) const LARGEST: u64 = 8 << 20;

/// A file that somebody would like to have smaller.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) instance: String,
    pub(super) place: Place,
    pub(super) file: Identity,
}

/// Whether a file is worth compressing, and not too much work.
pub(super) fn is_of_size(file: &Identity) -> bool {
    (SMALLEST..=LARGEST).contains(&file.length())
}
