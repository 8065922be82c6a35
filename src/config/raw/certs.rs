//! `[certs]` and `[compat]`, as they are written.

use std::path::PathBuf;

use serde::Deserialize;

use crate::config::reader::{Leaf, Reader};

#[derive(Default)]
pub(in crate::config) struct RawCerts {
    pub(in crate::config) dir: Leaf<PathBuf>,
    pub(in crate::config) unknown_name: Leaf<RawUnknownName>,
    pub(in crate::config) min_version: Leaf<RawTlsVersion>,
    pub(in crate::config) reuse_key: Leaf<bool>,
    pub(in crate::config) key_type: Leaf<String>,
    pub(in crate::config) webroot: Leaf<PathBuf>,
}

impl RawCerts {
    pub(super) fn read(table: &mut Reader<'_, '_>) -> Self {
        Self {
            dir: table.leaf("dir"),
            unknown_name: table.leaf("unknown-name"),
            min_version: table.leaf("min-version"),
            reuse_key: table.leaf("reuse-key"),
            key_type: table.leaf("key-type"),
            webroot: table.leaf("webroot"),
        }
    }

    pub(super) fn over(self, below: Self) -> Self {
        let Self {
            dir,
            unknown_name,
            min_version,
            reuse_key,
            key_type,
            webroot,
        } = self;
        Self {
            dir: dir.or(below.dir),
            unknown_name: unknown_name.or(below.unknown_name),
            min_version: min_version.or(below.min_version),
            reuse_key: reuse_key.or(below.reuse_key),
            key_type: key_type.or(below.key_type),
            webroot: webroot.or(below.webroot),
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum RawUnknownName {
    Default,
    Reject,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(in crate::config) enum RawTlsVersion {
    #[serde(rename = "1.2")]
    Tls12,
    #[serde(rename = "1.3")]
    Tls13,
}

#[derive(Default)]
pub(in crate::config) struct RawCompat {
    pub(in crate::config) nginx: Leaf<PathBuf>,
    pub(in crate::config) html: Leaf<PathBuf>,
    pub(in crate::config) app: Leaf<PathBuf>,
    pub(in crate::config) trust_default_cert: Leaf<bool>,
}

impl RawCompat {
    pub(super) fn read(table: &mut Reader<'_, '_>) -> Self {
        Self {
            nginx: table.leaf("nginx"),
            html: table.leaf("html"),
            app: table.leaf("app"),
            trust_default_cert: table.leaf("trust-default-cert"),
        }
    }

    pub(super) fn over(self, below: Self) -> Self {
        let Self {
            nginx,
            html,
            app,
            trust_default_cert,
        } = self;
        Self {
            nginx: nginx.or(below.nginx),
            html: html.or(below.html),
            app: app.or(below.app),
            trust_default_cert: trust_default_cert.or(below.trust_default_cert),
        }
    }
}
