//! A level as a shape and a word.

use maud::{Markup, html};

use crate::control::status::Level;

/// The shapes beside the words: a colour alone would not tell everybody.
pub(super) fn symbols() -> Markup {
    html! {
        svg.defs aria-hidden="true" focusable="false" {
            symbol id="s-healthy" viewBox="0 0 16 16" {
                circle cx="8" cy="8" r="7" { }
                path.mark d="M4.6 8.4 7 10.8 11.4 5.6" { }
            }
            symbol id="s-warning" viewBox="0 0 16 16" {
                path d="M8 .8 15.6 14.6H.4Z" { }
                path.mark d="M8 5.6v4.2M8 12.1v.4" { }
            }
            symbol id="s-critical" viewBox="0 0 16 16" {
                rect x="1" y="1" width="14" height="14" rx="2" { }
                path.mark d="M5 5l6 6M11 5l-6 6" { }
            }
            symbol id="s-asleep" viewBox="0 0 16 16" {
                circle.hollow cx="8" cy="8" r="6.4" { }
                path.still d="M6.2 5.4v5.2M9.8 5.4v5.2" { }
            }
        }
    }
}

/// Shape and word of a level.
pub(super) fn badge(level: Level, word: &str) -> Markup {
    html! {
        span class={ "badge " (level.word()) } {
            svg.shape aria-hidden="true" focusable="false" { use href={ "#s-" (level.word()) } { } }
            span { (word) }
        }
    }
}

/// As [`badge`], for what nobody expects to serve.
pub(super) fn asleep(word: &str) -> Markup {
    html! {
        span.badge.asleep {
            svg.shape aria-hidden="true" focusable="false" { use href="#s-asleep" { } }
            span { (word) }
        }
    }
}
