//! Certificates for names that no public authority can know, from an authority of this machine.
//!
//! ```text
//! <state>/local-ca/{root.pem,root.key}          for localhost, private addresses and private names
//! <state>/local-ca/only/<name>/{root.pem,root.key}   for one other label or address each
//! ```
//!
//! Who trusts a root trusts whoever has its key, so each root says what it may sign for (RFC 5280
//! §4.2.1.10): the common one for nothing that anybody could own, the others for their one name. The
//! keys of the leaves are made in memory and stay there: they cost nothing, so none is kept where it
//! could be lost. Nothing that is there is ever replaced: devices trust it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    NameConstraints, PublicKeyData,
};

use super::pair::{Pair, PairError};
use crate::durable::{keep, replace_file};
use crate::names::{Domain, Hostname, PRIVATE};

const DAY: Duration = Duration::from_secs(86_400);
/// Roots are put into devices by hand. Ten years is longer than the devices live, and there is no way
/// to renew a root in them.
const ROOT_LIVES: Duration = Duration::from_secs(10 * 365 * 86_400);
/// A leaf is renewed by itself when a third of its life is left.
const LEAF_LIVES: Duration = Duration::from_secs(90 * 86_400);
/// Clocks of devices are off, and so may this one be.
const ROOT_SINCE: Duration = Duration::from_secs(30 * 86_400);

/// Addresses that belong to nobody: loopback, private use, link-local, and what providers use inside
/// (RFC 1122, 1918, 3927, 6598; RFC 4291, 4193).
const PRIVATE_NETWORKS: [(IpAddr, u8); 9] = [
    (IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8),
    (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 0)), 8),
    (IpAddr::V4(Ipv4Addr::new(172, 16, 0, 0)), 12),
    (IpAddr::V4(Ipv4Addr::new(192, 168, 0, 0)), 16),
    (IpAddr::V4(Ipv4Addr::new(169, 254, 0, 0)), 16),
    (IpAddr::V4(Ipv4Addr::new(100, 64, 0, 0)), 10),
    (IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
    (IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), 10),
    (IpAddr::V6(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0)), 7),
];

/// The authority, and what it has signed in this life of the process.
#[derive(Debug)]
pub(super) struct LocalAuthority {
    dir: PathBuf,
    signed: BTreeMap<Domain, Pair>,
}

/// Why it signs nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum LocalError {
    #[error("cannot use {}", path.display())]
    Disk {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "{} and its key cannot be used: the root {reason}; move the folder away to have a new \
         authority made, which devices have to be told to trust",
        path.display()
    )]
    Root { path: PathBuf, reason: PairError },
    #[error("the local authority cannot sign")]
    Sign(#[from] rcgen::Error),
    #[error("what the local authority has signed {0}")]
    Leaf(PairError),
}

