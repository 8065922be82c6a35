//! Watches an HTTP/2 connection from outside: is a header block, or the preface, left hanging? Does
//! it send more frames than its streams justify?
//!
//! The framework reads frames without a deadline, and counts only some of them. Frames are only
//! walked over here, not understood: nine bytes of header, then a payload to skip (RFC 9113 §4.1).

use tokio::time::Instant;

use super::budget::{Budget, Exhausted};

const PREFACE: usize = 24;
const HEADER: usize = 9;
const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const PUSH_PROMISE: u8 = 0x5;
const CONTINUATION: u8 = 0x9;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// Both directions of a connection.
#[derive(Debug)]
pub(super) struct Frames {
    received: Walk,
    sent: Walk,
    /// A header block has begun and not ended.
    in_block: bool,
    budget: Budget,
    exhausted: Option<Exhausted>,
}

/// Where in its frames one direction is.
#[derive(Debug)]
struct Walk {
    /// Bytes to skip before the next frame header.
    skip: usize,
    header: [u8; HEADER],
    filled: usize,
    /// The kind of the frame being skipped.
    kind: Option<u8>,
    started: bool,
}

/// A frame whose header has passed.
#[derive(Clone, Copy, Debug)]
struct Frame {
    kind: u8,
    flags: u8,
    length: usize,
}

impl Frames {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            received: Walk::new(PREFACE),
            sent: Walk::new(0),
            in_block: false,
            budget: Budget::new(now),
            exhausted: None,
        }
    }

    /// Walks over bytes the client sent.
    ///
    /// # Errors
    /// When they are more frames than there is a reason for; it stays so.
    pub(super) fn received(&mut self, bytes: &[u8], now: Instant) -> Result<(), Exhausted> {
        let mut cost = 0;
        let in_block = &mut self.in_block;
        self.received.over(bytes, |frame| {
            if is_of_block(frame.kind) {
                *in_block = frame.flags & END_HEADERS == 0;
            }
            // The bytes of a body are bounded by their windows, and its end comes once.
            let is_body = frame.kind == DATA && (frame.length > 0 || frame.flags & END_STREAM != 0);
            cost += u32::from(!is_body);
        });
        self.spend(cost, now)
    }

    /// Walks over bytes that were sent to the client.
    pub(super) fn sent(&mut self, bytes: &[u8], now: Instant) {
        let mut resets = 0;
        let budget = &mut self.budget;
        self.sent.over(bytes, |frame| match frame.kind {
            HEADERS => budget.answered(),
            DATA => budget.sent_part(),
            // Whoever makes usher reset its streams works as little as who resets them himself.
            RST_STREAM => resets += 1,
            _ => {}
        });
        // Told at the next read.
        let _ = self.spend(resets, now);
    }

    fn spend(&mut self, cost: u32, now: Instant) -> Result<(), Exhausted> {
        if let Err(exhausted) = self.budget.spend(cost, now) {
            self.exhausted = Some(exhausted);
        }
        self.exhausted.map_or(Ok(()), Err)
    }

    /// Whether the peer owes the rest of something short: the preface, a frame header, a header
    /// block. The rest of a body has its own deadlines.
    pub(super) fn owes(&self) -> bool {
        let Walk {
            skip,
            filled,
            kind,
            started,
            ..
        } = self.received;
        !started || self.in_block || filled > 0 || (skip > 0 && kind.is_some_and(is_of_block))
    }

    /// Whether a frame of ours would stand between two others.
    pub(super) fn may_interject(&self) -> bool {
        self.sent.skip == 0 && self.sent.filled == 0
    }
}

impl Walk {
    fn new(preface: usize) -> Self {
        Self {
            skip: preface,
            header: [0; HEADER],
            filled: 0,
            kind: None,
            started: preface == 0,
        }
    }

    fn over(&mut self, mut bytes: &[u8], mut each: impl FnMut(Frame)) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let here = self.skip.min(bytes.len());
                self.skip -= here;
                bytes = bytes.get(here..).unwrap_or_default();
                self.started |= self.skip == 0;
                continue;
            }
            let here = (HEADER - self.filled).min(bytes.len());
            let (head, rest) = bytes.split_at(here);
            if let Some(slot) = self.header.get_mut(self.filled..self.filled + here) {
                slot.copy_from_slice(head);
            }
            self.filled += here;
            bytes = rest;
            if self.filled == HEADER {
                let [a, b, c, kind, flags, ..] = self.header;
                let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                self.filled = 0;
                self.skip = length;
                self.kind = Some(kind);
                each(Frame {
                    kind,
                    flags,
                    length,
                });
            }
        }
    }
}

