//! The answer to an authority that asks in the handshake (RFC 8737): a certificate for one moment.

use std::io;
use std::sync::Arc;

use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::{ClientHello, ServerConfig};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ConfigBuilder, WantsVerifier};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::StartHandshake;

use crate::names::Hostname;

/// RFC 8737 §6.2.
const PROTOCOL: &[u8] = b"acme-tls/1";

/// Why an authority that asks gets no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unanswered {
    #[error("the certificate of the answer cannot be made")]
    Certificate(#[from] rcgen::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

/// Whether the client wants this protocol and no other; clients that offer it beside others are
/// not asking (RFC 8737 §4).
pub(super) fn is_asked(hello: &ClientHello<'_>) -> bool {
    let mut offered = hello.alpn().into_iter().flatten();
    offered.next() == Some(PROTOCOL) && offered.next().is_none()
}

/// Completes the handshake with what was published for this host, and closes: no other data belongs
/// on this connection.
pub(super) async fn answer(
    start: StartHandshake<TcpStream>,
    builder: ConfigBuilder<ServerConfig, WantsVerifier>,
    host: &Hostname,
    digest: [u8; 32],
) -> Result<(), Unanswered> {
    let config = config(builder, host, digest)?;
    let mut stream = start.into_stream(Arc::new(config)).await?;
    stream.shutdown().await?;
    Ok(())
}

/// A key on P-256 takes some ten microseconds to make, less than the handshake it is for, and so it
/// is made here and forgotten with the connection.
fn config(
    builder: ConfigBuilder<ServerConfig, WantsVerifier>,
    host: &Hostname,
    digest: [u8; 32],
) -> Result<ServerConfig, Unanswered> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new([host.to_string()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(&digest)];
    let certificate = params.self_signed(&key)?;
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let key = aws_lc_rs::sign::any_ecdsa_type(&key)?;
    // Made from that key a line above. A check would stumble over the extension: it is critical, and
    // known to authorities alone.
    let pair = CertifiedKey::new(vec![certificate.der().clone()], key);
    let mut config = builder
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.send_tls13_tickets = 0;
    Ok(config)
}

#[cfg(test)]
mod tests;
