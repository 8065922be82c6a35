//! What an authority asks a host for.

const LONGEST_TOKEN: usize = 256;

/// What an authority asks for: the name of a file, and never a way to one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Token(String);

impl Token {
    /// Of base64url (RFC 8555 §8.3), which has neither dots nor slashes.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let fits = !text.is_empty() && text.len() <= LONGEST_TOKEN && text.bytes().all(known);
        fits.then(|| Self(text.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_a_name_and_no_way() {
        assert!(Token::parse("LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0").is_some());
        let long = "a".repeat(LONGEST_TOKEN + 1);
        for text in [
            "", ".", "..", "../x", "a/b", "a.b", "%2e", "a b", "ä", &long,
        ] {
            assert_eq!(Token::parse(text), None, "{text}");
        }
    }
}
