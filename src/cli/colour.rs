//! Colours on a terminal that wants them.

use std::io::IsTerminal;

/// What a colour is for; the word is always there as well.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Tone {
    Bad,
    Good,
    Heading,
    Plain,
    Quiet,
    Warning,
}

impl Tone {
    /// Of a level or state of the statistics.
    pub(super) fn of(word: &str) -> Self {
        match word {
            "critical" => Self::Bad,
            "healthy" => Self::Good,
            "paused" | "standby" => Self::Quiet,
            "warning" => Self::Warning,
            _ => Self::Plain,
        }
    }

    /// The parameters of `SGR` (ECMA-48 §8.3.117).
    fn code(self) -> &'static str {
        match self {
            Self::Bad => "1;31",
            Self::Good => "32",
            Self::Heading => "1",
            Self::Plain => "",
            Self::Quiet => "2",
            Self::Warning => "33",
        }
    }
}

/// Whether there are colours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Palette(bool);

impl Palette {
    #[cfg(test)]
    pub(super) const NONE: Self = Self(false);

    /// For standard output: a terminal that shows them, and nobody who said `NO_COLOR`
    /// (no-color.org: set, and not to nothing).
    pub(super) fn of_stdout() -> Self {
        let says = |name: &str| std::env::var_os(name);
        let no_color = says("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = says("TERM").is_none_or(|term| term == "dumb");
        Self(std::io::stdout().is_terminal() && !no_color && !dumb)
    }

    pub(super) fn paint(self, tone: Tone, text: &str) -> String {
        match (self.0, tone.code()) {
            (false, _) | (_, "") => text.to_owned(),
            (true, code) => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_terminal_a_text_is_what_it_was() {
        assert_eq!(Palette::NONE.paint(Tone::Bad, "critical"), "critical");
        assert_eq!(Palette(true).paint(Tone::Plain, "critical"), "critical");
        let painted = Palette(true).paint(Tone::of("critical"), "critical");
        assert_eq!(painted, "\x1b[1;31mcritical\x1b[0m");
    }
}
