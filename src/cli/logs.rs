//! `usher logs`: what the replicas of an instance print, merged, each line marked with its replica
//! and its stream.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::client;
use super::{At, Exit};
use crate::admin::{OutputLine, OutputRequest};
use crate::{config, moment};

/// What is wished for, as typed.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    at: At,
    /// INSTANCE, INSTANCE/SERVICE or INSTANCE/SERVICE/REPLICA; a replica is named as `usher status`
    /// does, or by its number
    target: String,
    /// Go on with what is printed from now on, until interrupted
    #[arg(short, long)]
    follow: bool,
    /// Only what is younger: a span like 90s, 15m or 2h, or a moment like 2026-11-21T09:00:00Z
    #[arg(long, value_parser = moment_or_span)]
    since: Option<Since>,
    /// Only lines with this word in them
    #[arg(long)]
    grep: Option<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Since {
    Ago(Duration),
    At(SystemTime),
}

fn moment_or_span(text: &str) -> Result<Since, String> {
    if let Ok(span) = config::parse_span(text) {
        return Ok(Since::Ago(span));
    }
    match text.parse::<jiff::Timestamp>() {
        Ok(moment) => Ok(Since::At(moment.into())),
        Err(_) => {
            Err("neither a span like `15m` nor a moment like `2026-11-21T09:00:00Z`".to_owned())
        }
    }
}

pub(super) async fn logs(arguments: Arguments) -> Exit {
    let Arguments {
        at,
        target,
        follow,
        since,
        grep,
    } = arguments;
    let parts: Vec<&str> = target.split('/').collect();
    let (instance, service, replica) = match *parts.as_slice() {
        [instance] => (instance, None, None),
        [instance, service] => (instance, Some(service), None),
        [instance, service, replica] => (instance, Some(service), Some(replica)),
        _ => ("", None, None),
    };
    if parts.iter().any(|part| part.is_empty()) || instance.is_empty() {
        eprintln!(
            "error: `{target}` is not INSTANCE[/SERVICE[/REPLICA]], for example congress/web/1"
        );
        return Exit::BadUsage;
    }
    let since = since.map(|since| match since {
        Since::Ago(span) => now().checked_sub(span).unwrap_or(UNIX_EPOCH),
        Since::At(moment) => moment,
    });
    let since = since.and_then(|since| {
        let since = since.duration_since(UNIX_EPOCH).ok()?;
        u64::try_from(since.as_millis()).ok()
    });
    let request = OutputRequest {
        instance: instance.to_owned(),
        service: service.map(ToOwned::to_owned),
        replica: replica.map(ToOwned::to_owned),
        follow,
        since,
        word: grep,
    };
    let body = match serde_json::to_vec(&request) {
        Ok(body) => body,
        Err(error) => {
            eprintln!("error: {error}");
            return Exit::Failed;
        }
    };
    let mut output = io::stdout().lock();
    let terminal = output.is_terminal();
    let printed = client::lines(&at, "/logs", body, |line| {
        let line: OutputLine =
            serde_json::from_slice(line).map_err(|error| format!("not understood: {error}"))?;
        // Whoever reads has seen enough: that is no failure, and the end.
        Ok(writeln!(output, "{}", shown(&line, terminal)).is_ok())
    });
    match printed.await {
        Ok(()) => Exit::Fine,
        Err(why) => {
            eprintln!("error: {why}");
            Exit::Failed
        }
    }
}

fn shown(line: &OutputLine, terminal: bool) -> String {
    let at = moment::text(UNIX_EPOCH + Duration::from_millis(line.at));
    let text = if terminal {
        harmless(&line.text)
    } else {
        line.text.clone()
    };
    format!("{at} {} {} | {text}", line.replica, line.stream)
}

/// A line that does nothing to the terminal that shows it: what controls it, or turns the direction
/// of writing, is shown as a number.
fn harmless(text: &str) -> String {
    let commands = |letter: char| {
        let turns = matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        (letter.is_control() && letter != '\t') || turns
    };
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if commands(letter) {
            shown.extend(letter.escape_unicode());
        } else {
            shown.push(letter);
        }
    }
    shown
}

#[expect(clippy::disallowed_methods, reason = "`--since 15m` is from now")]
fn now() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_cannot_command_the_terminal() {
        let hostile = "\u{1b}]0;owned\u{7}\u{1b}[2Jred\u{9b}31m\r\u{202e}txt";
        let shown = harmless(hostile);
        assert_eq!(
            shown,
            "\\u{1b}]0;owned\\u{7}\\u{1b}[2Jred\\u{9b}31m\\u{d}\\u{202e}txt"
        );
        assert_eq!(harmless("Grüße\tan 東京"), "Grüße\tan 東京");
    }

    #[test]
    fn a_line_names_its_moment_its_replica_and_its_stream() {
        let line = OutputLine {
            at: 1_795_737_600_123,
            replica: "congress_web_2".to_owned(),
            stream: "stderr".to_owned(),
            text: "it broke".to_owned(),
        };
        assert_eq!(
            shown(&line, true),
            "2026-11-27T00:00:00Z congress_web_2 stderr | it broke"
        );
    }

    #[test]
    fn since_is_a_span_or_a_moment() {
        assert_eq!(
            moment_or_span("15m"),
            Ok(Since::Ago(Duration::from_secs(900)))
        );
        let moment = UNIX_EPOCH + Duration::from_secs(1_795_737_600);
        assert_eq!(
            moment_or_span("2026-11-27T00:00:00Z"),
            Ok(Since::At(moment))
        );
        assert!(moment_or_span("yesterday").is_err());
    }
}
