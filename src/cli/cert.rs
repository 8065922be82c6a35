//! `usher cert`: what certificates there are, and what an operator may do with them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::Subcommand;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::client::{ask, command};
use super::table::table;
use super::{At, Exit, Format, config_file, no_config, print_issues};
use crate::admin::Order;
use crate::cause::chain;
use crate::certs::export::{TakenOut, take_out};
use crate::certs::{self, import};
use crate::config::{self, Config};
use crate::durable::replace_file;
use crate::names::Domain;

#[derive(Debug, Subcommand)]
pub(super) enum CertVerb {
    /// What each name is served with, when it ends and when it is renewed
    List {
        #[command(flatten)]
        at: At,
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Orders a fresh certificate for a name now, and waits for it. The authority's limits and
    /// usher's own hold all the same
    Renew {
        #[command(flatten)]
        at: At,
        name: String,
    },
    /// Takes over the pairs of a folder: acme-companion's, or files NAME.crt and NAME.key. Each
    /// is checked and takes the place only of one that ends sooner. The folder is only read
    Import {
        /// [default: config/usher.toml if it exists, else /etc/usher/usher.toml]
        #[arg(long)]
        config: Option<PathBuf>,
        dir: PathBuf,
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Prints the chain of certificates that a name is served with
    Export {
        /// [default: config/usher.toml if it exists, else /etc/usher/usher.toml]
        #[arg(long)]
        config: Option<PathBuf>,
        name: String,
        /// Print the key too
        #[arg(long)]
        key: bool,
        /// Write NAME.crt and NAME.key there instead; the key with mode 0600
        #[arg(long, value_name = "DIR", conflicts_with = "key")]
        dir: Option<PathBuf>,
    },
    /// Prints the roots of this machine's own authority, which signs for localhost, addresses and
    /// private names; devices have to be told to trust them
    Root {
        /// [default: config/usher.toml if it exists, else /etc/usher/usher.toml]
        #[arg(long)]
        config: Option<PathBuf>,
    },
}

impl CertVerb {
    pub(super) async fn execute(self) -> Exit {
        match self {
            Self::List { at, format } => list(&at, format).await,
            Self::Renew { at, name } => command(&at, &Order::Renew { name }).await,
            Self::Import {
                config,
                dir,
                format,
            } => with(config, |config| take_over(config, &dir, format)),
            Self::Export {
                config,
                name,
                key,
                dir,
            } => with(config, |config| {
                hand_out(config, &name, key, dir.as_deref())
            }),
            Self::Root { config } => with(config, root),
        }
    }
}

/// Reads the configuration and goes on with it.
fn with(named: Option<PathBuf>, then: impl FnOnce(&Config) -> Exit) -> Exit {
    let Some(path) = config_file(named) else {
        return no_config();
    };
    let loaded = config::load(&path, None);
    match &loaded.config {
        Some(config) => then(config),
        None => {
            print_issues(&path, &loaded.issues);
            Exit::BadUsage
        }
    }
}

fn failed(why: &str) -> Exit {
    eprintln!("error: {why}");
    Exit::Failed
}

/// The part of the statistics that is listed.
#[derive(Debug, Deserialize)]
struct Stats {
    instances: Vec<Instance>,
}

#[derive(Debug, Deserialize)]
struct Instance {
    name: String,
    certificates: Vec<Certificate>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Certificate {
    names: Vec<String>,
    state: String,
    source: String,
    not_after: Option<String>,
    next_renewal: Option<String>,
    last_error: Option<String>,
}

/// A certificate with whose it is.
#[derive(Debug, Serialize)]
struct Listed {
    instance: String,
    #[serde(flatten)]
    certificate: Certificate,
}

async fn list(at: &At, format: Format) -> Exit {
    let body = match ask(at, "/stats", None).await {
        Ok(body) => body,
        Err(why) => return failed(&why),
    };
    let stats: Stats = match serde_json::from_slice(&body) {
        Ok(stats) => stats,
        Err(error) => return failed(&format!("the answer is not understood: {error}")),
    };
    let listed: Vec<Listed> = stats
        .instances
        .into_iter()
        .flat_map(|instance| {
            let name = instance.name;
            let of = move |certificate| Listed {
                instance: name.clone(),
                certificate,
            };
            instance.certificates.into_iter().map(of)
        })
        .collect();
    match format {
        Format::Json => return json(&listed),
        Format::Text => print!("{}", listing(&listed, now())),
    }
    Exit::Fine
}

fn json(value: &impl Serialize) -> Exit {
    match serde_json::to_string_pretty(value) {
        Ok(text) => {
            println!("{text}");
            Exit::Fine
        }
        Err(error) => failed(&error.to_string()),
    }
}

fn listing(listed: &[Listed], now: SystemTime) -> String {
    let heads = [
        "NAMES",
        "STATE",
        "SOURCE",
        "DAYS",
        "NEXT RENEWAL",
        "LAST ERROR",
    ];
    let mut rows = vec![heads.map(str::to_owned)];
    rows.extend(listed.iter().map(|listed| row(&listed.certificate, now)));
    table(&rows)
}

fn row(certificate: &Certificate, now: SystemTime) -> [String; 6] {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    [
        certificate.names.join(", "),
        certificate.state.clone(),
        certificate.source.clone(),
        or_none(days(certificate.not_after.as_deref(), now)),
        or_none(certificate.next_renewal.clone()),
        or_none(certificate.last_error.clone()),
    ]
}

/// Whole days until then; below zero when it is over.
fn days(end: Option<&str>, now: SystemTime) -> Option<String> {
    let end: Timestamp = end?.parse().ok()?;
    let now = Timestamp::try_from(now).ok()?;
    Some(
        (end.as_second() - now.as_second())
            .div_euclid(86_400)
            .to_string(),
    )
}

/// What became of one name.
#[derive(Debug, Serialize)]
struct Told {
    name: String,
    outcome: &'static str,
    text: Option<String>,
}

fn take_over(config: &Config, dir: &Path, format: Format) -> Exit {
    let outcomes = match import::import(dir, &config.certs.dir, now()) {
        Ok(outcomes) => outcomes,
        Err(error) => return failed(&chain(&error)),
    };
    let left_out = outcomes
        .iter()
        .any(|imported| matches!(imported.outcome, import::Outcome::LeftOut(_)));
    match format {
        Format::Json => {
            let told = |imported: &import::Imported| {
                let (outcome, text) = match &imported.outcome {
                    import::Outcome::Kept(why) => ("kept", Some(why.clone())),
                    import::Outcome::LeftOut(why) => ("left-out", Some(why.clone())),
                    import::Outcome::Taken { .. } => ("taken", None),
                };
                Told {
                    name: imported.name.clone(),
                    outcome,
                    text,
                }
            };
            let told: Vec<Told> = outcomes.iter().map(told).collect();
            json(&told);
        }
        Format::Text => {
            for imported in &outcomes {
                println!("{imported}");
            }
        }
    }
    if left_out { Exit::Failed } else { Exit::Fine }
}

fn hand_out(config: &Config, name: &str, key: bool, dir: Option<&Path>) -> Exit {
    let name: Domain = match name.parse() {
        Ok(name) => name,
        Err(error) => {
            eprintln!("error: `{name}` {error}");
            return Exit::BadUsage;
        }
    };
    let pair = match take_out(&config.certs.dir, &name, now()) {
        Ok(pair) => pair,
        Err(why) => return failed(&why),
    };
    match dir {
        None => {
            print!("{}", pair.chain);
            if key {
                print!("{}", pair.key);
            }
        }
        Some(dir) => match write_pair(dir, &name, &pair) {
            Ok(paths) => {
                for path in paths {
                    println!("{}", path.display());
                }
            }
            Err(error) => return failed(&format!("cannot write into {}: {error}", dir.display())),
        },
    }
    Exit::Fine
}

fn root(config: &Config) -> Exit {
    let state = &config.state_dir;
    match certs::local::root_pem(state) {
        Ok(Some(roots)) => {
            print!("{roots}");
            Exit::Fine
        }
        Ok(None) => failed(&format!(
            "there is no local authority in {} yet; `usher run` makes one when a name needs it, such \
             as localhost, an address or a name that ends in .test",
            state.display()
        )),
        Err(error) => failed(&format!(
            "cannot read the local authority in {}: {error}",
            state.display()
        )),
    }
}

/// The key first: who finds a certificate there finds its key too.
fn write_pair(dir: &Path, name: &Domain, pair: &TakenOut) -> io::Result<[PathBuf; 2]> {
    let base = match name {
        Domain::Exact(name) => name.to_string(),
        Domain::Below(name) => format!("wildcard_{name}"),
    };
    fs::create_dir_all(dir)?;
    let paths = [format!("{base}.key"), format!("{base}.crt")].map(|file| dir.join(file));
    let [key, crt] = &paths;
    replace_file(key, &pair.key, 0o600)?;
    replace_file(crt, &pair.chain, 0o644)?;
    Ok(paths)
}

#[expect(clippy::disallowed_methods, reason = "the clock of a command")]
fn now() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn the_list_has_a_line_per_certificate_with_the_days_that_are_left() {
        let stats: Stats = serde_json::from_value(serde_json::json!({ "instances": [
            { "name": "congress", "certificates": [{
                "names": ["congress.example.org", "www.congress.example.org"],
                "state": "valid", "source": "acme", "not_after": "2026-11-28T12:00:00Z",
                "next_renewal": "2026-11-24T00:00:00Z", "last_error": null }] },
            { "name": "party", "certificates": [{
                "names": ["party.example.org"], "state": "expired", "source": "file",
                "not_after": "2026-11-26T12:00:00Z", "next_renewal": null,
                "last_error": "refused" }] },
        ] }))
        .expect("stats");
        let listed: Vec<Listed> = stats
            .instances
            .into_iter()
            .flat_map(|instance| instance.certificates)
            .map(|certificate| Listed {
                instance: String::new(),
                certificate,
            })
            .collect();
        // 2026-11-27T00:00:00Z
        let now = UNIX_EPOCH + Duration::from_secs(1_795_737_600);
        assert_eq!(
            listing(&listed, now),
            "NAMES                                           STATE    SOURCE  DAYS  NEXT RENEWAL          LAST ERROR\n\
             congress.example.org, www.congress.example.org  valid    acme    1     2026-11-24T00:00:00Z  -\n\
             party.example.org                               expired  file    -1    -                     refused\n"
        );
    }
}
