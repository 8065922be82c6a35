//! What operators have mounted for nginx-proxy, as it lies there: files of passwords, authorities of
//! clients, the page for failures. Which of it means what is decided by the names of the files.
//!
//! Invariant: a file that is there and cannot be used never opens what it was to close.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use sha1::{Digest, Sha1};

use super::issue::{Issue, Level};
use super::model::Compat;
use super::{client_ca, error_page};
use crate::cause::chain;
use crate::fingerprint::Fingerprint;
use crate::passwords;
use crate::plan::{BasicAuth, ClientAuthorities, Site};

mod folder;
mod unfollowed;

use self::folder::names;
pub use self::unfollowed::mounted_for_nginx;

const PASSWORDS: &str = "htpasswd";
const ERROR_PAGE: &str = "errors/50x.html";
const AUTHORITIES: &str = ".ca.crt";
const REVOKED: &str = ".crl.pem";
/// For every host that has no file of its own.
const FOR_ALL: [&str; 2] = ["ca.crt", "ca.crl.pem"];
/// What is looked for among the certificates, where much else comes and goes.
const ENDINGS: &[&str] = &["ca.crt", "crl.pem"];

/// The files and what they say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mounted {
    passwords: Option<PasswordFiles>,
    clients: BTreeMap<String, Vouching>,
    clients_of_all: Option<Vouching>,
    pub(super) error_page: Option<(PathBuf, Bytes)>,
}

/// By name, with what is wrong with each.
#[derive(Clone, Debug, PartialEq)]
struct PasswordFiles {
    folder: PathBuf,
    files: Result<BTreeMap<String, Option<String>>, String>,
}

/// Who vouches for the clients of a host.
#[derive(Clone, Debug, PartialEq)]
pub struct Vouching {
    pub file: PathBuf,
    pub authorities: Arc<ClientAuthorities>,
    /// What is wrong with the file: what it said before holds, or nobody comes in.
    pub trouble: Option<String>,
}

impl Mounted {
    /// Reads everything there is. `before` has the last good form of what cannot be used now.
    pub(super) fn read(
        compat: &Compat,
        certs: &Path,
        before: Option<&Self>,
        issues: &mut Vec<Issue>,
        seen: &mut Fingerprint,
    ) -> Self {
        let mut mounted = Self::default();
        if let Some(nginx) = &compat.nginx {
            let folder = nginx.join(PASSWORDS);
            seen.note_alone(&folder);
            mounted.passwords = password_files(&folder, seen);
            issues.extend(unfollowed::of(nginx, certs).map(|text| warning("compat.nginx", text)));
        }
        if let Some(app) = &compat.app {
            issues.extend(unfollowed::of_programs(app).map(|text| warning("compat.app", text)));
        }
        if let Some(html) = &compat.html {
            let page = html.join(ERROR_PAGE);
            seen.note_alone(&page);
            match error_page::body(&page) {
                Ok(body) => mounted.error_page = Some((page, body)),
                Err(_) if !page.exists() => {}
                Err(why) => {
                    let text = format!("{why}; usher's own page is shown");
                    issues.push(warning("compat.html", text));
                }
            }
        }
        seen.note_names(certs, ENDINGS);
        for name in names(certs).unwrap_or_default() {
            let read = |revoked: &str, old: Option<&Vouching>, seen: &mut Fingerprint| {
                let revoked = certs.join(revoked);
                vouching(certs.join(&name), &revoked, old, seen)
            };
            if name == FOR_ALL[0] {
                let old = before.and_then(|before| before.clients_of_all.as_ref());
                mounted.clients_of_all = Some(read(FOR_ALL[1], old, seen));
            } else if let Some(host) = name.strip_suffix(AUTHORITIES) {
                let old = before.and_then(|before| before.clients.get(host));
                let found = read(&format!("{host}{REVOKED}"), old, seen);
                mounted.clients.insert(host.to_owned(), found);
            }
        }
        mounted
    }

    /// The body of what nobody can answer.
    pub fn error_page(&self) -> Option<&Bytes> {
        self.error_page.as_ref().map(|(_, body)| body)
    }

    /// Whether a host, written as a container writes it, has passwords.
    pub fn has_passwords(&self, host: &str) -> bool {
        let Some(passwords) = &self.passwords else {
            return false;
        };
        let Ok(files) = &passwords.files else {
            return true;
        };
        let host = stem(host);
        files.keys().any(|name| {
            let rest = name.strip_prefix(&host);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
        })
    }

