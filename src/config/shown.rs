//! What is in force and where it was said: every key with its value, and its file and line, preset,
//! entry for many, or default.
//!
//! The layers are those of [`super::raw`]. Here they are texts, because a value that was
//! interpreted does not know where it came from; the defaults are those of the reference, which a
//! test holds to the program's.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde::Serialize;

use super::issue::Source;
use super::load::included;
use super::model::NamesFromContainers;
use super::presets;
use super::reader::{Said, Written, outline};
use super::variables;
use super::whole::{Asked, Config};

const REFERENCE: &str = include_str!("../../config/reference.toml");

/// One table.
#[derive(Debug, Serialize)]
pub struct Shown {
    /// As its heading has it: `[listen]` or `[[instance.route]]`.
    pub table: String,
    pub values: Vec<Value>,
}

/// One key.
#[derive(Debug, Eq, PartialEq, Serialize)]
pub struct Value {
    pub key: String,
    /// As TOML writes it on one line.
    pub value: String,
    /// Where it was said, for a person.
    pub origin: String,
}

/// Tables of an instance that have headings of their own; whatever else is a table is one value.
const PARTS: [&str; 5] = ["limits", "scale", "service", "route", "event"];
/// Keys of a service that mean something where nobody has said them.
const USUAL: [&str; 5] = ["keep-alive", "max", "min", "placement", "tls"];
/// What the reference says as an example and not as a default.
const EXAMPLES: [&str; 4] = ["name", "stack", "domains", "depends"];

/// The tables in force, from the files that `config` was made of.
pub fn show(path: &Path, config: &Config) -> Vec<Shown> {
    let main = read(path);
    let reference = outline(&Source::new("default".to_owned(), REFERENCE.to_owned()));
    let defaults = Layer::new(&reference, Origin::Default);
    let file = path.display().to_string();
    let written = Layer::new(&main, Origin::File(&file));
    let said = Outside::of(config);
    let outside = said.layers();
    let globals_of: Vec<Layer<'_>> = [written]
        .into_iter()
        .chain(outside)
        .chain([defaults])
        .collect();
    let mut shown = globals(&globals_of);
    let instances = said.instances();
    if let Some(layer) = instances.filter(|layer| !layer.entries.is_empty()) {
        shown.push(Shown {
            table: "# of each [[instance]] that says nothing else".to_owned(),
            values: values(&[layer], |_| true),
        });
    }

    let mut files = vec![(file.clone(), main.clone())];
    for pattern in words(find(&main, "include")) {
        for path in included(pattern).unwrap_or_default() {
            files.push((path.display().to_string(), read(&path)));
        }
    }
    let entries: Vec<Layer<'_>> = files
        .iter()
        .flat_map(|(file, text)| {
            let items = tables(find(text, "instance")).iter();
            items.map(|item| Layer::new(item, Origin::File(file)))
        })
        .collect();
    let named = |name: &str| entries.iter().find(|entry| entry.name() == name).copied();
    let below = Below {
        written: &written,
        environment: instances,
        defaults: &defaults,
    };
    for pattern in &config.patterns {
        shown.extend(
            named(&pattern.name())
                .map(|entry| below.instance(entry, None))
                .into_iter()
                .flatten(),
        );
    }
    for name in config.instances.keys() {
        let pattern = config
            .patterns
            .iter()
            .find(|pattern| pattern.fits_name(name.as_str()))
            .and_then(|pattern| named(&pattern.name()))
            .map(Layer::for_many);
        // An instance that is kept from before is in no file any more.
        if let Some(entry) = named(name.as_str()) {
            shown.extend(below.instance(entry, pattern));
        }
    }
    shown
}

fn read(path: &Path) -> Vec<Written> {
    let text = fs::read_to_string(path).unwrap_or_default();
    outline(&Source::new(path.display().to_string(), text))
}

/// What is said outside of every file, as texts.
struct Outside<'c> {
    asked: Option<&'c Asked>,
    variables: Vec<Written>,
    instances: Vec<Written>,
    command: Vec<Written>,
}

