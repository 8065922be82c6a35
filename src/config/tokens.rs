//! The file of tokens that open the admin listener.
//!
//! One token per line, with a limit behind it where it is meant for one instance only:
//!
//! ```text
//! # for Prometheus
//! 3f1c7be05c2d4b0f9a55e1c0
//! # for the people of the congress
//! 90d2a8c77b2e4c1fb0c4d7aa instance=congress
//! ```

use crate::names::InstanceName;

/// Shorter ones could be guessed.
const SHORTEST: usize = 16;

/// A line of the file.
#[derive(Clone, Eq, PartialEq)]
pub struct Token {
    pub secret: String,
    /// `None`: everything may be seen.
    pub instance: Option<InstanceName>,
}

/// A line that is none.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("line {line} {why}")]
pub struct TokenError {
    line: usize,
    why: String,
}

/// Never the secret itself.
impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            secret: _,
            instance,
        } = self;
        f.debug_struct("Token")
            .field("instance", instance)
            .finish_non_exhaustive()
    }
}

/// All tokens of a file, and what is wrong with the other lines. No word of a secret is repeated.
pub fn parse(text: &str) -> (Vec<Token>, Vec<TokenError>) {
    let (mut tokens, mut errors) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match token(line) {
            Ok(token) => tokens.push(token),
            Err(why) => errors.push(TokenError { line: number, why }),
        }
    }
    (tokens, errors)
}

fn token(line: &str) -> Result<Token, String> {
    let mut words = line.split_whitespace();
    let secret = words.next().unwrap_or_default();
    if secret.len() < SHORTEST {
        return Err(format!(
            "has a token of less than {SHORTEST} characters; make one with `openssl rand -hex 24`"
        ));
    }
    if !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("has a token with characters beyond ASCII".to_owned());
    }
    let limit = words.next();
    if words.next().is_some() {
        return Err("has too many words; write TOKEN or TOKEN instance=NAME".to_owned());
    }
    let instance = match limit {
        None => None,
        Some(limit) => {
            let name = limit
                .strip_prefix("instance=")
                .ok_or("has something else than instance=NAME behind the token")?;
            let name = name.parse();
            Some(name.map_err(|error| format!("limits a token to an instance whose name {error}"))?)
        }
    };
    Ok(Token {
        secret: secret.to_owned(),
        instance,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_a_line_each_and_perhaps_a_limit() {
        let (tokens, errors) =
            parse("# all\n\n0123456789abcdef\n  fedcba9876543210   instance=congress  \n");
        assert_eq!(errors, []);
        let limits: Vec<_> = tokens
            .iter()
            .map(|token| token.instance.as_ref().map(InstanceName::as_str))
            .collect();
        assert_eq!(limits, [None, Some("congress")]);
        assert_eq!(tokens[1].secret, "fedcba9876543210");
    }

    #[test]
    fn a_wrong_line_is_named_and_its_secret_is_not() {
        for (line, says) in [
            ("short", "line 1 has a token of less than 16"),
            ("0123456789abcdef ünstance", "line 1 has something else"),
            ("0123456789abcdef instance=", "line 1 limits a token"),
            ("0123456789abcdef instance=a b", "line 1 has too many words"),
            ("0123456789abcdéf", "line 1 has a token with characters"),
        ] {
            let (tokens, errors) = parse(line);
            assert_eq!(tokens, [], "{line}");
            let text = errors[0].to_string();
            assert!(text.starts_with(says), "{line}: {text}");
            assert!(!text.contains("0123456789"), "{text}");
        }
        let (tokens, _) = parse("0123456789abcdef");
        assert!(!format!("{tokens:?}").contains("0123"));
    }
}
