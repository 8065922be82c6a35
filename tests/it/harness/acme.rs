//! What tests of certificates have in common: clients that trust one authority, and folders.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustls::ClientConfig;
use rustls::client::Resumption;

use super::Installed;
use super::client::{self, Front};
use super::eventually::{check, eventually};

/// usher as its clients see it that trust these authorities alone.
pub struct Trusting<'a>(pub &'a Installed, pub ClientConfig);

impl Front for Trusting<'_> {
    fn http(&self) -> SocketAddr {
        self.0.http()
    }

    fn https(&self) -> SocketAddr {
        self.0.https()
    }

    fn trust(&self, protocols: &[&str]) -> ClientConfig {
        let mut config = self.1.clone();
        // A session that is taken up again shows the certificate it began with.
        config.resumption = Resumption::disabled();
        config.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        config
    }
}

impl Trusting<'_> {
    /// The certificate that a name is answered with, as DER.
    pub async fn leaf(&self, name: &str) -> Result<Vec<u8>, String> {
        let stream = client::tls(self, name, &["http/1.1"]).await;
        let stream = stream.map_err(|error| error.to_string())?;
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        Ok(chain.first().ok_or("no certificate")?.to_vec())
    }

    /// As [`Trusting::leaf`], once there is one.
    pub async fn issued(&self, name: &str) -> Vec<u8> {
        eventually(&format!("a certificate for {name}"), async || {
            self.leaf(name).await
        })
        .await
    }
}

/// Makes usher, which does not run, forget why it would wait before the next attempt.
///
/// Only that: a memory that is lost altogether would make it wait for hours.
pub fn forget_pauses(installed: &Installed) {
    let path = installed.folder.path().join("state/acme/schedule.json");
    let Ok(text) = fs::read(&path) else {
        return;
    };
    let mut kept: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    kept.as_object_mut().expect("an object").remove("pauses");
    let lineages = kept["lineages"].as_object_mut().into_iter().flatten();
    for (_, lineage) in lineages {
        for what in ["attempts", "renewal"] {
            lineage.as_object_mut().expect("an object").remove(what);
        }
    }
    fs::write(&path, kept.to_string()).expect("written");
}

/// Waits until the end of an order is on disk: the certificate is served a moment before that.
pub async fn remembered(installed: &Installed) {
    let path = installed.folder.path().join("state/acme/schedule.json");
    eventually("who issued it is remembered", async || {
        let kept = fs::read(&path).unwrap_or_default();
        let kept: serde_json::Value = serde_json::from_slice(&kept).unwrap_or_default();
        let mut lineages = kept["lineages"].as_object().into_iter().flatten();
        let known = lineages.any(|(_, lineage)| lineage["issuer"].is_string());
        check(known, kept.clone())
    })
    .await;
}

/// Every file below, by its path there, with its content.
pub fn tree(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(tree(&path));
        } else if let Ok(content) = fs::read(&path) {
            found.push((path, content));
        }
    }
    found.sort();
    found
}

pub fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").permissions().mode() & 0o7777
}
