//! A folder as a page: what is in it, and nothing that runs.

use std::fmt::Write;
use std::time::SystemTime;

use super::root::{Entry, EntryKind};

/// The policy of the page: it loads nothing and has no script.
pub const CONTENT_SECURITY_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'self'";

/// What is directly in a folder, in the order it is shown.
#[derive(Clone, Debug)]
pub struct Listing {
    entries: Vec<Entry>,
    /// There are more than are shown.
    cut: bool,
    /// Nothing above it may be seen.
    top: bool,
}

impl Listing {
    /// Folders first, then by name.
    pub(super) fn new(mut entries: Vec<Entry>, most: usize, top: bool) -> Self {
        let is_file = |entry: &Entry| entry.kind != EntryKind::Folder;
        entries.sort_by(|one, other| (is_file(one), &one.name).cmp(&(is_file(other), &other.name)));
        let cut = entries.len() > most;
        entries.truncate(most);
        Self { entries, cut, top }
    }

    /// The page, under the path it was asked for by.
    pub fn page(&self, path: &str) -> String {
        let title = escape(path);
        let mut page = format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
             <style>body{{font:1rem/1.5 system-ui,sans-serif;margin:2rem;color:#222;\
             background:#fafafa}}h1{{font-size:1.3rem}}td{{padding:.1rem 1.5rem .1rem 0}}\
             td+td{{text-align:right;color:#777;white-space:nowrap}}\
             @media(prefers-color-scheme:dark){{body{{color:#ddd;background:#181818}}\
             a{{color:#8ab4f8}}}}</style></head><body><h1>{title}</h1><table>\n"
        );
        if !self.top {
            page.push_str("<tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>\n");
        }
        for entry in &self.entries {
            let (slash, size) = match entry.kind {
                EntryKind::Folder => ("/", String::new()),
                EntryKind::File { length } => ("", bytes(length)),
            };
            // With `./`, a name such as `a:b` is no scheme. Writing to a String cannot fail.
            let _ = writeln!(
                page,
                "<tr><td><a href=\"./{}{slash}\">{}{slash}</a></td><td>{size}</td><td>{}</td></tr>",
                encode(&entry.name),
                escape(&entry.name),
                minute(entry.modified),
            );
        }
        page.push_str("</table>");
        if self.cut {
            let _ = write!(page, "<p>Only {} are shown.</p>", self.entries.len());
        }
        page.push_str("</body></html>\n");
        page
    }
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // Letters that turn the direction of text around would disguise the end of a name.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => escaped.push('\u{fffd}'),
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// A name as a path segment: everything but the unreserved letters (RFC 3986 §2.3) is encoded.
fn encode(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

fn bytes(length: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if length < 1024 {
        return format!("{length} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    let mut amount = length as f64 / 1024.0;
    let mut unit = 0;
    // 1023.95 would be shown as 1024.0.
    while amount >= 1023.95 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    format!("{amount:.1} {}", UNITS[unit])
}

fn minute(moment: SystemTime) -> String {
    let timestamp = jiff::Timestamp::try_from(moment).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    timestamp.strftime("%Y-%m-%d %H:%M").to_string()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn entry(name: &str, kind: EntryKind) -> Entry {
        Entry {
            name: name.to_owned(),
            kind,
            modified: UNIX_EPOCH + Duration::from_secs(1_795_737_600),
            identity: super::super::root::Identity::default(),
        }
    }

    fn page(entries: Vec<Entry>) -> String {
        Listing::new(entries, 10, false).page("/backup/")
    }

    #[test]
    fn folders_come_first_and_files_have_size_and_date() {
        let page = page(vec![
            entry("b.sql", EntryKind::File { length: 1536 }),
            entry("a.sql", EntryKind::File { length: 3 }),
            entry("z", EntryKind::Folder),
        ]);
        let at = |text: &str| {
            page.find(text)
                .unwrap_or_else(|| panic!("{text} in {page}"))
        };
        assert!(at("./z/") < at("./a.sql") && at("./a.sql") < at("./b.sql"));
        assert!(at("1.5 KiB") > at("./b.sql") && at("3 B") > 0);
        assert!(at("2026-11-27 00:00") > 0);
    }

    #[test]
    fn a_name_is_never_markup_and_never_a_scheme() {
        let page = page(vec![
            entry(
                "<img src=x onerror=alert(1)>",
                EntryKind::File { length: 0 },
            ),
            entry("\"'&", EntryKind::Folder),
            entry("javascript:alert(1)", EntryKind::Folder),
            entry("a%2f?#ü b", EntryKind::Folder),
            entry("gpj.\u{202e}exe", EntryKind::Folder),
        ]);
        assert!(!page.contains("<img"), "{page}");
        assert!(page.contains("&lt;img src=x"), "{page}");
        assert!(
            page.contains("\"./%22%27%26/\">&quot;&#39;&amp;/<"),
            "{page}"
        );
        assert!(page.contains("\"./javascript%3Aalert%281%29/\""), "{page}");
        assert!(page.contains("\"./a%252f%3F%23%C3%BC%20b/\""), "{page}");
        assert!(!page.contains('\u{202e}'), "{page}");
    }

    #[test]
    fn a_path_is_no_markup_either() {
        let page = Listing::new(Vec::new(), 10, true).page("/<script>/");
        assert!(!page.contains("<script"), "{page}");
        assert!(!page.contains("../"), "nothing above the top: {page}");
    }

    #[test]
    fn a_listing_that_is_cut_says_so() {
        let entries = (0..12).map(|n| entry(&n.to_string(), EntryKind::Folder));
        let page = page(entries.collect());
        assert!(page.contains("Only 10 are shown"), "{page}");
        assert_eq!(page.matches("<tr>").count(), 11);
    }

    #[test]
    fn sizes_have_the_unit_that_people_read() {
        for (length, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1024 * 1024 - 1, "1.0 MiB"),
            (2_500_000, "2.4 MiB"),
            (u64::MAX, "16384.0 PiB"),
        ] {
            assert_eq!(bytes(length), shown);
        }
    }
}
