//! Which containers of the engine there are for usher, in the words of `docker ps --filter`.

use super::issue::Issues;
use super::lower::parse_list;
use super::reader::Field;

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
pub(super) fn parse(text: &str) -> Result<(String, String), String> {
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