    /// Whether any host of a site has passwords.
    pub fn closes(&self, site: &Site) -> bool {
        self.passwords.is_some() && hosts(site).any(|host| self.has_passwords(&host))
    }

    /// The hosts of a site that have passwords, as containers write them.
    pub fn closed<'m>(&'m self, site: &'m Site) -> impl Iterator<Item = String> + 'm {
        hosts(site).filter(|host| self.has_passwords(host))
    }

    /// Who may come in to a path of a host, where that is not everybody: the file of the path, else
    /// that of the host.
    pub fn passwords(&self, host: &str, path: &str) -> Option<BasicAuth> {
        let PasswordFiles { folder, files } = self.passwords.as_ref()?;
        let stem = stem(host);
        let Ok(files) = files else {
            // A folder is no file of passwords: nobody is let in.
            return Some(BasicAuth {
                file: folder.clone(),
                realm: format!("Restricted {stem}"),
            });
        };
        let of_path = format!("{stem}_{}", hashed(path));
        let (name, realm) = if files.contains_key(&of_path) {
            (of_path, format!("Restricted {stem}{path}"))
        } else if files.contains_key(&stem) {
            let whom = if host.starts_with('~') {
                "access"
            } else {
                &stem
            };
            let realm = format!("Restricted {whom}");
            (stem, realm)
        } else {
            return None;
        };
        Some(BasicAuth {
            file: folder.join(name),
            realm,
        })
    }

    /// What is wrong with a file of passwords, for the operator.
    pub fn trouble_with(&self, auth: &BasicAuth) -> Option<String> {
        let PasswordFiles { folder, files } = self.passwords.as_ref()?;
        let why = match files {
            Err(why) if auth.file == *folder => why,
            Err(_) => return None,
            Ok(files) => {
                let name = auth.file.strip_prefix(folder).ok()?.to_str()?;
                files.get(name)?.as_ref()?
            }
        };
        let file = auth.file.display();
        Some(format!("nobody is let in by {file}: {why}"))
    }

    /// Who vouches for the clients of a host, written as a container writes it.
    pub fn clients(&self, host: &str) -> Option<&Vouching> {
        let own = self.clients.get(&stem(host));
        own.or(self.clients_of_all.as_ref())
    }
}

fn warning(key: &str, text: String) -> Issue {
    Issue {
        level: Level::Warning,
        file: "files mounted for nginx-proxy".to_owned(),
        line: None,
        key: key.to_owned(),
        text,
    }
}

fn hosts(site: &Site) -> impl Iterator<Item = String> + '_ {
    let domains = site.domains.iter().map(ToString::to_string);
    domains.chain(site.patterns.iter().map(ToString::to_string))
}

/// What the files of a host begin with: the host, or the hash of an expression.
fn stem(host: &str) -> String {
    match host.starts_with('~') {
        true => hashed(host),
        false => host.to_owned(),
    }
}

fn hashed(text: &str) -> String {
    use std::fmt::Write;
    let mut hex = String::with_capacity(40);
    for byte in Sha1::digest(text) {
        // Writing to a string does not fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

/// `None`: no such folder is mounted.
fn password_files(folder: &Path, seen: &mut Fingerprint) -> Option<PasswordFiles> {
    let files = match names(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => Err(format!("the folder cannot be read: {error}")),
        Ok(names) => Ok(names
            .into_iter()
            .map(|name| {
                let file = folder.join(&name);
                seen.note_alone(&file);
                let trouble = passwords::examine(&file).err();
                (name, trouble.map(|error| chain(&error)))
            })
            .collect()),
    };
    Some(PasswordFiles {
        folder: folder.to_owned(),
        files,
    })
}

fn vouching(
    file: PathBuf,
    revoked: &Path,
    before: Option<&Vouching>,
    seen: &mut Fingerprint,
) -> Vouching {
    seen.note_alone(&file);
    seen.note_alone(revoked);
    let revoked = Some(revoked).filter(|revoked| revoked.symlink_metadata().is_ok());
    match client_ca::authorities(&file, revoked) {
        Ok(authorities) => Vouching {
            file,
            authorities: Arc::new(authorities),
            trouble: None,
        },
        Err(why) => {
            let (authorities, consequence) = match before {
                Some(before) => (
                    Arc::clone(&before.authorities),
                    "what it said before holds on",
                ),
                None => (
                    Arc::new(ClientAuthorities::nobody()),
                    "nobody is let in until then",
                ),
            };
            Vouching {
                file,
                authorities,
                trouble: Some(format!("{why}; {consequence}")),
            }
        }
    }
}

#[cfg(test)]
mod tests;
