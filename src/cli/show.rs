//! `usher show`: what is in force, and where it was said.

use std::path::PathBuf;

use super::{Exit, Format, config_file, no_config, print_issues};
use crate::config::{self, Shown};

pub(super) fn show(named: Option<PathBuf>, format: Format) -> Exit {
    let Some(path) = config_file(named) else {
        return no_config();
    };
    let loaded = config::load(&path, None);
    print_issues(&path, &loaded.issues);
    let Some(config) = &loaded.config else {
        return Exit::BadUsage;
    };
    let shown = config::show(&path, config);
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
        for value in values {
            let line = format!("{} = {}", value.key, value.value);
            text.push_str(&format!("{line:COLUMN$}  # {}\n", value.origin));
        }
    }
    text
}
