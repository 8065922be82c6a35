//! Host names that are meant by their shape: what containers of an nginx-proxy could claim beside
//! names and wildcards.

use std::fmt;
use std::sync::Arc;

use regex::{Regex, RegexBuilder};

use super::{Hostname, NameError, wrong};

/// Bytes of a regular expression.
const LONGEST: usize = 1024;
/// Bytes a compiled one may take, and what it may take besides while it is matched.
const COMPILED: usize = 256 << 10;
const NESTED: u32 = 32;

/// A shape of names. Two are equal when they were written alike.
#[derive(Clone, Debug)]
pub struct HostPattern {
    text: Arc<str>,
    shape: Shape,
}

#[derive(Clone, Debug)]
enum Shape {
    /// `name.*`: every host that begins like this. With the dot.
    Begins(Arc<str>),
    Fits(Regex),
}

impl HostPattern {
    /// Reads `~expression` or `name.*`. Expressions take linear time, whatever they are matched with.
    ///
    /// # Errors
    /// What is neither of them, is too long, or would take too much memory.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let shape = if let Some(expression) = text.strip_prefix('~') {
            if expression.len() > LONGEST {
                return Err(wrong("is a pattern longer than 1024 bytes"));
            }
            let built = RegexBuilder::new(expression)
                .size_limit(COMPILED)
                .dfa_size_limit(COMPILED)
                .nest_limit(NESTED)
                .build();
            let wrong_pattern = "is no pattern that Rust's `regex` reads (it has no look-around \
                                 and no back-references) and that stays small when compiled";
            Shape::Fits(built.map_err(|_| wrong(wrong_pattern))?)
        } else if let Some(begin) = text.strip_suffix(".*") {
            let begin: Hostname = begin.parse()?;
            Shape::Begins(format!("{begin}.").into())
        } else {
            return Err(wrong("is no pattern"));
        };
        let text = match &shape {
            Shape::Begins(begin) => format!("{begin}*").into(),
            Shape::Fits(_) => text.into(),
        };
        Ok(Self { text, shape })
    }

    /// Whether it is a regular expression.
    pub fn is_expression(&self) -> bool {
        matches!(self.shape, Shape::Fits(_))
    }

    /// Whether this host is meant.
    pub fn fits(&self, host: &Hostname) -> bool {
        match &self.shape {
            Shape::Begins(begin) => host.as_str().starts_with(&**begin),
            Shape::Fits(expression) => expression.is_match(host.as_str()),
        }
    }

    /// Of several that fit, the one that is asked first: the longest beginning, then expressions in
    /// their order.
    pub fn precedence(&self) -> usize {
        match &self.shape {
            Shape::Begins(begin) => begin.len(),
            Shape::Fits(_) => 0,
        }
    }
}

impl PartialEq for HostPattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for HostPattern {}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, host: &str) -> bool {
        let pattern = HostPattern::parse(pattern).expect("a pattern");
        pattern.fits(&host.parse().expect("a name"))
    }

    #[test]
    fn an_expression_and_an_open_end_mean_their_hosts() {
        assert!(fits(r"~^foo\..*\.example\.org", "foo.bar.example.org"));
        assert!(!fits(r"~^foo\..*\.example\.org", "bar.example.org"));
        assert!(fits("www.example.*", "www.example.com"));
        assert!(fits("WWW.example.*", "www.example.co.uk"));
        assert!(!fits("www.example.*", "www.example"));
        assert!(!fits("www.example.*", "awww.example.com"));
    }

    #[test]
    fn an_expression_that_is_long_or_grows_when_compiled_is_refused() {
        for text in [
            format!("~{}", "a".repeat(1025)),
            r"~(\w{100}){100}".to_owned(),
            format!("~{}a{}", "(".repeat(100), ")".repeat(100)),
            "~(?!a)b".to_owned(),
            "~(".to_owned(),
            "a.example.org".to_owned(),
            ".*".to_owned(),
        ] {
            let refused = HostPattern::parse(&text);
            assert!(refused.is_err(), "{text}");
        }
        // What takes other engines exponential time takes this one none worth the name.
        let hostile = HostPattern::parse("~^(a+)+$").expect("a pattern");
        let host = format!("{}-b", vec!["a".repeat(60); 4].join("."));
        assert!(!hostile.fits(&host.parse().expect("a name")));
    }
}
