//! TLS of the admin listener, with the pair the operator names and, if wanted, certificates of
//! clients.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use rustls::{RootCertStore, version};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::warn;

use super::patient::Patient;
use super::tokens::{Stamp, stamp};

/// The files are looked at so often at most.
const EVERY: Duration = Duration::from_secs(1);

/// What the admin listener shows, and whom it believes.
#[derive(Debug)]
pub(super) struct Tls {
    files: Files,
    loaded: Mutex<Loaded>,
}

#[derive(Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    /// Signs certificates of clients.
    client_ca: Option<PathBuf>,
    /// Whether a client may come without one, because tokens open as well.
    certificate_is_optional: bool,
}

#[derive(Debug)]
struct Loaded {
    looked: Instant,
    stamps: [Option<Stamp>; 3],
    /// `None`: there is no good pair yet.
    config: Option<Arc<ServerConfig>>,
}

/// Why nobody is let in, or what was good before stays.
#[derive(Debug, thiserror::Error)]
enum TlsError {
    #[error("cannot read {} for the admin listener", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    #[error("{} and its key do not serve the admin listener", path.display())]
    Pair {
        path: PathBuf,
        #[source]
        source: rustls::Error,
    },
    #[error("{} is no authority for clients of the admin listener", path.display())]
    Authority {
        path: PathBuf,
        #[source]
        source: rustls::server::VerifierBuilderError,
    },
}

impl Tls {
    /// `pair` is the path of the pair without `.crt` and `.key`.
    ///
    /// A pair that is not there yet may come: one that is ordered is not there at the first start.
    /// Until then every handshake fails.
    pub(super) fn new(
        pair: &Path,
        client_ca: Option<PathBuf>,
        certificate_is_optional: bool,
    ) -> Self {
        // A name has dots of its own, so this is not its extension.
        let with = |end: &str| {
            let mut path = pair.as_os_str().to_owned();
            path.push(end);
            PathBuf::from(path)
        };
        let files = Files {
            certificate: with(".crt"),
            key: with(".key"),
            client_ca,
            certificate_is_optional,
        };
        let mut loaded = Loaded {
            looked: now(),
            stamps: files.stamps(),
            config: None,
        };
        loaded.take(files.load());
        Self {
            files,
            loaded: Mutex::new(loaded),
        }
    }

    /// The handshake. Tells whether the client showed a certificate, which then is a good one.
    ///
    /// Cancel safe: whoever is too slow is dropped.
    pub(super) async fn accept(&self, stream: Patient) -> Option<(TlsStream<Patient>, bool)> {
        let acceptor = TlsAcceptor::from(self.config()?);
        // An error means that the client spoke something else, or is nobody we know.
        let stream: io::Result<_> = acceptor.accept(stream).await;
        let stream = stream.ok()?;
        let certified = stream.get_ref().1.peer_certificates().is_some();
        Some((stream, certified))
    }

    /// What is good now: a renewed pair is served without a restart, a broken one is not.
    fn config(&self) -> Option<Arc<ServerConfig>> {
        // Replaced as a whole: good after every operation.
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if loaded.looked.elapsed() >= EVERY {
            loaded.looked = now();
            let stamps = self.files.stamps();
            if stamps != loaded.stamps {
                loaded.stamps = stamps;
                loaded.take(self.files.load());
            }
        }
        loaded.config.clone()
    }
}

impl Loaded {
    fn take(&mut self, read: Result<Arc<ServerConfig>, TlsError>) {
        match read {
            Ok(config) => self.config = Some(config),
            Err(error) => warn!(
                error = crate::cause::chain(&error),
                "no certificate for the admin listener; without an older one it lets nobody in"
            ),
        }
    }
}

impl Files {
    fn stamps(&self) -> [Option<Stamp>; 3] {
        [
            stamp(&self.certificate),
            stamp(&self.key),
            self.client_ca.as_deref().and_then(stamp),
        ]
    }

    fn load(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let chain = chain_of(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|source| TlsError::Read {
            path: self.key.clone(),
            source,
        })?;
        let pair = |source| TlsError::Pair {
            path: self.certificate.clone(),
            source,
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])
            .map_err(pair)?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for authority in chain_of(path)? {
                    roots.add(authority).map_err(pair)?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier = match self.certificate_is_optional {
                    true => verifier.allow_unauthenticated(),
                    false => verifier,
                };
                let verifier = verifier.build().map_err(|source| TlsError::Authority {
                    path: path.clone(),
                    source,
                })?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_single_cert(chain, key).map_err(pair)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// All certificates of a file.
fn chain_of(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = |source| TlsError::Read {
        path: path.to_owned(),
        source,
    };
    CertificateDer::pem_file_iter(path)
        .map_err(read)?
        .collect::<Result<_, _>>()
        .map_err(read)
}

#[expect(clippy::disallowed_methods, reason = "when the files were looked at")]
fn now() -> Instant {
    Instant::now()
}
