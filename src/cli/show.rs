//! `usher show`: what is in force, and where it was said.

use std::path::PathBuf;

use super::environment::{is_set, is_told, told, without_effect};
use super::{Exit, Format, config_file, future_config_file, no_config, print_issues};
use crate::config::model::{EngineChoice, NamesFromContainers};
use crate::config::variables::Note;
use crate::config::{self, Shown, Value};
use crate::engine::DockerHost;

pub(super) fn show(
    named: Option<PathBuf>,
    names: Option<NamesFromContainers>,
    format: Format,
) -> Exit {
    // As for a start: a file that was named and is not there is a mistake.
    let names = names.filter(|_| named.as_ref().is_none_or(|path| path.exists()));
    let path = match (config_file(named), names) {
        (Some(path), _) => path,
        (None, Some(_)) => future_config_file(),
        (None, None) => return no_config(),
    };
    let (told, notes) = told(names);
    let followed = told.as_ref().is_some_and(is_told);
    let loaded = config::load_as(&path, told, None);
    print_issues(&path, &loaded.issues);
    for (variable, instead) in without_effect(followed, is_set) {
        eprintln!("note: {variable} is set and has no effect; in its place: {instead}");
    }
    for Note { variable, text } in notes {
        eprintln!("note: {variable} {text}");
    }
    let Some(config) = &loaded.config else {
        return Exit::BadUsage;
    };
    let mut shown = config::show(&path, config);
    let host = DockerHost::told(|name| std::env::var(name).ok());
    // The variable of the docker command goes before every file.
    let asks = matches!(config.engine, EngineChoice::Docker { .. });
    if let (Some(endpoint), Some(engine)) = (
        host.endpoint.filter(|_| asks),
        shown.iter_mut().find(|shown| shown.table == "[engine]"),
    ) {
        engine.values.retain(|value| value.key != "endpoint");
        engine.values.push(Value {
            key: "endpoint".to_owned(),
            value: format!("\"{}\"", endpoint.escape_default()),
            origin: "environment: DOCKER_HOST".to_owned(),
        });
    }
    match format {
        Format::Json => println!("{}", serde_json::json!(shown)),
        Format::Text => print!("{}", text(&shown)),
    }
    Exit::Fine
}

/// As a configuration that says it all, with the origins as comments.
fn text(shown: &[Shown]) -> String {
    /// Where the comments stand; a longer line has its own behind it.
    const COLUMN: usize = 48;
    let mut text = String::new();
    for Shown { table, values } in shown {
        if !text.is_empty() {
            text.push('\n');
        }
        if !table.is_empty() {
            text.push_str(&format!("{table}\n"));
        }
        // What no file can say in this place is a comment as a whole.
        let outside = if table.starts_with('#') { "# " } else { "" };
        for value in values {
            let line = format!("{outside}{} = {}", value.key, value.value);
            text.push_str(&format!("{line:COLUMN$}  # {}\n", value.origin));
        }
    }
    text
}
