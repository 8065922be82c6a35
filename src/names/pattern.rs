//! Hosts and paths that are meant by their shape: what containers of an nginx-proxy could claim beside
//! names, wildcards and prefixes.

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
            Shape::Fits(compiled(expression, Case::Told)?)
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

/// A shape of paths. Two are equal when they were written alike.
#[derive(Clone, Debug)]
pub struct PathPattern {
    text: Arc<str>,
    expression: Regex,
}

impl PathPattern {
    /// Whether a text that may be a prefix is meant as a pattern.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with('~')
    }

    /// Reads `~expression`, or `~*expression` for any case. It takes linear time, whatever it is
    /// matched with.
    ///
    /// # Errors
    /// What is neither of them, is too long, or would take too much memory.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let Some(rest) = text.strip_prefix('~') else {
            return Err(wrong("is no pattern"));
        };
        let (expression, case) = match rest.strip_prefix('*') {
            Some(rest) => (rest, Case::Any),
            None => (rest, Case::Told),
        };
        Ok(Self {
            expression: compiled(expression.trim_start(), case)?,
            text: text.into(),
        })
    }

    /// Whether a decoded path is meant.
    pub fn fits(&self, path: &str) -> bool {
        self.expression.is_match(path)
    }
}

impl PartialEq for PathPattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for PathPattern {}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Case {
    Any,
    Told,
}

fn compiled(expression: &str, case: Case) -> Result<Regex, NameError> {
    if expression.len() > LONGEST {
        return Err(wrong("is a pattern longer than 1024 bytes"));
    }
    if expression.is_empty() {
        return Err(wrong("is an empty pattern"));
    }
    let built = RegexBuilder::new(expression)
        .case_insensitive(case == Case::Any)
        .size_limit(COMPILED)
        .dfa_size_limit(COMPILED)
        .nest_limit(NESTED)
        .build();
    built.map_err(|_| {
        if ["(?=", "(?!", "(?<=", "(?<!"]
            .iter()
            .any(|look| expression.contains(look))
        {
            return wrong(
                "has a look-around, which is not matched in linear time; say what is meant, not \
                 what is not",
            );
        }
        wrong(
            "is no pattern that Rust's `regex` reads (it has no look-around and no \
             back-references) and that stays small when compiled",
        )
    })
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
    fn a_pattern_of_paths_is_searched_for_and_heeds_the_case_unless_told() {
        let fits =
            |pattern: &str, path: &str| PathPattern::parse(pattern).expect("a pattern").fits(path);
        assert!(fits("~^/(app1|alternative1)/", "/alternative1/x"));
        assert!(!fits("~^/(app1|alternative1)/", "/app1"));
        assert!(!fits("~^/(app1|alternative1)/", "/APP1/"));
        assert!(fits("~*^/(app1|alternative1)/", "/APP1/"));
        assert!(fits(r"~ \.php$", "/deep/index.php"));
        for text in ["/app", "~", "~*", "~(", r"~(\w{100}){100}"] {
            assert!(PathPattern::parse(text).is_err(), "{text}");
        }
        let refused = PathPattern::parse("~^/(?!admin)").expect_err("a look-around");
        assert!(refused.to_string().contains("look-around"), "{refused}");
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
