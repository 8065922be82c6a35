//! What a container serves: hosts, the paths below each, and where it answers for them.

use std::fmt;

use super::reading::{LONGEST, Reading};
use crate::config::model::NamesFromContainers;
use crate::names::{Domain, HostPattern, PathPattern};
use crate::plan::ExternalPorts;

/// Names in one list of one container.
pub(super) const MOST_HOSTS: usize = 16;

/// A host that a container asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::compat) enum Host {
    Named(Domain),
    Shaped(HostPattern),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(domain) => domain.fmt(f),
            Self::Shaped(pattern) => pattern.fmt(f),
        }
    }
}

/// A host, and what of it the container serves.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::compat) struct Site {
    pub(in crate::compat) host: Host,
    pub(in crate::compat) external: ExternalPorts,
    /// Never empty; each path once, in their alphabet.
    pub(in crate::compat) places: Vec<Place>,
}

/// A path, and where the container answers for it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::compat) struct Place {
    /// A prefix, or a pattern that begins with `~`.
    pub(in crate::compat) path: String,
    pub(in crate::compat) dest: Option<String>,
    /// `None`: the only port that is exposed, else 80.
    pub(in crate::compat) port: Option<u16>,
    pub(in crate::compat) tls: bool,
}

/// The words for one place, as they were found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words<'w> {
    pub(super) path: &'w str,
    pub(super) dest: Option<&'w str>,
    pub(super) port: Option<&'w str>,
    pub(super) proto: Option<&'w str>,
}

/// A word that keeps the container out: which of them, and why.
#[derive(Debug)]
pub(super) struct Refused<'w> {
    pub(super) key: &'static str,
    pub(super) word: &'w str,
    pub(super) why: String,
}

impl Reading<'_> {
    pub(super) fn external(&mut self, key: &str) -> Option<u16> {
        let text = self.get(key)?;
        let port = port(text);
        if port.is_none() {
            self.ignored(key, text, "it is no port between 1 and 65535");
        }
        port
    }

    pub(super) fn hosts<'t>(
        &mut self,
        list: impl Iterator<Item = &'t str>,
        key: &str,
    ) -> Vec<Host> {
        let mut hosts: Vec<Host> = Vec::new();
        for text in list {
            let shaped = text.starts_with('~') || text.ends_with(".*");
            let host = if !shaped {
                text.parse::<Domain>().map(Host::Named)
            } else if self.names == NamesFromContainers::Open {
                HostPattern::parse(text).map(Host::Shaped)
            } else {
                let why = "patterns count only where `names-from-containers` is \"open\"";
                self.ignored(key, text, why);
                continue;
            };
            match host {
                Err(why) => self.ignored(key, text, &format!("it {why}")),
                Ok(host) if hosts.contains(&host) => {}
                Ok(_) if hosts.len() == MOST_HOSTS => {
                    let why = format!("it is one name more than {MOST_HOSTS}");
                    self.ignored(key, text, &why);
                }
                Ok(host) => hosts.push(host),
            }
        }
        hosts
    }
}

impl<'w> Words<'w> {
    pub(super) fn read(self, names: NamesFromContainers) -> Result<Place, Refused<'w>> {
        let Self {
            path,
            dest,
            port: listens,
            proto,
        } = self;
        let refused = |key, word, why: &str| {
            let why = why.to_owned();
            Refused { key, word, why }
        };
        let port = match listens {
            None => None,
            Some(text) => {
                let why = "is no port between 1 and 65535";
                let port = port(text).ok_or_else(|| refused("VIRTUAL_PORT", text, why))?;
                Some(port)
            }
        };
        let tls = match proto {
            None | Some("http") => false,
            Some("https") => true,
            Some(other) => return Err(refused("VIRTUAL_PROTO", other, speaks(other))),
        };
        if PathPattern::is_meant(path) {
            if names != NamesFromContainers::Open {
                let why = "is a pattern, which counts only where `names-from-containers` is \"open\"; \
                           write it as the `prefix` of a route of its [[instance]]";
                return Err(refused("VIRTUAL_PATH", path, why));
            }
            if let Err(why) = PathPattern::parse(path) {
                return Err(refused("VIRTUAL_PATH", path, &why.to_string()));
            }
            if let Some(dest) = dest {
                // nginx refuses the two together as well, and then its whole configuration.
                let why = "does not go with a pattern in VIRTUAL_PATH: nobody can say what it stands \
                           for";
                return Err(refused("VIRTUAL_DEST", dest, why));
            }
        } else if !is_plain(path) {
            return Err(refused("VIRTUAL_PATH", path, PLAIN));
        }
        if let Some(dest) = dest.filter(|dest| !is_plain(dest)) {
            return Err(refused("VIRTUAL_DEST", dest, PLAIN));
        }
        Ok(Place {
            path: path.to_owned(),
            dest: dest.map(ToOwned::to_owned),
            port,
            tls,
        })
    }
}

/// A port that one can connect to.
pub(super) fn port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port != 0)
}

/// Why a protocol is not spoken with containers.
fn speaks(proto: &str) -> &'static str {
    match proto {
        "uwsgi" => "is nothing usher speaks with containers; have uWSGI listen with `http-socket`",
        "fastcgi" => {
            "is nothing usher speaks with containers; put a server of HTTP beside it, as the images \
             with Apache or Caddy have"
        }
        "grpc" | "grpcs" => {
            "needs HTTP/2 to the container, which usher does not speak; publish its port instead"
        }
        _ => "is nothing usher speaks with containers, which is http and https",
    }
}

const PLAIN: &str = "is no plain path that begins with `/`";

fn is_plain(path: &str) -> bool {
    path.starts_with('/')
        && path.len() <= LONGEST
        && !path.contains("//")
        && path.split('/').all(|part| !matches!(part, "." | ".."))
        && path
            .bytes()
            .all(|b| b.is_ascii_graphic() && !b"?#%\\".contains(&b))
}
