//! What tests of configurations begin with: files in a folder of their own, and a small instance.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use super::load::{Loaded, load};
use super::model::{Instance, NamesFromContainers};
use super::variables;
use super::whole::{Asked, Config};

pub(super) const SMALL: &str = r#"
[[instance]]
name = "congress"
domains = ["congress.example.org"]
[instance.service.web]
role = "sessions"
port = 8000
"#;

/// Files of one test, in a folder of their own.
pub(super) struct Files(tempfile::TempDir);

impl Files {
    pub(super) fn new(main: &str) -> Self {
        let files = Self(tempfile::tempdir().expect("a folder"));
        files.write("usher.toml", main);
        files
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        // `DIR` stands for the folder, for includes.
        let text = text.replace("DIR", &self.0.path().display().to_string());
        fs::write(self.path(name), text).expect("written");
    }

    pub(super) fn load(&self, previous: Option<&Config>) -> Loaded {
        load(&self.path("usher.toml"), previous)
    }
}

/// The issues of a text, without the folder's name.
pub(super) fn issues(text: &str) -> Vec<String> {
    let files = Files::new(text);
    let folder = format!("{}/", files.0.path().display());
    let loaded = files.load(None);
    loaded
        .issues
        .iter()
        .map(|issue| issue.to_string().replace(&folder, ""))
        .collect()
}

pub(super) fn good(text: &str) -> Config {
    let loaded = Files::new(text).load(None);
    assert_eq!(loaded.issues, [], "{text}");
    loaded.config.expect("applied")
}

pub(super) fn instance(config: &Config, name: &str) -> Arc<Instance> {
    Arc::clone(&config.instances[name])
}

/// As a process with these variables is started.
pub(super) fn asked(names: NamesFromContainers, set: &[(&str, &str)]) -> Asked {
    let (variables, _) = variables::read(|name| {
        let found = set.iter().find(|(key, _)| *key == name)?;
        Some(found.1.to_owned())
    });
    Asked {
        names,
        variables: Arc::new(variables),
    }
}
