//! `VIRTUAL_HOST_MULTIPORTS`: the hosts of a container with the paths of each, as YAML or JSON.
//!
//! YAML can say much with few bytes. Nothing of that is needed here: what refers to something else, is
//! deep, or is many, is refused while it is read.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, de};
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy};

use super::paths::{self, MOST_HOSTS, Place, Site, port};
use super::reading::{Reading, refused, shown};
use crate::names::PathPattern;
use crate::plan::ExternalPorts;

pub(super) const KEY: &str = "VIRTUAL_HOST_MULTIPORTS";

/// Paths of all hosts of one container together.
const MOST_PATHS: usize = 32;
/// Of which patterns, each of which may take memory when it is compiled.
const MOST_PATTERNS: usize = 8;

/// Maps in maps: hosts, paths, and what is said of a path.
const DEPTH: usize = 3;
/// Names, keys and values; what the engine lets through has no room for many more.
const NODES: usize = 512;

type Hosts = BTreeMap<String, Option<Said>>;

/// What is said of a host.
#[derive(Debug, Default, PartialEq)]
struct Said {
    external_http_port: Option<Scalar>,
    external_https_port: Option<Scalar>,
    paths: BTreeMap<String, Option<Words>>,
}

/// What is said of a path.
#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Words {
    port: Option<Scalar>,
    proto: Option<Scalar>,
    dest: Option<Scalar>,
}

/// A text or a number, whichever it was written as.
#[derive(Debug, PartialEq)]
struct Scalar(String);

impl Reading<'_> {
    /// Each host leads to its own places, whatever the variables for one place say.
    pub(super) fn multiports(
        &mut self,
        text: &str,
        external: ExternalPorts,
    ) -> Result<Vec<Site>, String> {
        let hosts = parse(text).map_err(|why| {
            format!("{KEY} {why}; the container is not routed until that is mended")
        })?;
        let all = || hosts.values().flatten().flat_map(|said| said.paths.keys());
        let patterns = all().filter(|path| PathPattern::is_meant(path)).count();
        for (what, many, most) in [
            ("paths", all().count(), MOST_PATHS),
            ("patterns", patterns, MOST_PATTERNS),
        ] {
            if many > most {
                let why = format!("has {many} {what}, and at most {most} are read");
                return Err(refused(KEY, text, &why));
            }
        }
        let mut sites: Vec<Site> = Vec::new();
        for (text, said) in &hosts {
            let Some(host) = self.hosts([text.as_str()].into_iter(), KEY).pop() else {
                continue;
            };
            if sites.iter().any(|known| known.host == host) {
                self.ignored(KEY, text, "another spelling of it is there already");
            } else if sites.len() == MOST_HOSTS {
                let why = format!("it is one name more than {MOST_HOSTS}");
                self.ignored(KEY, text, &why);
            } else {
                let nothing = Said::default();
                let said = said.as_ref().unwrap_or(&nothing);
                sites.push(Site {
                    host,
                    external: self.external_of(said, external),
                    places: self.places_of(said)?,
                });
            }
        }
        if sites.is_empty() {
            return Err(refused(KEY, text, "names no host"));
        }
        Ok(sites)
    }

    fn places_of(&self, said: &Said) -> Result<Vec<Place>, String> {
        let mut places = Vec::new();
        for (path, words) in &said.paths {
            let nothing = Words::default();
            let words = words.as_ref().unwrap_or(&nothing);
            let words = paths::Words {
                path,
                dest: said_in(&words.dest),
                port: said_in(&words.port),
                proto: said_in(&words.proto),
            };
            let place = words.read(self.names).map_err(|one| {
                let part = one.key.trim_start_matches("VIRTUAL_").to_ascii_lowercase();
                refused(&format!("{KEY}: the {part}"), one.word, &one.why)
            })?;
            places.push(place);
        }
        if places.is_empty() {
            places.push(Place {
                path: "/".to_owned(),
                dest: None,
                port: None,
                tls: false,
            });
        }
        Ok(places)
    }

    fn external_of(&mut self, said: &Said, usual: ExternalPorts) -> ExternalPorts {
        let mut read = |scalar: &Option<Scalar>, usual: Option<u16>| {
            let Some(text) = said_in(scalar) else {
                return usual;
            };
            let external = port(text);
            if external.is_none() {
                self.ignored(KEY, text, "it is no port between 1 and 65535");
            }
            external.or(usual)
        };
        ExternalPorts {
            http: read(&said.external_http_port, usual.http),
            https: read(&said.external_https_port, usual.https),
        }
    }
}

/// A word that says something.
fn said_in(scalar: &Option<Scalar>) -> Option<&str> {
    let text = scalar.as_ref()?.0.trim();
    (!text.is_empty()).then_some(text)
}

/// Reads the whole value.
///
/// # Errors
/// What is wrong with it, as the rest of "VIRTUAL_HOST_MULTIPORTS …".
fn parse(text: &str) -> Result<Hosts, String> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_aliases: 0,
            max_anchors: 0,
            max_depth: DEPTH,
            max_documents: 1,
            max_nodes: NODES,
            max_events: NODES * 3,
            max_merge_keys: 0,
            flow_nesting_limit: DEPTH,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Error,
        with_snippet: false,
    };
    let hosts: Hosts = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let error = error.to_string();
        let first = error.lines().next().unwrap_or_default();
        format!(
            "is not hosts with paths with `port`, `proto` and `dest`: {}",
            shown(first)
        )
    })?;
    if hosts.is_empty() {
        return Err("names no host".to_owned());
    }
    Ok(hosts)
}

impl<'de> Deserialize<'de> for Said {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(SaidVisitor)
    }
}

struct SaidVisitor;

impl<'de> Visitor<'de> for SaidVisitor {
    type Value = Said;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the paths of a host")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Said, A::Error> {
        let mut said = Said::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "external_http_port" => said.external_http_port = map.next_value()?,
                "external_https_port" => said.external_https_port = map.next_value()?,
                _ => drop(said.paths.insert(key, map.next_value()?)),
            }
        }
        Ok(said)
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a number")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar(text.to_owned()))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Scalar, E> {
        Ok(Scalar(number.to_string()))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Scalar, E> {
        Ok(Scalar(number.to_string()))
    }
}

#[cfg(test)]
mod tests;
