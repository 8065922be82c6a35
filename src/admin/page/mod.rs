//! The status page: made here, whole, so that it says the same with scripting off.
//!
//! With scripting on, the very same pieces come again over `/events` when they change, and a script
//! of a few lines puts them in place. Every text is escaped where it is written; the page may load
//! nothing and run only its own script, whatever a name from a container holds.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use maud::{DOCTYPE, Markup, PreEscaped, html};

mod badge;
mod chart;
mod graph;
mod instance;
pub(super) mod output;
mod overview;
mod pieces;
mod replicas;
mod summary;
mod words;

pub(super) use self::instance::instance;
pub(super) use self::overview::overview;
pub(super) use self::pieces::Pieces;

use self::badge::symbols;
use crate::control::Status;

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

#[cfg(test)]
mod tests;
