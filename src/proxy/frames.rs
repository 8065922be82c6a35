//! Walks over websocket frames to know where one ends (RFC 6455 §5.2). Inside it looks for nothing but
//! the code of a close frame.
//!
//! A close frame of ours may be put between two frames and nowhere else.

const CLOSE: u8 = 0x8;

/// Where in its frames one direction of a websocket is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Frames {
    /// Bytes of a frame header so far, and how many it has in all.
    header: [u8; 14],
    filled: u8,
    /// Payload bytes still to come.
    payload: u64,
    opcode: u8,
    closed: bool,
    /// The first bytes of a close frame, which are its code.
    code: [u8; 2],
    code_filled: u8,
}

impl Frames {
    /// Walks over these bytes.
    pub(super) fn walk(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.payload > 0 {
                let here = u64::try_from(bytes.len())
                    .unwrap_or(u64::MAX)
                    .min(self.payload);
                self.payload -= here;
                let here = usize::try_from(here).unwrap_or(usize::MAX);
                let (inside, behind) = bytes.split_at_checked(here).unwrap_or((bytes, &[]));
                if self.opcode == CLOSE {
                    self.note_code(inside);
                }
                bytes = behind;
                self.note_end();
                continue;
            }
            if let (Some(slot), Some((byte, rest))) = (
                self.header.get_mut(usize::from(self.filled)),
                bytes.split_first(),
            ) {
                *slot = *byte;
                self.filled += 1;
                bytes = rest;
            }
            if self.filled >= 2 && self.filled == self.header_length() {
                self.opcode = self.header[0] & 0x0f;
                self.payload = self.payload_length();
                self.filled = 0;
                self.note_end();
            }
        }
    }

    fn note_code(&mut self, inside: &[u8]) {
        for byte in inside {
            let Some(place) = self.code.get_mut(usize::from(self.code_filled)) else {
                return;
            };
            *place = *byte;
            self.code_filled += 1;
        }
    }

    /// The code of the close frame that has gone by, where it was not masked: a server's.
    pub(super) fn code(&self) -> Option<u16> {
        (self.closed && self.code_filled == 2).then(|| u16::from_be_bytes(self.code))
    }

    fn note_end(&mut self) {
        if self.payload == 0 && self.opcode == CLOSE {
            self.closed = true;
        }
    }

    fn header_length(&self) -> u8 {
        let mask = if self.header[1] & 0x80 == 0 { 0 } else { 4 };
        let extended = match self.header[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + extended + mask
    }

    fn payload_length(&self) -> u64 {
        let [_, second, a, b, c, d, e, f, g, h, ..] = self.header;
        match second & 0x7f {
            126 => u64::from(u16::from_be_bytes([a, b])),
            127 => u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            short => u64::from(short),
        }
    }

    /// Whether the next byte begins a frame.
    pub(super) fn at_boundary(&self) -> bool {
        self.filled == 0 && self.payload == 0
    }

    /// Whether a whole close frame has gone by: nothing may follow it.
    pub(super) fn has_closed(&self) -> bool {
        self.closed
    }
}

/// A close frame from a server: unmasked (RFC 6455 §5.1, §5.5.1).
pub(super) fn close(code: u16) -> [u8; 4] {
    let [high, low] = code.to_be_bytes();
    [0x80 | CLOSE, 2, high, low]
}

/// A close frame from a client: masked, as every frame of a client. The mask hides nothing here,
/// so it may be zero.
pub(super) fn masked_close(code: u16) -> [u8; 8] {
    let [high, low] = code.to_be_bytes();
    [0x80 | CLOSE, 0x80 | 2, 0, 0, 0, 0, high, low]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(opcode: u8, masked: bool, length: usize) -> Vec<u8> {
        let mut bytes = vec![0x80 | opcode];
        let mask = if masked { 0x80 } else { 0 };
        match length {
            0..=125 => bytes.push(mask | u8::try_from(length).expect("short")),
            126..=0xffff => {
                bytes.push(mask | 126);
                bytes.extend(u16::try_from(length).expect("medium").to_be_bytes());
            }
            _ => {
                bytes.push(mask | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        if masked {
            bytes.extend([1, 2, 3, 4]);
        }
        bytes.extend(vec![0x88; length]);
        bytes
    }

    #[test]
    fn boundaries_are_found_however_the_bytes_arrive() {
        for length in [0, 1, 125, 126, 127, 1_000, 65_535, 65_536] {
            for masked in [false, true] {
                let bytes = [frame(1, masked, length), frame(2, masked, 3)].concat();
                let first = frame(1, masked, length).len();
                for step in [1, 7, 4_096] {
                    let mut frames = Frames::default();
                    let mut at = 0;
                    for part in bytes.chunks(step) {
                        frames.walk(part);
                        at += part.len();
                        let expected = at == first || at == bytes.len();
                        assert_eq!(frames.at_boundary(), expected, "{length} {masked} {at}");
                    }
                    assert!(
                        !frames.has_closed(),
                        "a payload full of 0x88 is no close frame"
                    );
                }
            }
        }
    }

    #[test]
    fn a_close_frame_is_noticed_when_it_is_whole() {
        let bytes = frame(CLOSE, true, 2);
        let mut frames = Frames::default();
        frames.walk(&bytes[..bytes.len() - 1]);
        assert!(!frames.has_closed());
        frames.walk(&bytes[bytes.len() - 1..]);
        assert!(frames.has_closed());
    }

    #[test]
    fn the_code_of_a_servers_close_frame_is_noticed_however_it_arrives() {
        let reason = [&[0x88, 6, 0x03, 0xf5][..], b"full"].concat();
        let text = frame(1, false, 300);
        for bytes in [&reason[..], &close(1013)[..]] {
            for step in [1, 3, 1_000] {
                let mut frames = Frames::default();
                for part in [&text, bytes].concat().chunks(step) {
                    assert_eq!(frames.code(), None);
                    frames.walk(part);
                }
                assert_eq!(frames.code(), Some(1013), "{step}");
            }
        }
        let mut frames = Frames::default();
        frames.walk(&[0x88, 0]);
        assert!(frames.has_closed());
        assert_eq!(frames.code(), None, "none was given");
    }

    #[test]
    fn our_own_close_frames_are_well_formed() {
        for bytes in [&close(1012)[..], &masked_close(1001)[..]] {
            let mut frames = Frames::default();
            frames.walk(bytes);
            assert!(frames.has_closed() && frames.at_boundary());
        }
        assert_eq!(close(1000), [0x88, 2, 0x03, 0xe8]);
    }
}
