//! Follows the messages of one HTTP/1 connection, so that every head is seen where it begins.
//!
//! Pure: bytes in, how many of them may pass out.

use super::head::{Framing, Refusal, Verdict, inspect, is_token};

/// Where in its messages a connection is.
#[derive(Debug)]
pub(super) struct Guard {
    state: State,
    /// Bytes of a head that were looked at without finding its end.
    seen: usize,
}

#[derive(Debug)]
enum State {
    /// A head is awaited or incomplete.
    Head,
    /// So many bytes of a body are to come.
    Length(u64),
    Chunked(Chunks),
    /// The head was a handshake, or was refused: nothing passes any more.
    Ended,
}

/// What may be done with the bytes at hand.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// More bytes are needed.
    More,
    /// These many are no part of any message.
    Skip(usize),
    /// These many may be passed on.
    Pass(usize),
    /// These many are the head of a websocket handshake.
    Handshake(usize),
    Refuse(Refusal),
}

impl Guard {
    pub(super) fn new() -> Self {
        Self {
            state: State::Head,
            seen: 0,
        }
    }

    /// Whether a message has ended and none has begun.
    pub(super) fn is_between(&self) -> bool {
        matches!(self.state, State::Head) && self.seen == 0
    }

    /// Whether the next byte belongs to a head.
    pub(super) fn in_head(&self) -> bool {
        matches!(self.state, State::Head)
    }

    /// Says what to do with `bytes`, which begin where the last step ended. Never says to pass
    /// bytes of two messages at once.
    pub(super) fn step(&mut self, bytes: &[u8]) -> Step {
        if bytes.is_empty() {
            return Step::More;
        }
        match &mut self.state {
            State::Ended => Step::More,
            State::Length(left) => {
                let here = u64::try_from(bytes.len()).unwrap_or(u64::MAX).min(*left);
                *left -= here;
                if *left == 0 {
                    self.state = State::Head;
                }
                Step::Pass(usize::try_from(here).unwrap_or(bytes.len()))
            }
            State::Chunked(chunks) => match chunks.walk(bytes) {
                Ok((length, ended)) => {
                    if ended {
                        self.state = State::Head;
                    }
                    Step::Pass(length)
                }
                Err(why) => self.refuse(Refusal::Ambiguous(why)),
            },
            State::Head => match inspect(bytes, self.seen) {
                Verdict::More => {
                    self.seen = bytes.len();
                    Step::More
                }
                Verdict::Head { skip, .. } if skip > 0 => {
                    self.seen = 0;
                    Step::Skip(skip)
                }
                Verdict::Head {
                    length,
                    body,
                    websocket,
                    ..
                } => {
                    self.seen = 0;
                    if websocket {
                        self.state = State::Ended;
                        return Step::Handshake(length);
                    }
                    self.state = match body {
                        Framing::Chunked => State::Chunked(Chunks::default()),
                        Framing::Length(0) => State::Head,
                        Framing::Length(length) => State::Length(length),
                    };
                    Step::Pass(length)
                }
                Verdict::Refuse(refusal) => self.refuse(refusal),
            },
        }
    }

    pub(super) fn refuse(&mut self, refusal: Refusal) -> Step {
        self.state = State::Ended;
        Step::Refuse(refusal)
    }
}

/// Walks a chunked body to its end (RFC 9112 §7.1), byte by byte and strictly.
#[derive(Debug, Default)]
pub struct Chunks {
    at: At,
    /// Of the chunk's size as far as it was read, or of its data as far as it was not.
    count: u64,
    /// Bytes of the line or trailer section.
    line: usize,
}

#[derive(Clone, Copy, Debug, Default)]
enum At {
    #[default]
    Size,
    Extension,
    SizeEnd,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
}

const LONGEST_CHUNK_LINE: usize = 1024;
const LONGEST_TRAILERS: usize = 8 * 1024;

impl Chunks {
    /// How many of these bytes belong to the body, and whether it ends with them.
    ///
    /// # Errors
    /// The part of the framing that is none.
    pub fn walk(&mut self, bytes: &[u8]) -> Result<(usize, bool), &'static str> {
        let mut index = 0;
        while let Some(byte) = bytes.get(index).copied() {
            if let At::Data = self.at {
                let here = u64::try_from(bytes.len() - index)
                    .unwrap_or(u64::MAX)
                    .min(self.count);
                self.count -= here;
                index += usize::try_from(here).unwrap_or(usize::MAX);
                if self.count == 0 {
                    self.at = At::DataCr;
                }
                continue;
            }
            index += 1;
            self.at = self.next(byte)?;
            if let (At::EndLf, b'\n') = (self.at, byte) {
                return Ok((index, true));
            }
        }
        Ok((index, false))
    }

    fn next(&mut self, byte: u8) -> Result<At, &'static str> {
        self.line += 1;
        Ok(match (self.at, byte) {
            (At::Size, b'\r' | b';') if self.line > 1 => {
                if byte == b'\r' {
                    At::SizeEnd
                } else {
                    At::Extension
                }
            }
            (At::Size, _) => {
                let digit = char::from(byte).to_digit(16).ok_or("chunk size")?;
                // Sixteen digits are all that a length can have.
                if self.line > 16 {
                    return Err("chunk size");
                }
                self.count = self.count << 4 | u64::from(digit);
                At::Size
            }
            (At::Extension, b'\r') => At::SizeEnd,
            (At::Extension, _) if byte.is_ascii_control() && byte != b'\t' => {
                return Err("chunk extension");
            }
            (At::Extension, _) if self.line <= LONGEST_CHUNK_LINE => At::Extension,
            (At::SizeEnd, b'\n') => {
                self.line = 0;
                if self.count == 0 {
                    At::TrailerStart
                } else {
                    At::Data
                }
            }
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => {
                self.line = 0;
                At::Size
            }
            (At::TrailerStart, b'\r') => At::EndLf,
            (At::EndLf, b'\n') => At::EndLf,
            // RFC 9112 §7.1.2: trailers are field lines, and as strict as those of a head.
            (At::TrailerStart | At::TrailerName, _)
                if self.line <= LONGEST_TRAILERS && is_token(byte) =>
            {
                At::TrailerName
            }
            (At::TrailerName, b':') => At::TrailerValue,
            (At::TrailerValue, b'\r') => At::TrailerLf,
            (At::TrailerValue, _)
                if self.line <= LONGEST_TRAILERS && (byte == b'\t' || !byte.is_ascii_control()) =>
            {
                At::TrailerValue
            }
            (At::TrailerLf, b'\n') => At::TrailerStart,
            _ => return Err("chunk framing"),
        })
    }
}

#[cfg(test)]
mod tests;
