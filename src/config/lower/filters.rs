//! Which containers of the engine there are for usher, in the words of `docker ps --filter`.

use super::values::parse_list;
use crate::config::issue::Issues;
use crate::config::reader::Field;

/// Those that an engine understands whatever they are set to: a listing that it refuses would be
/// nobody's and cost every route.
const KEYS: [&str; 6] = ["ancestor", "id", "label", "name", "network", "volume"];
/// Those that it knows a few values of.
const STATUS: [&str; 7] = [
    "created",
    "dead",
    "exited",
    "paused",
    "removing",
    "restarting",
    "running",
];
const HEALTH: [&str; 4] = ["healthy", "none", "starting", "unhealthy"];

/// One of them: its key and what it is to be.
///
/// # Errors
/// Why it is none, as the rest of "`x` …".
pub(in crate::config) fn parse(text: &str) -> Result<(String, String), String> {
    let known = |(key, value): &(&str, &str)| match *key {
        "status" => STATUS.contains(value),
        "health" => HEALTH.contains(value),
        key => KEYS.contains(&key) && !value.is_empty(),
    };
    match text.split_once('=').filter(known) {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err(format!(
            "is no filter; write KEY=VALUE with one of {}, status and health, for example \
             network=web",
            KEYS.join(", ")
        )),
    }
}

pub(super) fn lower(field: Option<Field<Vec<String>>>, issues: &Issues) -> Vec<(String, String)> {
    field.map_or_else(Vec::new, |field| parse_list(&field, issues, parse))
}

#[cfg(test)]
mod tests {
    use crate::config::fixture::issues;

    #[test]
    fn filters_are_checked() {
        let filters = "[engine]\ncontainer-filters = [\"label=a=b\", \"status=running\", \"health=good\", \"x\"]";
        let told = issues(filters).join("\n");
        for bad in ["`health=good` is no filter", "`x` is no filter"] {
            assert!(told.contains(bad), "{told}");
        }
        assert!(!told.contains("`label"), "{told}");
    }
}
