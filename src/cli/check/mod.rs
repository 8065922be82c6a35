//! `usher check`: everything that can be known without serving, every issue and not the first.

use std::path::{Path, PathBuf};
use std::sync::Arc;

mod controller;
mod engine;
mod findings;
mod machine;

use self::engine::check_engine;
use self::findings::Findings;
use self::machine::{check_certificates, check_files, check_names};
use super::environment::{is_set, is_told, told, without_effect};
use super::{Exit, Format, config_file, future_config_file, no_config};
use crate::config::model::NamesFromContainers;
use crate::config::variables::Note;
use crate::config::{self, Level};

pub(super) async fn check(
    named: Option<PathBuf>,
    names_from_containers: Option<NamesFromContainers>,
    offline: bool,
    format: Format,
) -> Exit {
    let (told, notes) = told(names_from_containers);
    let path = match (config_file(named), &told) {
        (Some(path), _) => path,
        (None, Some(_)) => future_config_file(),
        (None, None) => return no_config(),
    };
    let followed = told.as_ref().is_some_and(is_told);
    let loaded = config::load_as(&path, told, None);
    let mut findings = Findings::default();
    for Note { variable, text } in notes {
        findings.add(Level::Warning, format!("the variable {variable}: {text}"));
    }
    for (variable, instead) in without_effect(followed, is_set) {
        let text = format!("the variable {variable} is set and has no effect; instead: {instead}");
        findings.add(Level::Warning, text);
    }
    for issue in &loaded.issues {
        findings.add(issue.level, issue.to_string());
    }
    if let Some(config) = loaded.config {
        let config = Arc::new(config);
        check_files(&config, &mut findings);
        check_certificates(&config, &mut findings);
        if !offline {
            check_engine(&config, &mut findings).await;
            check_names(&config, &mut findings).await;
        }
        let named = config.names_from_containers != NamesFromContainers::Off;
        if config.instances.is_empty() && config.patterns.is_empty() && !named {
            findings.add(
                Level::Warning,
                "no instance is declared: every name is answered with 503",
            );
        }
    }
    print(&path, &findings, format)
}

fn print(path: &Path, findings: &Findings, format: Format) -> Exit {
    match format {
        Format::Json => match serde_json::to_string_pretty(&findings.0) {
            Ok(text) => println!("{text}"),
            Err(error) => eprintln!("error: {error}"),
        },
        Format::Text => {
            for finding in &findings.0 {
                println!("{}: {}", finding.level, finding.text);
            }
            if findings.0.is_empty() {
                println!("{}: nothing is wrong", path.display());
            }
        }
    }
    if findings.has_error() {
        Exit::BadUsage
    } else {
        Exit::Fine
    }
}
