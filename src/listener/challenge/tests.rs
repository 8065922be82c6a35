use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme, SupportedProtocolVersion};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::asn1_rs::oid;

use super::*;
use crate::certs::{Challenges, Store};
use crate::config::model::TlsVersion;
use crate::listener::Offered;
use crate::listener::arrival::Ends;
use crate::listener::hello::Visitor;
use crate::listener::{EdgeCounters, Tls};
use crate::plan::Handshake;

const HOST: &str = "new.example.org";

/// An authority believes no chain: it looks at the certificate itself.
#[derive(Debug)]
struct Authority;

impl ServerCertVerifier for Authority {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

/// Asks a server with these challenges and no certificate at all. What the client saw, and how the
/// server counts it.
async fn ask(
    challenges: &Challenges,
    host: &'static str,
    protocols: &[&[u8]],
    version: &'static SupportedProtocolVersion,
) -> (io::Result<TlsStream<TcpStream>>, Option<Handshake>) {
    let store = Arc::new(Store::new(false));
    let offered = Offered {
        least: TlsVersion::Tls12,
        http2: true,
    };
    let tls = Tls::new(store, challenges.clone(), offered).expect("TLS");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("address");
    let mut config = ClientConfig::builder_with_protocol_versions(&[version])
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Authority))
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let connector = TlsConnector::from(Arc::new(config));
    let client = async {
        let tcp = TcpStream::connect(address).await?;
        let name = ServerName::try_from(host).expect("a name");
        connector.connect(name, tcp).await
    };
    let server = async {
        let (tcp, peer) = listener.accept().await.expect("accepted");
        let ends = Ends::of(&tcp, peer).expect("both ends");
        let visitor = Visitor {
            ends: &ends,
            counters: &EdgeCounters::default(),
            client_ca: &|_| None,
            may_ask: &|_| true,
            default_host: None,
            http2: &|_| true,
        };
        tls.greet(tcp, visitor).await.err()
    };
    tokio::join!(client, server)
}

fn published(host: &str) -> (Challenges, impl Drop) {
    let challenges = Challenges::default();
    let host = host.parse().expect("a host");
    let guard = challenges.publish_in_handshake_for_test(host, [7; 32]);
    (challenges, guard)
}

#[tokio::test]
async fn an_authority_sees_the_digest_under_exactly_the_name_and_then_the_end() {
    let (challenges, _published) = published(HOST);
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let (stream, counted) = ask(&challenges, HOST, &[PROTOCOL], version).await;
        let mut stream = stream.expect("a handshake");
        assert_eq!(counted, Some(Handshake::Challenge));

        let (_, session) = stream.get_ref();
        assert_eq!(session.alpn_protocol(), Some(PROTOCOL));
        let chain = session.peer_certificates().expect("a chain").to_vec();
        assert_eq!(chain.len(), 1);
        let (_, leaf) = x509_parser::parse_x509_certificate(&chain[0]).expect("a certificate");
        let names = leaf.subject_alternative_name().expect("names");
        let names = &names.expect("names").value.general_names;
        assert_eq!(names[..], [GeneralName::DNSName(HOST)]);
        let extension = leaf
            .get_extension_unique(&oid!(1.3.6.1.5.5.7.1.31))
            .expect("once")
            .expect("acmeIdentifier");
        assert!(extension.critical);
        let octets = [&[4, 32][..], &[7; 32]].concat();
        assert_eq!(extension.value, octets, "an OCTET STRING of the digest");

        let mut rest = Vec::new();
        let end = timeout(Duration::from_secs(5), stream.read_to_end(&mut rest));
        end.await.expect("an end").expect("a clean end");
        assert!(rest.is_empty());
    }
}

#[tokio::test]
async fn nobody_else_is_answered_with_it() {
    let (challenges, published) = published(HOST);
    let refused = async |challenges: &Challenges, host, protocols: &[&[u8]]| {
        let version = &rustls::version::TLS13;
        let (stream, counted) = ask(challenges, host, protocols, version).await;
        let error = stream.expect_err("no handshake").to_string();
        assert!(error.contains("UnrecognisedName"), "{host}: {error}");
        assert_eq!(counted, Some(Handshake::UnknownName), "{host}");
    };
    refused(&challenges, "other.example.org", &[PROTOCOL]).await;
    refused(&challenges, HOST, &[b"http/1.1"]).await;
    refused(&challenges, HOST, &[PROTOCOL, b"http/1.1"]).await;
    refused(&challenges, HOST, &[]).await;
    drop(published);
    refused(&challenges, HOST, &[PROTOCOL]).await;
}
