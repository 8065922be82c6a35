//! Where the certificates are, and what else was mounted for nginx-proxy.

use std::path::PathBuf;

use crate::plan::KeyType;

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Certs {
    pub dir: PathBuf,
    /// Whether a name nobody declared gets `default.crt` instead of an alert.
    pub default_for_unknown: bool,
    pub min_version: TlsVersion,
    /// Whether a renewal keeps the key, for readers that cannot meet another one.
    pub reuse_key: bool,
    /// Of new keys, where an instance says nothing.
    pub key_type: KeyType,
    /// Where other programs leave their answers to authorities, below `.well-known/acme-challenge`.
    pub webroot: Option<PathBuf>,
}

/// What holds for names that containers give themselves.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Compat {
    /// Where files for nginx were mounted.
    pub nginx: Option<PathBuf>,
    /// Where files were mounted that nginx gave out itself.
    pub html: Option<PathBuf>,
    /// Where files were mounted for nginx-proxy and acme-companion themselves. None of them is followed.
    pub app: Option<PathBuf>,
    /// Whether names without a pair are served with `default.crt` unless their container says
    /// otherwise.
    pub trust_default_cert: bool,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum TlsVersion {
    #[default]
    Tls12,
    Tls13,
}
