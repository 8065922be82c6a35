//! The words of one container, taken one by one: what is said, and the sentences about what is wrong.

use crate::config::model::NamesFromContainers;
use crate::config::variables::flag;
use crate::inventory::Claims;
use crate::plan::NonGetRedirect;

/// Bytes of a path and of a header's value.
pub(super) const LONGEST: usize = 256;

/// What the labels that are followed begin with.
pub(super) const LABELS: &str = "com.github.nginx-proxy.nginx-proxy.";

/// What a container says, and what is wrong with it so far.
pub(super) struct Reading<'c> {
    pub(super) claims: &'c Claims,
    pub(super) names: NamesFromContainers,
    pub(super) troubles: Vec<String>,
}

impl<'c> Reading<'c> {
    /// A value that says something.
    pub(super) fn get(&self, key: &str) -> Option<&'c str> {
        let value = self.claims.values.get(key)?.trim();
        (!value.is_empty()).then_some(value)
    }

    /// By the companion's newer name, else by its older one.
    pub(super) fn acme(&self, what: &str) -> Option<(String, &'c str)> {
        ["ACME", "LETSENCRYPT"].iter().find_map(|family| {
            let key = format!("{family}_{what}");
            let value = self.get(&key)?;
            Some((key, value))
        })
    }

    pub(super) fn ignored(&mut self, key: &str, value: &str, why: &str) {
        let text = format!("{key} `{}` is ignored: {why}", shown(value));
        self.troubles.push(text);
    }

    /// As Go reads them.
    pub(super) fn flag(&mut self, key: &str) -> Option<bool> {
        let text = self.get(key)?;
        let flag = flag(text);
        if flag.is_none() {
            self.ignored(key, text, "it is neither true nor false");
        }
        flag
    }

    pub(super) fn non_get_redirect(&mut self, key: &str, status: &str) -> Option<NonGetRedirect> {
        let redirect = status.parse().ok().and_then(NonGetRedirect::of);
        if redirect.is_none() {
            self.ignored(
                key,
                status,
                "it is neither 307 nor 308, which keep the method",
            );
        }
        redirect
    }
}

/// What a list with commas holds, blanks and a comma too many aside.
pub(super) fn items(list: &str) -> impl Iterator<Item = &str> {
    list.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

/// What keeps a container out.
pub(super) fn refused(key: &str, value: &str, why: &str) -> String {
    format!(
        "{key} `{}` {why}; the container is not routed until that is mended",
        shown(value)
    )
}

/// A value as it may stand in a log line.
pub(super) fn shown(value: &str) -> String {
    let short: String = value.chars().take(80).collect();
    let more = if short.len() < value.len() { "…" } else { "" };
    format!("{}{more}", short.escape_debug())
}