/// The roots that devices have to trust, as PEM; `None` when none was needed yet.
///
/// # Errors
/// When the folder is there and cannot be read.
pub fn root_pem(state_dir: &Path) -> io::Result<Option<String>> {
    let dir = folder(state_dir);
    let mut folders = vec![dir.clone()];
    match fs::read_dir(dir.join("only")) {
        Ok(found) => {
            for entry in found {
                folders.push(entry?.path());
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    folders.sort();
    let mut all = String::new();
    for folder in folders {
        match fs::read_to_string(folder.join("root.pem")) {
            Ok(pem) => all.push_str(&pem),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok((!all.is_empty()).then_some(all))
}

fn folder(state_dir: &Path) -> PathBuf {
    state_dir.join("local-ca")
}

impl LocalAuthority {
    pub(super) fn new(state_dir: &Path) -> Self {
        Self {
            dir: folder(state_dir),
            signed: BTreeMap::new(),
        }
    }

    /// The pair for a name, made when it is needed first and when a third of its life is left.
    /// Blocking: a few small files.
    ///
    /// # Errors
    /// A disk that says no, a root that is broken.
    pub(super) fn pair(&mut self, name: &Domain, now: SystemTime) -> Result<&Pair, LocalError> {
        let good = |pair: &Pair| pair.not_before <= now && now + LEAF_LIVES / 3 < pair.not_after;
        if !self.signed.get(name).is_some_and(good) {
            let pair = self.sign(name, now)?;
            self.signed.insert(name.clone(), pair);
        }
        self.signed
            .get(name)
            .ok_or(LocalError::Leaf(PairError::NoCertificate))
    }

    /// What it has signed for this name.
    pub(super) fn signed(&self, name: &Domain) -> Option<&Pair> {
        self.signed.get(name)
    }

    /// Forgets what nobody needs any more.
    pub(super) fn retain(&mut self, needed: impl Fn(&Domain) -> bool) {
        self.signed.retain(|name, _| needed(name));
    }

    fn sign(&self, name: &Domain, now: SystemTime) -> Result<Pair, LocalError> {
        let scope = Scope::of(name);
        let folder = match &scope {
            Scope::Nobodys => self.dir.clone(),
            Scope::Only(host) => self.dir.join("only").join(host.as_str()),
        };
        let root = root(&folder, &scope, now)?;
        let key = KeyPair::generate()?;
        let (Domain::Exact(host) | Domain::Below(host)) = name;
        // Without the brackets, by which nothing else writes an address.
        let subject = match host.address() {
            Some(address) => address.to_string(),
            None => name.to_string(),
        };
        let mut params = CertificateParams::new([subject])?;
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, name.to_string());
        params.not_before = now.checked_sub(DAY).unwrap_or(now).into();
        params.not_after = (now + LEAF_LIVES - DAY).into();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let leaf = params.signed_by(&key, &root)?;
        let (chain, key) = (leaf.pem(), key.serialize_pem());
        let pair = Pair::parse(chain.as_bytes(), key.as_bytes());
        pair.and_then(|pair| pair.holding(now))
            .map_err(LocalError::Leaf)
    }
}

/// What a root may sign for.
#[derive(Debug)]
enum Scope {
    /// What belongs to nobody.
    Nobodys,
    /// This name alone, because somebody might own it one day.
    Only(Hostname),
}

impl Scope {
    fn of(name: &Domain) -> Self {
        let (Domain::Exact(host) | Domain::Below(host)) = name;
        let nobodys = match host.address() {
            Some(address) => PRIVATE_NETWORKS.iter().any(|(network, length)| {
                ipnet::IpNet::new(*network, *length).is_ok_and(|network| network.contains(&address))
            }),
            None => host.is_private() || PRIVATE.contains(&host.as_str()),
        };
        if nobodys {
            Self::Nobodys
        } else {
            Self::Only(host.clone())
        }
    }

    /// Both kinds of names are always constrained: of a kind that is not mentioned, everything would
    /// be permitted.
    fn permitted(&self) -> Vec<GeneralSubtree> {
        let network = |(address, length): (IpAddr, u8)| {
            GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(address, length))
        };
        let name = |name: &str| GeneralSubtree::DnsName(name.to_owned());
        match self {
            Self::Nobodys => {
                let names = PRIVATE.iter().map(|suffix| name(suffix));
                names.chain(PRIVATE_NETWORKS.map(network)).collect()
            }
            Self::Only(host) => match host.address() {
                Some(address) => {
                    let length = if address.is_ipv4() { 32 } else { 128 };
                    vec![network((address, length)), name("localhost")]
                }
                None => vec![
                    name(host.as_str()),
                    network((Ipv4Addr::LOCALHOST.into(), 32)),
                    network((Ipv6Addr::LOCALHOST.into(), 128)),
                ],
            },
        }
    }
}

/// The root of a folder, made if there is none.
fn root(
    folder: &Path,
    scope: &Scope,
    now: SystemTime,
) -> Result<Issuer<'static, KeyPair>, LocalError> {
    let (certificate, secret) = (folder.join("root.pem"), folder.join("root.key"));
    let read = |path: &Path| match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(disk(path)(source)),
    };
    let (pem, key) = (read(&certificate)?, read(&secret)?);
    let broken = |reason| LocalError::Root {
        path: certificate.clone(),
        reason,
    };
    if let Some(pem) = pem {
        let key = key.unwrap_or_default();
        let pair = Pair::parse(pem.as_bytes(), key.as_bytes());
        pair.and_then(|pair| pair.holding(now)).map_err(broken)?;
        let key = KeyPair::from_pem(&key)?;
        return Ok(Issuer::new(params(&key, scope, now), key));
    }
    // The key first: with the certificate it would be lost that something was to be trusted.
    let key = match key {
        Some(key) => KeyPair::from_pem(&key)?,
        None => {
            let key = KeyPair::generate()?;
            keep(&secret, &key.serialize_pem()).map_err(disk(&secret))?;
            key
        }
    };
    let params = params(&key, scope, now);
    let pem = params.self_signed(&key)?.pem();
    replace_file(&certificate, &pem, 0o644).map_err(disk(&certificate))?;
    Ok(Issuer::new(params, key))
}

fn disk(path: &Path) -> impl FnOnce(io::Error) -> LocalError + use<> {
    let path = path.to_owned();
    move |source| LocalError::Disk { path, source }
}

/// What a root with this key says, the same whenever it is asked: leaves name it by that.
fn params(key: &KeyPair, scope: &Scope, now: SystemTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    let digest = digest(&SHA256, key.der_bytes());
    let mark: String = digest
        .as_ref()
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    // Two machines have two authorities, and a device that trusts both tells them apart.
    let name = format!("usher local authority {mark}");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: scope.permitted(),
        excluded_subtrees: Vec::new(),
    });
    params.not_before = now.checked_sub(ROOT_SINCE).unwrap_or(now).into();
    params.not_after = (now + ROOT_LIVES).into();
    params
}

#[cfg(test)]
mod tests;
