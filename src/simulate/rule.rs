//! What a rule of scaling sees, and what it says.

/// Says each second how many replicas there should be.
pub trait Rule {
    /// Whether its proxy lets handshakes in as fast as workers answer them, and no faster.
    fn admits(&self) -> bool;

    /// Whether a replica that is to go is drained first.
    fn drains(&self) -> bool;

    /// Whether a drained replica may close what is left on it.
    fn closes(&self, second: usize) -> bool {
        let _ = second;
        true
    }

    /// How many there are at the beginning, for so many who want to be connected.
    fn begins_with(&mut self, wanted: f64) -> u32;

    /// Webs and workers.
    fn tick(&mut self, glimpse: &Glimpse<'_>) -> Sizes;
}

/// What a rule asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sizes {
    pub webs: u32,
    pub workers: u32,
}

/// What a proxy sees of the stack in one second.
#[derive(Debug)]
pub struct Glimpse<'a> {
    pub second: usize,
    pub sessions: f64,
    /// Handshakes without an answer.
    pub pending: f64,
    /// Handshakes that the proxy holds back, and seconds that the first of them has waited.
    pub held: f64,
    pub longest_wait: f64,
    /// Requests without an answer.
    pub in_flight: f64,
    /// Handshakes that failed in this second, by the stack's fault.
    pub failed: f64,
    /// How long the slowest handshake of the last seconds took, if any was answered.
    pub answered_within: Option<f64>,
    /// And the slowest request.
    pub first_byte_within: Option<f64>,
    /// Webs that are not draining.
    pub webs: u32,
    pub ready_webs: u32,
    pub draining: u32,
    pub workers: u32,
    pub ready_workers: u32,
    /// Sessions on each ready web.
    pub per_web: &'a [f64],
    /// Seconds that the oldest message has waited.
    pub oldest: f64,
}

/// Workers for each web.
pub(super) const RATIO: u32 = 4;

/// A count of people or replicas.
pub(super) fn whole(amount: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates, and nothing is negative"
    )]
    let whole = amount as u32;
    whole
}
