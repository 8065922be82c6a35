//! A certificate authority for one test.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

#[derive(Debug)]
pub struct Pki {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("key");
        Self {
            issuer: CertifiedIssuer::self_signed(params, key).expect("issuer"),
        }
    }

    /// A pair for these names, as PEM.
    pub fn pair(&self, names: &[&str]) -> (String, String) {
        self.pair_until(names, 4096)
    }

    /// As [`Pki::pair`], with the end in this year.
    pub fn pair_until(&self, names: &[&str], year: u16) -> (String, String) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.not_after = rcgen::date_time_ymd(year.into(), 1, 1);
        let key = KeyPair::generate().expect("key");
        let leaf = params.signed_by(&key, &self.issuer).expect("signed");
        (
            format!("{}{}", leaf.pem(), self.issuer.pem()),
            key.serialize_pem(),
        )
    }

    /// A pair that says this, as PEM.
    pub fn sign(&self, params: CertificateParams) -> (String, String) {
        let key = KeyPair::generate().expect("key");
        let leaf = params.signed_by(&key, &self.issuer).expect("signed");
        (leaf.pem(), key.serialize_pem())
    }

    /// A list of the certificates that this authority has revoked, by their numbers, as PEM. It is good
    /// until the end of this year.
    pub fn revoked(&self, numbers: &[u64], year: i32) -> String {
        let long_ago = rcgen::date_time_ymd(2020, 1, 1);
        let revoked = numbers.iter().map(|number| RevokedCertParams {
            serial_number: (*number).into(),
            revocation_time: long_ago,
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: long_ago,
            next_update: rcgen::date_time_ymd(year, 12, 31),
            crl_number: 1.into(),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let signed = list.signed_by(&self.issuer).expect("signed");
        signed.pem().expect("PEM")
    }

    /// Writes a pair as an operator would, under the first name without its wildcard.
    pub fn write_pair(&self, dir: &Path, names: &[&str]) {
        fs::create_dir_all(dir).expect("folder");
        let (chain, key) = self.pair(names);
        let name = names[0].trim_start_matches("*.");
        fs::write(dir.join(format!("{name}.crt")), chain).expect("written");
        fs::write(dir.join(format!("{name}.key")), key).expect("written");
    }

    /// A server with a pair for these names.
    pub fn server(&self, names: &[&str]) -> ServerConfig {
        let (chain, key) = self.pair(names);
        let chain = CertificateDer::pem_slice_iter(chain.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
        ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain.map(|one| one.expect("PEM")).collect(), key)
            .expect("a pair")
    }

    pub fn root_pem(&self) -> String {
        self.issuer.pem()
    }

    /// This authority alone.
    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("a root");
        roots
    }

    /// A client that trusts this authority and offers these protocols.
    pub fn client(&self, protocols: &[&str]) -> ClientConfig {
        let mut config = ClientConfig::builder()
            .with_root_certificates(self.roots())
            .with_no_client_auth();
        config.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        config
    }

    pub fn connector(&self, protocols: &[&str]) -> tokio_rustls::TlsConnector {
        tokio_rustls::TlsConnector::from(Arc::new(self.client(protocols)))
    }
}

/// A client that trusts these authorities alone, as PEM.
pub fn trusting(pem: &str) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate.expect("PEM")).expect("a root");
    }
    ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth()
}
