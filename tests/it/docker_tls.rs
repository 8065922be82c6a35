//! An engine that is reached over TCP, both sides proven by certificates.

use std::path::Path;
use std::sync::Arc;

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, UnixStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::harness::docker_api::DockerApi;
use crate::harness::pki::Pki;
use crate::harness::program::{Finished, run_with};

/// A manager's port in front of an engine's socket, that lets in whom `pki` has signed.
struct Port {
    address: String,
    _serving: JoinSet<()>,
}

impl Port {
    async fn of(api: &DockerApi, pki: &Pki) -> Self {
        let (certificate, key) = pki.pair(&["localhost"]);
        let verifier = WebPkiClientVerifier::builder(Arc::new(pki.roots()))
            .build()
            .unwrap();
        let config = rustls::ServerConfig::builder()
            .with_client_cert_verifier(verifier)
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let socket = api.socket();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut open = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, socket) = (acceptor.clone(), socket.clone());
                open.spawn(async move {
                    // Whoever proves nothing is let go.
                    let Ok(mut stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let mut engine = UnixStream::connect(socket).await.unwrap();
                    let _ = copy_bidirectional(&mut stream, &mut engine).await;
                });
            }
        });
        Self {
            address: format!("tcp://localhost:{port}"),
            _serving: serving,
        }
    }
}

/// What somebody needs to command an engine that trusts `signer`, and whom to trust.
fn keys(folder: &Path, trusted: &Pki, signer: &Pki) {
    let mut params = CertificateParams::new(vec!["usher".to_owned()]).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let (certificate, key) = signer.sign(params);
    for (name, text) in [
        ("ca.pem", trusted.root_pem()),
        ("cert.pem", certificate),
        ("key.pem", key),
    ] {
        std::fs::write(folder.join(name), text).unwrap();
    }
}

async fn init(folder: &Path, port: &Port, keys: &Path) -> Finished {
    let path = keys.display().to_string();
    let told = [
        ("DOCKER_HOST", port.address.as_ref()),
        ("DOCKER_TLS_VERIFY", "1".as_ref()),
        ("DOCKER_CERT_PATH", path.as_ref()),
    ];
    run_with(folder, &["init", "--config", "-"], &told).await
}

#[tokio::test]
async fn a_manager_is_spoken_to_over_tls_and_only_when_both_have_proven_themselves() {
    let api = DockerApi::start();
    api.speaking(
        "congress",
        "web",
        "openslides",
        &["VIRTUAL_HOST=congress.example.org"],
    )
    .await;
    let (pki, stranger) = (Pki::new(), Pki::new());
    let port = Port::of(&api, &pki).await;
    let folder = tempfile::tempdir().unwrap();
    let own = tempfile::tempdir().unwrap();

    keys(own.path(), &pki, &pki);
    let done = init(folder.path(), &port, own.path()).await;
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.contains("congress.example.org"), "{done:?}");

    for (trusted, signer, whose) in [(&pki, &stranger, "usher"), (&stranger, &pki, "the engine")] {
        let calls = api.calls("").len();
        keys(own.path(), trusted, signer);
        let done = init(folder.path(), &port, own.path()).await;
        assert_ne!(done.code, 0, "{whose} is a stranger: {done:?}");
        assert_eq!(api.calls("").len(), calls, "nothing was asked");
    }
    std::fs::remove_file(own.path().join("key.pem")).unwrap();
    let done = init(folder.path(), &port, own.path()).await;
    assert!(done.err.contains("key.pem cannot be used"), "{done:?}");
}
