//! Where the certificates are and what else was mounted for nginx-proxy, from what was written to what
//! is meant.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::values::{lower_key_type, value_or};
use crate::config::issue::{Issue, Issues, Level, report};
use crate::config::model::{Certs, Compat, TlsVersion};
use crate::config::raw::{RawCerts, RawCompat, RawTlsVersion, RawUnknownName};
use crate::config::reader::Field;

/// The same path from the root, as messages and mounts of containers have it.
fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

impl RawCerts {
    /// `in_its_place`: usher is started in the place of nginx-proxy.
    /// Also says whether its folder was mounted for nginx-proxy.
    pub(in crate::config) fn lower(
        self,
        compat: &Compat,
        in_its_place: bool,
        issues: &Issues,
    ) -> (Certs, bool) {
        let Self {
            dir,
            unknown_name,
            min_version,
            reuse_key,
            key_type,
            webroot,
        } = self;
        let own = PathBuf::from("certs");
        let mounted = compat.nginx.as_ref().map(|nginx| nginx.join("certs"));
        let mounted = mounted.filter(|dir| in_its_place && !own.exists() && dir.is_dir());
        let is_mounted = dir.is_none() && mounted.is_some();
        let webroot = webroot.map(|field| field.value);
        let certs = Certs {
            dir: absolute(value_or(dir, mounted.unwrap_or(own))),
            // It answers with its default where there is one.
            default_for_unknown: match unknown_name.map(|field| field.value) {
                Some(RawUnknownName::Default) => true,
                Some(RawUnknownName::Reject) => false,
                None => in_its_place,
            },
            min_version: match min_version.map(|field| field.value) {
                None | Some(RawTlsVersion::Tls12) => TlsVersion::Tls12,
                Some(RawTlsVersion::Tls13) => TlsVersion::Tls13,
            },
            reuse_key: value_or(reuse_key, false),
            key_type: key_type
                .and_then(|field| lower_key_type(&field, issues))
                .unwrap_or_default(),
            webroot: webroot.or_else(|| compat.html.clone().filter(|html| html.is_dir())),
        };
        (certs, is_mounted)
    }
}

impl RawCompat {
    /// `in_its_place`: usher is started in the place of nginx-proxy.
    pub(in crate::config) fn lower(
        self,
        in_its_place: bool,
        is_followed: bool,
        issues: &Issues,
    ) -> Compat {
        let Self {
            nginx,
            html,
            app,
            trust_default_cert,
        } = self;
        for field in [&nginx, &html, &app].into_iter().flatten() {
            if !is_followed {
                let text = "is followed only where containers name themselves; see \
                            `names-from-containers` in [engine]";
                report(issues, field.at.warning(text));
            }
        }
        // Where nginx is installed these are its own.
        let mounted = in_its_place && !Path::new("/usr/sbin/nginx").exists();
        let folder = |field: Option<Field<PathBuf>>, usual: &str| {
            let usual = mounted.then(|| PathBuf::from(usual));
            field.map(|field| field.value).or(usual)
        };
        Compat {
            nginx: folder(nginx, "/etc/nginx"),
            html: folder(html, "/usr/share/nginx/html"),
            app: folder(app, "/app"),
            trust_default_cert: value_or(trust_default_cert, true),
        }
    }
}

/// Where usher keeps what it remembers, where the file does not say it.
///
/// In a container that has nginx-proxy's folder of certificates mounted and none for the state, the
/// state would be gone with the container, and with it the account and every order.
pub(in crate::config) fn state_dir(certs: &Path, is_mounted: bool, issues: &Issues) -> PathBuf {
    let usual = PathBuf::from("state");
    if usual.exists() || !is_mounted {
        return usual;
    }
    let volume = absolute(usual.clone());
    let volume = volume.display();
    let (dir, text) = if access(certs, Access::WRITE_OK).is_ok() {
        let beside = certs.join(".usher");
        let text = format!(
            "no folder `state` is here, so accounts and orders are kept in {}, where a recreated \
             container finds them; mount a volume of its own at {volume}",
            beside.display()
        );
        (beside, text)
    } else {
        let text = format!(
            "{} cannot be written: no certificate can be put there, and accounts and orders are lost \
             with this container; mount it without `:ro`, and a volume at {volume}",
            certs.display()
        );
        (usual, text)
    };
    report(
        issues,
        Issue {
            level: Level::Warning,
            file: "the defaults".to_owned(),
            line: None,
            key: "state.dir".to_owned(),
            text,
        },
    );
    dir
}