fn is_of_block(kind: u8) -> bool {
    matches!(kind, HEADERS | PUSH_PROMISE | CONTINUATION)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let mut bytes = vec![
            0,
            0,
            u8::try_from(length).expect("short"),
            kind,
            flags,
            0,
            0,
            0,
            1,
        ];
        bytes.extend(vec![7; length]);
        bytes
    }

    fn after(parts: &[Vec<u8>]) -> Frames {
        let now = Instant::now();
        let mut frames = Frames::new(now);
        for byte in parts.concat() {
            assert_eq!(frames.received(&[byte], now), Ok(()));
        }
        frames
    }

    #[test]
    fn the_preface_is_owed_until_it_is_whole() {
        assert!(after(&[]).owes());
        assert!(after(&[vec![0; PREFACE - 1]]).owes());
        assert!(!after(&[vec![0; PREFACE]]).owes());
    }

    #[test]
    fn whole_frames_owe_nothing() {
        let preface = vec![0; PREFACE];
        let settings = frame(0x4, 0, 0);
        let headers = frame(HEADERS, END_HEADERS, 20);
        assert!(!after(&[preface, settings, headers]).owes());
    }

    #[test]
    fn a_header_block_is_owed_until_its_last_frame() {
        let preface = vec![0; PREFACE];
        let headers = frame(HEADERS, 0, 20);
        assert!(after(&[preface.clone(), headers.clone()]).owes());
        let end = frame(CONTINUATION, END_HEADERS, 5);
        assert!(!after(&[preface, headers, end]).owes());
    }

    #[test]
    fn half_a_body_is_not_owed() {
        let mut data = frame(0x0, 1, 30);
        data.truncate(HEADER + 7);
        assert!(!after(&[vec![0; PREFACE], data]).owes());
    }

    #[test]
    fn half_a_head_is_owed_however_it_is_split() {
        let whole: Vec<u8> = [vec![0; PREFACE], frame(HEADERS, END_HEADERS, 30)].concat();
        for cut in PREFACE + 1..whole.len() {
            let now = Instant::now();
            let mut frames = Frames::new(now);
            assert_eq!(frames.received(&whole[..cut], now), Ok(()));
            assert!(frames.owes(), "{cut}");
            assert_eq!(frames.received(&whole[cut..], now), Ok(()));
            assert!(!frames.owes(), "{cut}");
        }
    }

    /// How many of these frames pass.
    fn pass(kind: u8, flags: u8, length: usize) -> usize {
        let now = Instant::now();
        let mut frames = Frames::new(now);
        assert_eq!(frames.received(&[0; PREFACE], now), Ok(()));
        let each = frame(kind, flags, length);
        let passed = (0..5000).take_while(|_| frames.received(&each, now).is_ok());
        passed.count()
    }

    #[test]
    fn frames_that_bring_nothing_are_bounded_and_bodies_are_not() {
        let priority = 0x2;
        let settings = 0x4;
        let ping = 0x6;
        let window_update = 0x8;
        for (kind, length) in [
            (HEADERS, 20),
            (priority, 5),
            (RST_STREAM, 4),
            (settings, 0),
            (ping, 8),
            (window_update, 4),
            (CONTINUATION, 0),
            (DATA, 0),
            (0xee, 3),
        ] {
            assert_eq!(pass(kind, END_HEADERS, length), 1000, "{kind}");
        }
        assert_eq!(pass(DATA, 0, 100), 5000);
        assert_eq!(pass(DATA, END_STREAM, 0), 5000);
    }

    #[test]
    fn what_is_sent_pays_for_what_comes_and_resets_of_ours_cost() {
        let now = Instant::now();
        let mut frames = Frames::new(now);
        assert_eq!(frames.received(&[0; PREFACE], now), Ok(()));
        let answer = [frame(HEADERS, END_HEADERS, 30), frame(DATA, END_STREAM, 90)].concat();
        let request = frame(HEADERS, END_HEADERS | END_STREAM, 20);
        for _ in 0..5000 {
            assert_eq!(frames.received(&request, now), Ok(()));
            // However it is cut into writes.
            frames.sent(&answer[..13], now);
            assert!(!frames.may_interject());
            frames.sent(&answer[13..], now);
            assert!(frames.may_interject());
        }
        let mut frames = Frames::new(now);
        let reset = frame(RST_STREAM, 0, 4);
        for _ in 0..1001 {
            frames.sent(&reset, now);
        }
        assert_eq!(frames.received(&[0], now), Err(Exhausted));
    }
}
