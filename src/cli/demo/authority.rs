//! A certificate authority for one demo: its key exists only in memory.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use crate::certs::{make_dir, write_file};

pub(super) struct Authority {
    root: PathBuf,
    certificate: CertificateDer<'static>,
}

impl Authority {
    /// Writes a pair for each domain into `dir`, as an operator would, and the root beside them.
    pub(super) fn new(dir: &Path, domains: &[&str]) -> io::Result<Self> {
        make_dir(dir, 0o755)?;
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "usher demo");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let issuer = CertifiedIssuer::self_signed(params, key).map_err(io::Error::other)?;
        for domain in domains {
            let key = KeyPair::generate().map_err(io::Error::other)?;
            let names = vec![(*domain).to_owned()];
            let mut params = CertificateParams::new(names).map_err(io::Error::other)?;
            params.distinguished_name.push(DnType::CommonName, *domain);
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            let leaf = params.signed_by(&key, &issuer).map_err(io::Error::other)?;
            let chain = format!("{}{}", leaf.pem(), issuer.pem());
            write_file(&dir.join(format!("{domain}.crt")), &chain, 0o644)?;
            write_file(
                &dir.join(format!("{domain}.key")),
                &key.serialize_pem(),
                0o600,
            )?;
        }
        let root = dir.join("root.pem");
        write_file(&root, &issuer.pem(), 0o644)?;
        Ok(Self {
            root,
            certificate: issuer.der().clone(),
        })
    }

    /// Where the root is, for a browser or `curl --cacert`.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// A client that trusts this authority and nobody else.
    pub(super) fn client(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        // The certificate was made a moment ago by the same library.
        let _ = roots.add(self.certificate.clone());
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    }
}
