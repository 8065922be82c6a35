//! Watches an HTTP/2 connection from outside: is a header block, or the preface, left hanging?
//!
//! The framework reads frames without a deadline. Frames are only walked over here, not understood:
//! nine bytes of header, then a payload to skip (RFC 9113 §4.1).

const PREFACE: usize = 24;
const HEADER: usize = 9;
const HEADERS: u8 = 0x1;
const PUSH_PROMISE: u8 = 0x5;
const CONTINUATION: u8 = 0x9;
const END_HEADERS: u8 = 0x4;

/// Where in its frames a connection is.
#[derive(Debug)]
pub(super) struct Frames {
    /// Bytes to skip before the next frame header.
    skip: usize,
    header: [u8; HEADER],
    filled: usize,
    /// The frame being skipped is part of a header block.
    skips_block: bool,
    /// A header block has begun and not ended.
    in_block: bool,
    started: bool,
}

impl Frames {
    pub(super) fn new() -> Self {
        Self {
            skip: PREFACE,
            header: [0; HEADER],
            filled: 0,
            skips_block: false,
            in_block: false,
            started: false,
        }
    }

    /// Walks over bytes the client sent.
    pub(super) fn walk(&mut self, mut bytes: &[u8]) {
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
                self.begin_frame();
            }
        }
    }

    fn begin_frame(&mut self) {
        let [a, b, c, kind, flags, ..] = self.header;
        self.filled = 0;
        self.skip = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        self.skips_block = matches!(kind, HEADERS | PUSH_PROMISE | CONTINUATION);
        if self.skips_block {
            self.in_block = flags & END_HEADERS == 0;
        }
    }

    /// Whether the peer owes the rest of something short: the preface, a frame header, a header
    /// block. The rest of a body has its own deadlines.
    pub(super) fn owes(&self) -> bool {
        !self.started || self.in_block || self.filled > 0 || (self.skips_block && self.skip > 0)
    }
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
        let mut frames = Frames::new();
        for byte in parts.concat() {
            frames.walk(&[byte]);
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
            let mut frames = Frames::new();
            frames.walk(&whole[..cut]);
            assert!(frames.owes(), "{cut}");
            frames.walk(&whole[cut..]);
            assert!(!frames.owes(), "{cut}");
        }
    }
}
