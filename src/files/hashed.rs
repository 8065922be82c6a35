//! Whether a file's name carries a hash of its content, so that it may be cached for ever.
//!
//! A wrong yes pins an old file in every browser for a year; a wrong no costs a conditional request.
//! So only shapes that build tools write are believed, and a name in doubt is not hashed.

/// What tools that put hashes into names write, by the length of what they write.
const HEX_LENGTHS: [usize; 9] = [8, 10, 12, 16, 20, 24, 32, 40, 64];
/// The length of the hashes of esbuild (base 32) and Vite (base 64).
const SHORT: usize = 8;
/// Names that esbuild's bundles begin with. Beside them, eight capitals are a hash and not a word.
const BUNDLES: [&str; 6] = ["chunk", "main", "polyfills", "scripts", "styles", "worker"];
/// What may stand between the hash and the extension.
const INFIXES: [&str; 4] = ["bundle", "chunk", "min", "module"];

/// Whether the last segment of `path` is named after its content: `main.3f2c9a1b.js`,
/// `chunk-2KQ7XWZB.js`, `css/site.55e7cbb9ba48.css`.
pub(super) fn is_hashed(path: &str) -> bool {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let Some((mut stem, extension)) = name.rsplit_once('.') else {
        return false;
    };
    // A page is what a visitor comes back to; it is asked for anew whatever it is called.
    if matches!(extension, "htm" | "html") {
        return false;
    }
    // `main.3f2c9a1b.js.map`
    if extension == "map"
        && let Some((before, "js" | "mjs" | "css")) = stem.rsplit_once('.')
    {
        stem = before;
    }
    if let Some((before, infix)) = stem.rsplit_once('.')
        && INFIXES.contains(&infix)
    {
        stem = before;
    }
    if is_uuid(stem) {
        return false;
    }
    let Some((before, last)) = split_last(stem) else {
        return false;
    };
    if before.is_empty() {
        return false;
    }
    is_hex(last)
        || is_base32(before, last)
        || is_base64(folder.rsplit('/').next().unwrap_or_default(), stem)
}

/// The last word of a name, and what comes before its separator.
fn split_last(stem: &str) -> Option<(&str, &str)> {
    let at = stem.rfind(['.', '-', '_'])?;
    Some((stem.get(..at)?, stem.get(at + 1..)?))
}

fn is_hex(word: &str) -> bool {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    HEX_LENGTHS.contains(&word.len())
        && word.bytes().all(hex)
        // Letters and digits change places: `decade80` and `facade` are words, 20240131 is a date.
        && runs(word) >= 3
        && !begins_with_a_date(word)
}

/// esbuild: eight of `A`–`Z` and `2`–`7` after a hyphen.
fn is_base32(before: &str, word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    word.len() == SHORT
        && word
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || (b'2'..=b'7').contains(&byte))
        && (BUNDLES.contains(&before) || (digits > 0 && digits < SHORT && runs(word) >= 3))
}

/// Vite: eight characters of base 64 after a hyphen, below `assets` unless told otherwise.
fn is_base64(folder: &str, stem: &str) -> bool {
    let Some(at) = stem.len().checked_sub(SHORT) else {
        return false;
    };
    let (Some(before), Some(word)) = (stem.get(..at), stem.get(at..)) else {
        return false;
    };
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    let has = |class: fn(&u8) -> bool| word.bytes().any(|byte| class(&byte));
    // Words in camel case change between small and capital as well, only less often.
    let least = if folder == "assets" { 5 } else { 7 };
    before.len() > 1
        && before.ends_with('-')
        && word.bytes().all(letters)
        && has(u8::is_ascii_digit)
        && has(u8::is_ascii_uppercase)
        && has(u8::is_ascii_lowercase)
        && runs(word) >= least
}

/// How many stretches of one kind (digits, capitals, small letters, others) a word has.
fn runs(word: &str) -> usize {
    let kind = |byte: u8| match byte {
        b'0'..=b'9' => 0,
        b'A'..=b'Z' => 1,
        b'a'..=b'z' => 2,
        _ => 3,
    };
    let kinds: Vec<_> = word.bytes().map(kind).collect();
    kinds.chunk_by(|one, next| one == next).count()
}

/// `20240131…`: a day of this century or the last.
fn begins_with_a_date(word: &str) -> bool {
    let number = |from: usize, to: usize| word.get(from..to)?.parse::<u32>().ok();
    matches!(
        (number(0, 4), number(4, 6), number(6, 8)),
        (Some(1900..2100), Some(1..=12), Some(1..=31))
    )
}

/// A name given once, whatever the content becomes.
fn is_uuid(stem: &str) -> bool {
    let Some(tail) = stem.len().checked_sub(36).and_then(|from| stem.get(from..)) else {
        return false;
    };
    let lengths = tail.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12])
        && tail
            .bytes()
            .all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_build_tools_write_is_hashed() {
        for name in [
            "main.3f2c9a1b.js",
            "chunk-ABCDEFGH.js",
            "chunk-2KQ7XWZB.js",
            "site-detail-2KQ7XWZB.mjs",
            "styles-5INURTSO.css",
            "css/site.55e7cbb9ba48.css",
            "js/2.3f2c9a1b.chunk.js",
            "main.3f2c9a1b.min.js",
            "main.3f2c9a1b.js.map",
            "application-908e25f4bf641868d8683022a5b62f54e2b0a7f6c5d4e3b2a190807f6e5d4c3b.css",
            "static/media/logo.5d5d9eefa31e5e13a6610d9fa7a283bb.svg",
            "assets/index-BfX3k9Qz.js",
            "assets/index-D4n-7_Q2.css",
            "index-D4nG7xQ2.js",
            "fonts/roboto_0a1b2c3d4e.woff2",
        ] {
            assert!(is_hashed(name), "{name}");
        }
    }

    #[test]
    fn versions_dates_and_words_are_not_hashes() {
        for name in [
            "",
            "js",
            "main.js",
            ".3f2c9a1b",
            "3f2c9a1b.js",
            ".3f2c9a1b.js",
            "jquery.3.7.1.js",
            "jquery-3.7.1.min.js",
            "jquery.3.7.1-slim.js",
            "report.20240131.pdf",
            "report-2024-01-31.pdf",
            "report.20240131ab.pdf",
            "backup-20240131235959.json",
            "photo-1700000000.jpg",
            "photo_12345678.jpg",
            "wall-facade.jpg",
            "music-decade80.mp3",
            "meeting-face2face.jpg",
            "cafe.deadbeef.js",
            "notes-README.txt",
            "data-CALENDAR.js",
            "lib-Version2.js",
            "assets/lib-Version2.js",
            "lib-Html5App.js",
            "my-component-library.js",
            "polyfills-extended.js",
            "bootstrap.bundle.min.js",
            "upload-123e4567-e89b-12d3-a456-426614174000.jpg",
            "index.3f2c9a1b.html",
            "main.3F2C9A1B.js",
            "main.3f2c9a1.js",
            "3f2c9a1b/main.js",
            "größe-ü3f2c9a1.js",
            "ü-ä3f2c9ab.js",
        ] {
            assert!(!is_hashed(name), "{name}");
        }
    }
}
