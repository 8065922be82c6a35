//! Who may look in, from what was written to what is meant.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::values::{networks, socket_address, value_or};
use crate::config::issue::{Issues, report};
use crate::config::model::Admin;
use crate::config::raw::RawAdmin;
use crate::config::reader::Field;
use crate::config::tokens;

/// Where the control socket is unless the configuration says otherwise.
pub(in crate::config) const CONTROL_SOCKET: &str = "/run/usher/control.sock";

impl RawAdmin {
    /// `certs` is the folder of pairs.
    pub(in crate::config) fn lower(self, certs: &Path, issues: &Issues) -> Admin {
        let Self {
            listen,
            socket,
            allow,
            certificate,
            token_file,
            client_ca,
        } = self;
        let default = SocketAddr::from(([127, 0, 0, 1], 9900));
        let opens = token_file.is_some() || client_ca.is_some();
        let listen = listen.map_or(default, |field| match socket_address(&field.value) {
            Ok(address) => {
                if !address.ip().is_loopback()
                    && let Some(lack) = lack(certificate.is_some(), opens)
                {
                    let text = format!(
                        "`{address}` is not loopback, and anybody who reaches it could look in: \
                         {lack}, or stay on 127.0.0.1 or ::1"
                    );
                    report(issues, field.at.error(text));
                }
                address
            }
            Err(why) => {
                report(issues, field.at.error(format!("`{}` {why}", field.value)));
                default
            }
        });
        if let Some(ca) = client_ca.as_ref().filter(|_| certificate.is_none()) {
            let text = "asks clients for certificates, which needs TLS: \
                        set `certificate` to the name of a pair below `certs.dir`";
            report(issues, ca.at.error(text));
        }
        Admin {
            listen,
            socket: value_or(socket, PathBuf::from(CONTROL_SOCKET)),
            allow: networks(allow, issues),
            certificate: certificate.and_then(|field| pair_name(field, certs, issues)),
            token_file: token_file.map(|field| good_tokens(field, issues)),
            client_ca: client_ca.map(|field| good_authority(field, issues)),
        }
    }
}

/// What keeps a listener from being open to others.
fn lack(certificate: bool, opens: bool) -> Option<&'static str> {
    match (certificate, opens) {
        (true, true) => None,
        (true, false) => Some("set `token-file` or `client-ca` as well"),
        (false, true) => Some("set `certificate` as well, or tokens would travel in the clear"),
        (false, false) => Some("set `certificate`, and `token-file` or `client-ca`"),
    }
}

/// A pair below the folder of certificates, and nowhere else.
fn pair_name(field: Field<String>, certs: &Path, issues: &Issues) -> Option<String> {
    let plain = !field.value.is_empty()
        && !field.value.starts_with('.')
        && !field.value.contains(['/', '\0']);
    if plain {
        let file = |end| certs.join(format!("{}{end}", field.value));
        if let Some(lost) = [".crt", ".key"]
            .map(file)
            .iter()
            .find(|path| !path.exists())
        {
            let text = format!(
                "{} is not there; until it is, the admin listener lets nobody in",
                lost.display()
            );
            // One that is ordered comes later.
            report(issues, field.at.warning(text));
        }
        return Some(field.value);
    }
    let text = "is the name of a pair below `certs.dir`, without .crt and .key; \
                write for example \"ops.example.org\"";
    report(issues, field.at.error(text));
    None
}

/// Tokens that nobody could use are a mistake; they are read again whenever the file changes.
fn good_tokens(field: Field<PathBuf>, issues: &Issues) -> PathBuf {
    let path = field.value.display();
    let problem = match fs::read_to_string(&field.value) {
        Err(error) => Some(format!("cannot read {path}: {error}")),
        Ok(text) => {
            let (tokens, errors) = tokens::parse(&text);
            match errors.first() {
                Some(error) => Some(format!("{path}: {error}")),
                None if tokens.is_empty() => Some(format!(
                    "{path} holds no token; write one per line, for example from \
                     `openssl rand -hex 24`"
                )),
                None => None,
            }
        }
    };
    if let Some(text) = problem {
        report(issues, field.at.error(text));
    } else if let Some(text) = open_to_others(&field.value) {
        report(issues, field.at.warning(text));
    }
    field.value
}

fn open_to_others(path: &Path) -> Option<String> {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
    (mode & 0o007 != 0).then(|| {
        let path = path.display();
        format!("{path} can be read by every user of this machine; `chmod 600 {path}`")
    })
}

fn good_authority(field: Field<PathBuf>, issues: &Issues) -> PathBuf {
    let path = field.value.display();
    let read = CertificateDer::pem_file_iter(&field.value)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let problem = match read {
        Err(error) => Some(format!("cannot read {path}: {error}")),
        Ok(found) if found.is_empty() => Some(format!("{path} holds no certificate in PEM")),
        Ok(_) => None,
    };
    if let Some(text) = problem {
        report(issues, field.at.error(text));
    }
    field.value
}

#[cfg(test)]
mod tests;
