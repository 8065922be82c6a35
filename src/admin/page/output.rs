//! What replicas print: text and nothing else, whatever they print.

use maud::{Markup, html};

use super::words::clock;
use crate::logs::Printed;
use crate::moment;

/// Of a line, so many characters are shown.
const LONGEST: usize = 1_000;

/// The place of the lines, and how to come to those of all replicas again.
pub(super) fn section(instance: &str, replica: Option<&str>, tail: &Markup) -> Markup {
    html! {
        section #output .card aria-labelledby="output-title" {
            h2 #output-title {
                "Output"
                span.muted { " the last lines of " (replica.unwrap_or("all replicas")) }
            }
            @if replica.is_some() {
                p.choice { a href={ "/instance/" (instance) "#output" } { "Output of all replicas" } }
            }
            div #tail .tail tabindex="0" role="group" aria-labelledby="output-title" { (tail) }
        }
    }
}

/// All there is to show.
pub(in super::super) fn whole<'p>(
    printed: impl Iterator<Item = &'p Printed>,
    alone: bool,
) -> Markup {
    html! { ol { (lines(printed, alone)) } }
}

/// Why there is nothing to show.
pub(in super::super) fn nothing(why: &str) -> Markup {
    html! { p.muted { (plain(why)) } }
}

/// Lines for the end of a list. `alone`: they are of one replica, which need not be named each time.
pub(in super::super) fn lines<'p>(
    printed: impl Iterator<Item = &'p Printed>,
    alone: bool,
) -> Markup {
    html! {
        @for Printed { replica, line } in printed {
            li class=(line.stream.word()) {
                time datetime=(moment::text(line.at)) { (clock(line.at, line.at)) }
                @if !alone { " " span.from { (replica) } }
                @if line.stream == crate::engine::Stream::Stderr { " " span.muted { "stderr" } }
                " " bdi { (plain(&line.text)) }
            }
        }
    }
}

/// A link to the output of one replica, where its name can stand in a URL as it is.
pub(super) fn link(instance: &str, replica: &str) -> Markup {
    html! {
        @if is_name(replica) {
            a href={ "/instance/" (instance) "?replica=" (replica) "#output" } title="Its output" { (replica) }
        } @else {
            (replica)
        }
    }
}

/// Whether an engine could call a replica so, and a URL holds it without an escape.
pub(in super::super) fn is_name(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    (1..=255).contains(&text.len()) && text.bytes().all(good)
}

/// Without what only a terminal understands, and with nothing that moves or hides what is beside it.
fn plain(text: &str) -> String {
    let mut shown = String::new();
    let mut letters = text.trim_end_matches('\r').chars();
    let mut count = 0;
    while let Some(letter) = letters.next() {
        if letter == '\u{1b}' {
            skip_sequence(&mut letters);
            continue;
        }
        if count == LONGEST {
            shown.push('…');
            break;
        }
        count += 1;
        shown.push(match letter {
            '\t' => '\t',
            '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                '\u{fffd}'
            }
            letter if letter.is_control() => '\u{fffd}',
            letter => letter,
        });
    }
    shown
}

/// The rest of a control sequence (ECMA-48 §5.4), colours most of all, or of a short one.
fn skip_sequence(letters: &mut std::str::Chars<'_>) {
    if letters.next() != Some('[') {
        return;
    }
    letters.find(|letter| ('\u{40}'..='\u{7e}').contains(letter));
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::engine::{Line, Stream};

    #[test]
    fn colours_are_left_out_and_what_would_move_or_hide_is_shown() {
        for (printed, shown) in [
            ("\u{1b}[31mred\u{1b}[0m and \u{1b}[1;4mloud", "red and loud"),
            ("a\tb\r", "a\tb"),
            ("over\rwritten\u{7}", "over\u{fffd}written\u{fffd}"),
            ("\u{202e}drow", "\u{fffd}drow"),
            ("\u{1b}[31", ""),
            ("\u{1b}", ""),
        ] {
            assert_eq!(plain(printed), shown, "{printed:?}");
        }
        let long = plain(&"ü".repeat(5_000));
        assert_eq!(long.chars().count(), LONGEST + 1);
        assert!(long.ends_with('…'));
    }

    #[test]
    fn a_line_is_text_whoever_printed_it() {
        let printed = Printed {
            replica: "<b>web</b>".into(),
            line: Line {
                at: UNIX_EPOCH + Duration::from_secs(3_661),
                stream: Stream::Stderr,
                text: "</ol><script>alert(1)</script>".to_owned(),
            },
        };
        let text = whole([&printed].into_iter(), false).into_string();
        assert!(!text.contains("<script") && !text.contains("<b>"), "{text}");
        assert_eq!(text.matches("</ol>").count(), 1, "{text}");
        assert!(
            text.contains("01:01:01") && text.contains(">stderr<"),
            "{text}"
        );
        let alone = whole([&printed].into_iter(), true).into_string();
        assert!(!alone.contains("web"), "{alone}");
    }

    #[test]
    fn only_what_a_url_holds_as_it_is_becomes_a_link() {
        for good in ["congress_web_1", "congress-web-1", "web.3"] {
            assert!(is_name(good), "{good}");
        }
        for bad in [
            "",
            "a b",
            "a&b",
            "a:b",
            "a%20",
            "\"><script>",
            "ü",
            &"x".repeat(256),
        ] {
            assert!(!is_name(bad), "{bad}");
            assert!(!link("congress", bad).into_string().contains("<a"), "{bad}");
        }
    }
}
