//! One hash of a password, in the forms that files of passwords have: bcrypt, Apache's MD5, SHA-1.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use sha1::{Digest, Sha1};

/// bcrypt at 2^14 takes more than a second for each guess, and for each right password.
const MOST_COST: u32 = 14;
const APACHE: &str = "$apr1$";
/// Apache reads no more of a salt.
const LONGEST_SALT: usize = 8;
const APACHE_ROUNDS: usize = 1000;
/// The alphabet of `crypt`, which is not that of base 64.
const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A hash that can be checked. Whatever cannot is no hash.
#[derive(Clone)]
pub(super) enum PasswordHash {
    Apache { salt: Box<str>, digest: Box<str> },
    Bcrypt(Box<str>),
    Sha1([u8; 20]),
}

impl PasswordHash {
    /// Reads what stands behind the colon of a line.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if let Some(rest) = text.strip_prefix(APACHE) {
            let (salt, digest) = rest
                .split_once('$')
                .ok_or("has no salt in its $apr1$ hash")?;
            let known = |byte: u8| ALPHABET.contains(&byte);
            if salt.len() > LONGEST_SALT || digest.len() != 22 || !digest.bytes().all(known) {
                return Err("has a $apr1$ hash that is not whole".to_owned());
            }
            return Ok(Self::Apache {
                salt: salt.into(),
                digest: digest.into(),
            });
        }
        if let Some(rest) = text.strip_prefix("{SHA}") {
            let digest = STANDARD.decode(rest).ok();
            let digest = digest.and_then(|bytes| bytes.try_into().ok());
            return digest
                .map(Self::Sha1)
                .ok_or_else(|| "has a {SHA} hash that is not whole".to_owned());
        }
        if ["$2a$", "$2b$", "$2x$", "$2y$"]
            .iter()
            .any(|begin| text.starts_with(begin))
        {
            let parts: bcrypt::HashParts = text
                .parse()
                .map_err(|_| "has a bcrypt hash that is not whole".to_owned())?;
            if parts.get_cost() > MOST_COST {
                return Err(format!(
                    "has a bcrypt hash of cost {}; at most {MOST_COST} is computed",
                    parts.get_cost()
                ));
            }
            return Ok(Self::Bcrypt(text.into()));
        }
        Err(
            "has a hash that is neither bcrypt ($2y$), $apr1$ nor {SHA}; \
             make one with `usher hash-password NAME`"
                .to_owned(),
        )
    }

    /// Differs whenever the hash does.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Apache { salt, digest } => format!("{APACHE}{salt}${digest}").into_bytes(),
            Self::Bcrypt(hash) => hash.as_bytes().to_vec(),
            Self::Sha1(digest) => digest.to_vec(),
        }
    }

    /// Whether it is of this password. Takes as long as its form wants, up to a second.
    pub(super) fn is_of(&self, password: &[u8]) -> bool {
        match self {
            Self::Apache { salt, digest } => {
                let made = apache(password, salt.as_bytes());
                verify_slices_are_equal(made.as_bytes(), digest.as_bytes()).is_ok()
            }
            Self::Bcrypt(hash) => bcrypt::verify(password, hash).unwrap_or(false),
            Self::Sha1(digest) => {
                let made = Sha1::digest(password);
                verify_slices_are_equal(made.as_slice(), digest).is_ok()
            }
        }
    }
}

/// Apache's variant of the MD5 crypt: `apr_md5_encode` of the Apache Portable Runtime defines it.
fn apache(password: &[u8], salt: &[u8]) -> String {
    let mut inner = Md5::new();
    inner.update(password);
    inner.update(salt);
    inner.update(password);
    let inner = inner.finalize();

    let mut first = Md5::new();
    first.update(password);
    first.update(APACHE);
    first.update(salt);
    for part in password.chunks(inner.len()) {
        first.update(inner.get(..part.len()).unwrap_or_default());
    }
    let mut length = password.len();
    while length > 0 {
        // For a bit that is set a zero, for another the first byte: a slip that became the standard.
        let byte = if length & 1 == 1 {
            0
        } else {
            password.first().copied().unwrap_or(0)
        };
        first.update([byte]);
        length >>= 1;
    }
    let mut last = first.finalize();
    for round in 0..APACHE_ROUNDS {
        let mut next = Md5::new();
        let odd = round % 2 == 1;
        if odd {
            next.update(password);
        } else {
            next.update(last);
        }
        if !round.is_multiple_of(3) {
            next.update(salt);
        }
        if !round.is_multiple_of(7) {
            next.update(password);
        }
        if odd {
            next.update(last);
        } else {
            next.update(password);
        }
        last = next.finalize();
    }

    let mut text = String::with_capacity(22);
    let mut add = |mut bits: u32, letters: usize| {
        for _ in 0..letters {
            text.push(char::from(ALPHABET[(bits & 63) as usize]));
            bits >>= 6;
        }
    };
    let byte = |at: usize| u32::from(last[at]);
    for [high, middle, low] in [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]] {
        add(byte(high) << 16 | byte(middle) << 8 | byte(low), 4);
    }
    add(byte(11), 2);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_of_htpasswd_and_openssl_are_understood() {
        // `openssl passwd -apr1`, `htpasswd -s`, and a vector of crypt_blowfish.
        for (password, hash) in HASHES {
            let parsed = PasswordHash::parse(hash).expect(hash);
            assert!(parsed.is_of(password.as_bytes()), "{hash}");
            for wrong in ["", "x", "Password", "passwore", "password\0"] {
                assert!(
                    !parsed.is_of(wrong.as_bytes()) || wrong == *password,
                    "{hash} {wrong}"
                );
            }
        }
    }

    #[test]
    fn what_cannot_be_checked_is_no_hash() {
        for (text, says) in [
            ("", "neither"),
            ("password", "neither"),
            ("rl5FQAOAq0YfU", "neither"),
            ("$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/", "neither"),
            ("$apr1$salt", "no salt"),
            ("$apr1$salt$short", "not whole"),
            ("{SHA}AAAA", "not whole"),
            ("$2y$10$short", "not whole"),
        ] {
            let why = PasswordHash::parse(text).err().unwrap_or_default();
            assert!(why.contains(says), "{text}: {why}");
        }
    }

    const HASHES: &[(&str, &str)] = &[
        ("password", "$apr1$Xy.1/abc$hTJqbhQg1wUYxyxArgegK1"),
        ("a", "$apr1$Xy.1/abc$hh9wELL7Wz4.N5Vttu5Qq/"),
        ("fifteen--letter", "$apr1$Xy.1/abc$rwRXqLnpLNYQnQDSbkO1x0"),
        ("sixteen--letters", "$apr1$Xy.1/abc$ptYJCrFuPObMIoq6Kv9FC0"),
        (
            "a much longer pass phrase with spaces and ü",
            "$apr1$Xy.1/abc$a9dnmHbWxiaOPBql52G/N/",
        ),
        ("", "$apr1$Xy.1/abc$Rj5O5c97RcFljRucqhKqc0"),
        ("password", "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g="),
        (
            "U*U",
            "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        ),
    ];
}
