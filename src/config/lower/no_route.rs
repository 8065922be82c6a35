//! What is answered where no route of an instance fits.

use crate::config::issue::{Issues, report};
use crate::config::reader::Field;
use crate::plan::NoRoute;

/// What a location may be put together from.
const FILLED: [&str; 3] = ["$scheme", "$host", "$request_uri"];

/// A status, or one of a redirect and where it leads.
///
/// # Errors
/// Why it is none, as the rest of "`x` …".
pub(in crate::config) fn parse(text: &str) -> Result<NoRoute, String> {
    let why = "is neither a status from 200 to 599 (but 444) nor a redirect such as \
               `301 https://example.org$request_uri`";
    let (status, to) = match text.split_once(' ') {
        Some((status, to)) => (status, Some(to.trim())),
        // As there: a location alone is one for now.
        None if text.contains("://") => ("302", Some(text)),
        None => (text, None),
    };
    let status: u16 = status.parse().map_err(|_| why.to_owned())?;
    match to {
        None if matches!(status, 200..=299 | 400..=443 | 445..=599) => Ok(NoRoute::Status(status)),
        Some(to) if matches!(status, 301 | 302 | 303 | 307 | 308) && is_location(to) => {
            Ok(NoRoute::Redirect {
                status,
                to: to.to_owned(),
            })
        }
        _ => Err(why.to_owned()),
    }
}

fn is_location(text: &str) -> bool {
    let plain = FILLED
        .iter()
        .fold(text.to_owned(), |text, name| text.replace(name, ""));
    let begins = ["https://", "http://", "/", "$scheme://"];
    begins.iter().any(|begin| text.starts_with(begin))
        && !plain.contains('$')
        && text.bytes().all(|byte| byte.is_ascii_graphic())
}

pub(super) fn lower(field: Option<Field<String>>, issues: &Issues) -> NoRoute {
    let Some(field) = field else {
        return NoRoute::default();
    };
    parse(&field.value).unwrap_or_else(|why| {
        report(issues, field.at.error(format!("`{}` {why}", field.value)));
        NoRoute::default()
    })
}

#[cfg(test)]
mod tests {
    use crate::config::fixture::{SMALL, issues};

    #[test]
    fn an_answer_without_a_route_is_checked() {
        let told = issues(&SMALL.replacen("domains", "no-route = \"teapot\"\ndomains", 1)).join("");
        assert!(told.contains("`teapot` is neither a status"), "{told}");
    }
}