impl<'c> Outside<'c> {
    fn of(config: &'c Config) -> Self {
        let asked = config.asked.as_ref();
        let text = |text: &str| outline(&Source::new(String::new(), text.to_owned()));
        let variables = asked.map(|asked| &asked.variables);
        // As the layers of a start have it: who has containers name themselves orders certificates.
        let command = match asked.map(|asked| asked.names) {
            None => "",
            Some(NamesFromContainers::Off) => "[engine]\nnames-from-containers = \"off\"\n",
            Some(NamesFromContainers::Listed) => {
                "[engine]\nnames-from-containers = \"listed\"\n[acme]\n"
            }
            Some(NamesFromContainers::Open) => {
                "[engine]\nnames-from-containers = \"open\"\n[acme]\n"
            }
        };
        Self {
            asked,
            variables: text(variables.map_or("", |layer| layer.globals())),
            instances: text(variables.map_or("", |layer| layer.instances())),
            command: text(command),
        }
    }

    /// Below the file, the nearest first.
    fn layers(&self) -> Vec<Layer<'_>> {
        let Some(asked) = self.asked else {
            return Vec::new();
        };
        let origin = Origin::Environment(&asked.variables, "");
        vec![
            Layer::new(&self.variables, origin),
            Layer::new(&self.command, Origin::Command),
        ]
    }

    /// Below every instance.
    fn instances(&self) -> Option<Layer<'_>> {
        let origin = Origin::Environment(&self.asked?.variables, "instance");
        Some(Layer::new(&self.instances, origin))
    }
}

/// The tables of the file itself, from these layers: those of the file first, the defaults last.
fn globals(layers: &[Layer<'_>]) -> Vec<Shown> {
    let (Some(written), Some(defaults)) = (layers.first(), layers.last()) else {
        return Vec::new();
    };
    let said = layers.get(..layers.len() - 1).unwrap_or_default();
    let mut shown = Vec::new();
    let root = values(&[*written], |written| written.key == "include");
    if !root.is_empty() {
        shown.push(Shown {
            table: String::new(),
            values: root,
        });
    }
    for default in defaults.entries {
        let name = default.key.as_str();
        let own: Vec<_> = said.iter().filter_map(|layer| layer.below(name)).collect();
        // Its presence alone means something.
        if !matches!(default.said, Said::Table(_)) || (name == "acme" && own.is_empty()) {
            continue;
        }
        let layers: Vec<_> = own.iter().copied().chain(defaults.below(name)).collect();
        shown.push(Shown {
            table: format!("[{name}]"),
            values: values(&layers, |written| written.key != "directory"),
        });
        let mut directories = BTreeSet::new();
        let declared = own.iter().filter_map(|own| own.below("directory"));
        for (name, layer) in declared.flat_map(|layer| layer.all().collect::<Vec<_>>()) {
            // The first that declares it says all of it.
            if !directories.insert(name) {
                continue;
            }
            shown.push(Shown {
                table: format!("[acme.directory.{}]", key(name)),
                values: values(&[layer], |_| true),
            });
        }
    }
    let usual = tables(find(defaults.entries, "alert")).first();
    for alert in tables(find(written.entries, "alert")) {
        let usual = usual.map(|usual| Layer::new(usual, Origin::Default));
        let layers: Vec<_> = [Layer::new(alert, written.origin)]
            .into_iter()
            .chain(usual)
            .collect();
        let own = |known: &str| alert.iter().any(|written| written.key == known);
        shown.push(Shown {
            table: "[[alert]]".to_owned(),
            // Its receiver is nobody's default, and neither is what follows from it.
            values: values(&layers, |written| {
                own(&written.key) || written.key == "min-status"
            }),
        });
    }
    shown
}

/// What lies below every entry.
struct Below<'l, 't> {
    written: &'l Layer<'t>,
    /// For every instance.
    environment: Option<Layer<'t>>,
    defaults: &'l Layer<'t>,
}

impl<'t> Below<'_, 't> {
    /// All tables of one entry.
    fn instance(&self, entry: Layer<'t>, pattern: Option<Layer<'t>>) -> Vec<Shown> {
        let own: Vec<Layer<'t>> = [entry].into_iter().chain(pattern).collect();
        let preset = own.iter().find_map(|layer| find(layer.entries, "preset"));
        let preset_name = preset.map(plain).unwrap_or_default();
        let preset = presets::source(&preset_name).map(|source| outline(&source));
        let preset = preset
            .as_ref()
            .map(|preset| Layer::new(preset, Origin::Preset(&preset_name)));
        let usual = tables(find(self.defaults.entries, "instance")).first();
        let usual = usual.map(|usual| Layer::new(usual, Origin::Default));
        let layers: Vec<Layer<'_>> = own.iter().copied().chain(preset).collect();

        let with_usual = layers.iter().copied().chain(self.environment);
        let with_usual: Vec<_> = with_usual.chain(usual).collect();
        let first = |known: &str| {
            layers
                .iter()
                .any(|layer| find(layer.entries, known).is_some())
        };
        let mut head = values(&with_usual, |written| {
            let key = written.key.as_str();
            !PARTS.contains(&key) && (!EXAMPLES.contains(&key) || first(key))
        });
        // Keys of the entry that stands for many belong to it alone.
        head.retain(|value| {
            let alone = ["name", "stack", "match", "except"].contains(&value.key.as_str());
            !alone || find(entry.entries, &value.key).is_some()
        });
        let mut shown = vec![Shown {
            table: "[[instance]]".to_owned(),
            values: head,
        }];
        for part in ["limits", "scale"] {
            let below = [*self.written, *self.defaults];
            let layers = layers.iter().chain(&below);
            let layers: Vec<_> = layers.filter_map(|layer| layer.below(part)).collect();
            shown.push(Shown {
                table: format!("[instance.{part}]"),
                values: values(&layers, |_| true),
            });
        }
        shown.extend(services(&layers, usual));
        let mut prefixes = BTreeSet::new();
        for layer in &layers {
            for route in tables(find(layer.entries, "route")) {
                if prefixes.insert(find(route, "prefix").map(plain)) {
                    shown.push(Shown {
                        table: "[[instance.route]]".to_owned(),
                        values: values(&[Layer::new(route, layer.origin)], |_| true),
                    });
                }
            }
        }
        let events = |layer: &&Layer<'_>| find(layer.entries, "event").is_some();
        // Its own calendar stands for the one below.
        if let Some(layer) = layers.iter().find(events) {
            for event in tables(find(layer.entries, "event")) {
                shown.push(Shown {
                    table: "[[instance.event]]".to_owned(),
                    values: values(&[Layer::new(event, layer.origin)], |_| true),
                });
            }
        }
        shown
    }
}

