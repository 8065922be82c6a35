//! The trace that a request belongs to, by W3C Trace Context (level 1).
//!
//! A good `traceparent` is continued; without one, or with one that is none, a trace begins here.
//! It is the same id in the access log, at the replica, and wherever the replica passes it on to.

use std::num::{NonZeroU64, NonZeroU128};
use std::str;

use http::header::{HeaderMap, HeaderName, HeaderValue};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// `00-` trace id `-` parent id `-` flags (§3.2.2).
const LENGTH: usize = 55;
const TRACE_ID: std::ops::Range<usize> = 3..35;
const PARENT_ID: std::ops::Range<usize> = 36..52;
const FLAGS: std::ops::Range<usize> = 53..55;
/// The one flag that level 1 knows; others are not passed on (§3.2.2.5).
const SAMPLED: u8 = 1;

/// What the replica is told, with usher as the parent. The same for every replica that is tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trace {
    text: [u8; LENGTH],
    /// Whether it began before usher.
    continues: bool,
}

impl Trace {
    /// The trace of a request with these fields.
    pub(super) fn of(fields: &HeaderMap) -> Self {
        let sent = sent(fields);
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        match sent {
            Some(sent) => {
                text[TRACE_ID].copy_from_slice(&sent[TRACE_ID]);
                let flags = u8::from(is_sampled(sent)) * SAMPLED;
                write_hex(&mut text[FLAGS], &[flags]);
            }
            None => {
                // Not sampled: whether there is something to record is for whoever records.
                let id: NonZeroU128 = rand::random();
                write_hex(&mut text[TRACE_ID], &id.get().to_be_bytes());
            }
        }
        let parent: NonZeroU64 = rand::random();
        write_hex(&mut text[PARENT_ID], &parent.get().to_be_bytes());
        Self {
            text,
            continues: sent.is_some(),
        }
    }

    /// 32 digits of hex.
    pub(super) fn id(&self) -> &str {
        str::from_utf8(&self.text[TRACE_ID]).unwrap_or_default()
    }

    /// Puts it into a request for a replica. `tracestate` means nothing without its trace (§3.3).
    pub(super) fn set(&self, fields: &mut HeaderMap) {
        if let Ok(value) = HeaderValue::from_bytes(&self.text) {
            fields.insert(TRACEPARENT, value);
        }
        if !self.continues {
            fields.remove(TRACESTATE);
        }
    }
}

/// A `traceparent` that is one: sent once, with ids that are not zero (§3.2.2, §4.3).
fn sent(fields: &HeaderMap) -> Option<&[u8; LENGTH]> {
    let mut values = fields.get_all(TRACEPARENT).iter();
    let value = values.next()?.as_bytes();
    if values.next().is_some() {
        return None;
    }
    let (text, rest) = value.split_first_chunk::<LENGTH>()?;
    // Versions to come may say more, behind another dash; 255 is none.
    let known = match &text[..2] {
        b"00" => rest.is_empty(),
        b"ff" => false,
        _ => rest.first().is_none_or(|byte| *byte == b'-'),
    };
    let digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let good = text.iter().enumerate().all(|(at, byte)| match at {
        2 | 35 | 52 => *byte == b'-',
        _ => digit(byte),
    });
    let zero = |part: &[u8]| part.iter().all(|byte| *byte == b'0');
    (known && good && !zero(&text[TRACE_ID]) && !zero(&text[PARENT_ID])).then_some(text)
}

fn is_sampled(text: &[u8; LENGTH]) -> bool {
    let last = char::from(text[LENGTH - 1])
        .to_digit(16)
        .unwrap_or_default();
    last & u32::from(SAMPLED) != 0
}

fn write_hex(into: &mut [u8], bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in into.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const PARENT: &str = "00f067aa0ba902b7";

    fn fields(parents: &[&str]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for parent in parents {
            fields.append(TRACEPARENT, parent.parse().expect("a value"));
        }
        fields.insert(TRACESTATE, HeaderValue::from_static("vendor=1"));
        fields
    }

    /// Trace id, parent id and flags for the replica, and whether `tracestate` goes on.
    fn told(parents: &[&str]) -> (String, String, String, bool) {
        let mut fields = fields(parents);
        let trace = Trace::of(&fields);
        trace.set(&mut fields);
        let values: Vec<_> = fields.get_all(TRACEPARENT).iter().collect();
        assert_eq!(values.len(), 1, "{values:?}");
        let text = values[0].to_str().expect("text");
        assert!(sent(&fields).is_some(), "usher's own is good: {text}");
        let parts: Vec<_> = text.split('-').map(ToOwned::to_owned).collect();
        assert_eq!((parts.len(), parts[0].as_str()), (4, "00"), "{text}");
        assert_eq!(parts[1], trace.id());
        let [_, id, parent, flags] = parts.try_into().expect("four");
        (id, parent, flags, fields.contains_key(TRACESTATE))
    }

    #[test]
    fn a_good_parent_is_continued_with_usher_as_the_new_one() {
        for (sent, flags) in [
            (format!("00-{ID}-{PARENT}-01"), "01"),
            (format!("00-{ID}-{PARENT}-00"), "00"),
            // Flags that nobody knows yet are not passed on, and do not hide the one that is known.
            (format!("00-{ID}-{PARENT}-ff"), "01"),
            (format!("00-{ID}-{PARENT}-fe"), "00"),
            (format!("cc-{ID}-{PARENT}-01"), "01"),
            (format!("cc-{ID}-{PARENT}-01-what-comes"), "01"),
        ] {
            let (id, parent, told, state) = told(&[&sent]);
            assert_eq!(
                (id.as_str(), told.as_str(), state),
                (ID, flags, true),
                "{sent}"
            );
            assert_ne!(parent, PARENT, "{sent}");
        }
    }

    #[test]
    fn what_is_no_parent_is_not_believed_and_its_state_goes_with_it() {
        let good = format!("00-{ID}-{PARENT}-01");
        let zero_id = "0".repeat(32);
        for sent in [
            String::new(),
            "00".to_owned(),
            good[..54].to_owned(),
            format!("{good}-"),
            format!("{good}-more"),
            format!("{good}0"),
            format!("cc-{ID}-{PARENT}-01.what-comes"),
            format!("ff-{ID}-{PARENT}-01"),
            format!("00-{zero_id}-{PARENT}-01"),
            format!("00-{ID}-0000000000000000-01"),
            good.replace('f', "F"),
            good.replace('-', "_"),
            format!("00-{ID}-{PARENT}-0x"),
            format!("0x-{ID}-{PARENT}-01"),
            format!(" {good}"),
        ] {
            let (id, _, flags, state) = told(&[&sent]);
            assert_ne!(id, ID, "{sent}");
            assert_eq!((flags.as_str(), state), ("00", false), "{sent}");
        }
        let (id, _, _, state) = told(&[&good, &good]);
        assert!(id != ID && !state, "sent twice");
    }

    #[test]
    fn traces_that_begin_here_differ() {
        let ids: HashSet<String> = (0..100).map(|_| told(&[]).0).collect();
        assert_eq!(ids.len(), 100);
    }
}
