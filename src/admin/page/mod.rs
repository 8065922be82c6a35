//! The status page: made here, whole, so that it says the same with scripting off.
//!
//! With scripting on, the very same pieces come again over `/events` when they change, and a script
//! of a few lines puts them in place. Every text is escaped where it is written; the page may load
//! nothing and run only its own script, whatever a name from a container holds.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde::Serialize;

mod chart;
mod graph;
mod instance;
pub(super) mod output;
mod overview;
mod replicas;
mod summary;
mod words;

pub(super) use self::instance::instance;
pub(super) use self::overview::overview;

use crate::control::Status;
use crate::control::status::Level;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("live.js");

/// What the page may do: its own style and script, its own server, and nothing else.
pub(super) static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = |text: &str| {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
        STANDARD.encode(digest)
    };
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(STYLE),
        hash(SCRIPT)
    );
    // Base64 and these words are good in a field.
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

/// A page in pieces that change one by one.
#[derive(Debug)]
pub(super) struct Pieces {
    title: String,
    level: Level,
    /// By the id of their element, in their order on the page.
    fixed: Vec<(&'static str, String)>,
    /// Rows that come, go and change places.
    rows: Vec<(String, String)>,
}

/// What is not as it was.
#[derive(Serialize)]
struct Changes<'p> {
    title: &'p str,
    level: Level,
    pieces: BTreeMap<&'p str, &'p str>,
    /// All rows in their order, where that changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<Vec<&'p str>>,
}

impl Pieces {
    fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        let fixed = self.fixed.iter().map(|(id, text)| (*id, text.as_str()));
        let rows = self.rows.iter();
        fixed.chain(rows.map(|(id, text)| (id.as_str(), text.as_str())))
    }

    /// As JSON; without a `before`, everything.
    pub(super) fn changes(&self, before: Option<&Self>) -> Vec<u8> {
        let known: BTreeMap<&str, &str> = before.into_iter().flat_map(Self::all).collect();
        let order = |pieces: &Self| -> Vec<String> {
            let rows = pieces.rows.iter();
            rows.map(|(id, _)| id.clone()).collect()
        };
        let moved = before.is_none_or(|before| order(before) != order(self));
        let changes = Changes {
            title: &self.title,
            level: self.level,
            pieces: self
                .all()
                .filter(|(id, text)| known.get(id) != Some(text))
                .collect(),
            rows: moved.then(|| self.rows.iter().map(|(id, _)| id.as_str()).collect()),
        };
        // Texts under texts can be written.
        serde_json::to_vec(&changes).unwrap_or_default()
    }

    fn piece(&self, id: &str) -> Markup {
        let found = self.fixed.iter().find(|(known, _)| *known == id);
        PreEscaped(found.map_or_else(String::new, |(_, text)| text.clone()))
    }

    fn rows(&self) -> Markup {
        PreEscaped(self.rows.iter().map(|(_, text)| text.as_str()).collect())
    }
}

/// The whole page. `live`: where its changes come from.
fn document(pieces: &Pieces, status: &Status, live: &str, home: bool, content: Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" data-level=(pieces.level.word()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (pieces.title) }
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
                noscript { meta http-equiv="refresh" content="10"; }
            }
            body data-live=(live) {
                a.skip href="#content" { "Skip to content" }
                (symbols())
                header.top {
                    nav aria-label="Where you are" {
                        @if home {
                            span.brand aria-current="page" { "usher" }
                        } @else {
                            a.brand href="/" { "usher" }
                        }
                        span.muted { (status.edge) }
                    }
                    p.live {
                        noscript { span.muted { "reloads every 10 s" } }
                        span #pulse role="status" hidden { }
                        span.muted.version { "version " (status.version) }
                    }
                }
                main #content tabindex="-1" { (content) }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

/// The status page as a document.
pub(super) fn overview_document(pieces: &Pieces, status: &Status, all: bool) -> String {
    let live = if all {
        "/events?view=all"
    } else {
        "/events?view=page"
    };
    document(pieces, status, live, true, overview::content(pieces))
}

/// The page of an instance as a document, with the output of one replica or of all.
pub(super) fn instance_document(
    pieces: &Pieces,
    status: &Status,
    name: &str,
    replica: Option<&str>,
    tail: &Markup,
) -> String {
    // A name of an instance needs no escape in a URL, and that of a replica has been looked at.
    let mut live = format!("/events?view=output&instance={name}");
    if let Some(replica) = replica {
        live.push_str("&replica=");
        live.push_str(replica);
    }
    let output = output::section(name, replica, tail);
    document(
        pieces,
        status,
        &live,
        false,
        instance::content(pieces, &output),
    )
}

/// The shapes beside the words: a colour alone would not tell everybody.
fn symbols() -> Markup {
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
fn badge(level: Level, word: &str) -> Markup {
    html! {
        span class={ "badge " (level.word()) } {
            svg.shape aria-hidden="true" focusable="false" { use href={ "#s-" (level.word()) } { } }
            span { (word) }
        }
    }
}

/// As [`badge`], for what nobody expects to serve.
fn asleep(word: &str) -> Markup {
    html! {
        span.badge.asleep {
            svg.shape aria-hidden="true" focusable="false" { use href="#s-asleep" { } }
            span { (word) }
        }
    }
}

#[cfg(test)]
mod tests;