fn services<'t>(layers: &[Layer<'t>], usual: Option<Layer<'t>>) -> Vec<Shown> {
    let mut shown = Vec::new();
    let mut known = BTreeSet::new();
    let all = layers.iter().filter_map(|layer| layer.below("service"));
    for (name, _) in all.flat_map(|layer| layer.all()) {
        if !known.insert(name) {
            continue;
        }
        let of = |layer: &Layer<'t>| layer.below("service")?.below(name);
        let mut own: Vec<Layer<'t>> = layers.iter().filter_map(of).collect();
        let role = own.iter().find_map(|layer| find(layer.entries, "role"));
        // In the reference each role has one service; a fixed one has no defaults.
        let example = match role.map(plain).as_deref() {
            Some("sessions") => Some("web"),
            Some("ratio") => Some("worker"),
            _ => None,
        };
        let default = example.and_then(|name| usual?.below("service")?.below(name));
        let said: BTreeSet<&str> = own.iter().flat_map(|layer| layer.keys()).collect();
        own.extend(default);
        shown.push(Shown {
            table: format!("[instance.service.{}]", key(name)),
            values: values(&own, |written| {
                let key = written.key.as_str();
                said.contains(key) || USUAL.contains(&key)
            }),
        });
    }
    shown
}

/// Where a layer was written.
#[derive(Clone, Copy)]
enum Origin<'t> {
    /// The command line.
    Command,
    Default,
    /// Variables, in a table.
    Environment(&'t variables::Layer, &'t str),
    File(&'t str),
    /// An entry that stands for many.
    Many(&'t str),
    Preset(&'t str),
}

impl Origin<'_> {
    fn at(self, written: &Written) -> String {
        let line = written.line;
        match self {
            Self::Command => "command line".to_owned(),
            Self::Default => "default".to_owned(),
            Self::Environment(said, table) => {
                let about: Vec<&str> = said.about(table, &written.key).collect();
                match about.is_empty() {
                    // What the variables say where none is set is what nginx-proxy does.
                    true => "default in the place of nginx-proxy".to_owned(),
                    false => format!("environment: {}", about.join(", ")),
                }
            }
            Self::File(file) => format!("{file}:{line}"),
            Self::Many(file) => format!("{file}:{line}, for many"),
            Self::Preset(name) => format!("preset {name}"),
        }
    }
}

/// One of several tables that say something about the same.
#[derive(Clone, Copy)]
struct Layer<'t> {
    entries: &'t [Written],
    origin: Origin<'t>,
}

