//! Certificates that should be there.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::route::FileRoot;
use crate::names::{Domain, HostPattern, Hostname, InstanceName};
use crate::shared::Map;

/// Every certificate that should be there, by instance. Those of an instance of which nothing has changed
/// are the very same value as before.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Wanted(pub Map<InstanceName, [WantedCertificate]>);

impl Wanted {
    pub fn all(&self) -> impl Iterator<Item = &WantedCertificate> {
        self.0.values().flat_map(|of| of.iter())
    }
}

impl FromIterator<WantedCertificate> for Wanted {
    fn from_iter<I: IntoIterator<Item = WantedCertificate>>(all: I) -> Self {
        let mut of: BTreeMap<InstanceName, Vec<WantedCertificate>> = BTreeMap::new();
        for one in all {
            of.entry(one.instance.clone()).or_default().push(one);
        }
        let of = of.into_iter();
        Self(of.map(|(name, all)| (name, all.into())).collect())
    }
}

/// Names that one certificate should cover.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WantedCertificate {
    pub instance: InstanceName,
    /// The first is the one the pair is stored under.
    pub names: Vec<Hostname>,
    /// Names below which every host is meant. Ordered only where the DNS can prove them.
    pub wildcards: Vec<Hostname>,
    /// Hosts by their shape: what is pinned is for those of them that it names, and nothing else is.
    pub patterns: Vec<HostPattern>,
    /// Those of both that this machine's own authority may sign for where the folder has no pair: the
    /// operator has written them, and nobody else could.
    pub local: Vec<Domain>,
    /// Serve this pair from disk and order nothing.
    pub pinned: Option<String>,
    /// False on standby and outside the rental: what the folder holds is served, and nothing is ordered.
    pub may_order: bool,
    /// From the staging authority, in a folder of its own.
    pub staging: bool,
    /// From this directory alone, by its name or its URL; `None`: from those of everybody.
    pub directory: Option<String>,
    /// Contact of the account, where it is not everybody's.
    pub email: Option<String>,
    /// Of the next key; what is installed stays until its renewal.
    pub key_type: KeyType,
    /// Whether names without a pair are served with `default.crt`.
    pub trust_default: bool,
    pub declared: Declared,
    /// Where else what these names are served with is to be written.
    pub export: Option<Export>,
}

/// What the key of a certificate is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum KeyType {
    /// On the curve P-256: the cheapest handshake that every client knows.
    #[default]
    P256,
    P384,
    P521,
    Rsa2048,
    Rsa3072,
    Rsa4096,
    Rsa8192,
}

impl KeyType {
    pub const ALL: [Self; 7] = [
        Self::P256,
        Self::P384,
        Self::P521,
        Self::Rsa2048,
        Self::Rsa3072,
        Self::Rsa4096,
        Self::Rsa8192,
    ];

    /// As operators write it, and acme-companion before us.
    pub fn word(self) -> &'static str {
        match self {
            Self::P256 => "ec-256",
            Self::P384 => "ec-384",
            Self::P521 => "ec-521",
            Self::Rsa2048 => "2048",
            Self::Rsa3072 => "3072",
            Self::Rsa4096 => "4096",
            Self::Rsa8192 => "8192",
        }
    }
}

impl FromStr for KeyType {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.word() == text)
            .ok_or("is none of 2048, 3072, 4096, 8192, ec-256, ec-384 and ec-521")
    }
}

/// The volume of a stack that its own certificate is written into.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Export {
    /// As the stack calls it.
    pub volume: String,
    pub place: FileRoot,
}

/// Who named an instance.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Declared {
    /// The operator, one by one.
    #[default]
    ByName,
    /// A stack that fits an entry whose name ends in `*`, or whose containers claim names: they cost
    /// no decision of anybody, and so they are counted.
    ByPattern,
}

impl WantedCertificate {
    /// All of its names.
    pub fn domains(&self) -> impl Iterator<Item = Domain> {
        let names = self.names.iter().cloned().map(Domain::Exact);
        names.chain(self.wildcards.iter().cloned().map(Domain::Below))
    }
}