impl<'t> Layer<'t> {
    fn new(entries: &'t [Written], origin: Origin<'t>) -> Self {
        Self { entries, origin }
    }

    fn for_many(self) -> Self {
        match self.origin {
            Origin::File(file) => Self::new(self.entries, Origin::Many(file)),
            _ => self,
        }
    }

    fn name(&self) -> String {
        find(self.entries, "name").map(plain).unwrap_or_default()
    }

    fn keys(&self) -> impl Iterator<Item = &'t str> + use<'t> {
        self.entries.iter().map(|written| written.key.as_str())
    }

    fn below(&self, key: &str) -> Option<Self> {
        let written = self.entries.iter().find(|written| written.key == key)?;
        let origin = match self.origin {
            Origin::Environment(said, "") => Origin::Environment(said, &written.key),
            origin => origin,
        };
        match &written.said {
            Said::Table(entries) => Some(Self::new(entries, origin)),
            Said::Plain { .. } | Said::Tables(_) => None,
        }
    }

    /// The tables of a table, by their names.
    fn all(&self) -> impl Iterator<Item = (&'t str, Layer<'t>)> + use<'t> {
        let origin = self.origin;
        self.entries
            .iter()
            .filter_map(move |written| match &written.said {
                Said::Table(entries) => Some((written.key.as_str(), Layer::new(entries, origin))),
                Said::Plain { .. } | Said::Tables(_) => None,
            })
    }
}

/// The keys of a table, each from the first layer that has it.
fn values(layers: &[Layer<'_>], wanted: impl Fn(&Written) -> bool) -> Vec<Value> {
    let mut known = BTreeSet::new();
    let mut found = Vec::new();
    for layer in layers {
        for written in layer.entries {
            if wanted(written) && known.insert(written.key.as_str()) {
                found.push(Value {
                    key: key(&written.key),
                    value: inline(&written.said),
                    origin: layer.origin.at(written),
                });
            }
        }
    }
    found
}

fn find<'t>(entries: &'t [Written], key: &str) -> Option<&'t Said> {
    let written = entries.iter().find(|written| written.key == key)?;
    Some(&written.said)
}

fn tables(said: Option<&Said>) -> &[Vec<Written>] {
    match said {
        Some(Said::Tables(tables)) => tables,
        _ => &[],
    }
}

fn words(said: Option<&Said>) -> &[String] {
    match said {
        Some(Said::Plain { words, .. }) => words,
        _ => &[],
    }
}

fn plain(said: &Said) -> String {
    words(Some(said)).first().cloned().unwrap_or_default()
}

fn inline(said: &Said) -> String {
    let table = |entries: &Vec<Written>| {
        let pairs: Vec<String> = entries
            .iter()
            .map(|written| format!("{} = {}", key(&written.key), inline(&written.said)))
            .collect();
        match pairs.is_empty() {
            true => "{}".to_owned(),
            false => format!("{{ {} }}", pairs.join(", ")),
        }
    };
    match said {
        Said::Plain { text, .. } => text.clone(),
        Said::Table(entries) => table(entries),
        Said::Tables(tables) => {
            let tables: Vec<String> = tables.iter().map(table).collect();
            format!("[{}]", tables.join(", "))
        }
    }
}

/// A key as TOML has it: bare where it can be.
fn key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !name.is_empty() && name.chars().all(bare) {
        name.to_owned()
    } else {
        format!("\"{}\"", name.escape_default())
    }
}

#[cfg(test)]
mod tests;
