//! How a Docker engine is reached: through its socket, or over TCP, there with both sides proven by
//! certificates as the docker command does it.
//!
//! Whoever may speak to an engine commands its machine. So plain TCP is for a loopback address or a
//! network of containers, and where certificates are given nothing is sent without them.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

pub(super) type DialError = Box<dyn std::error::Error + Send + Sync>;

/// Bytes in both directions, whatever carries them. With a name of its own, as the compiler does not
/// see of a `dyn` that is held across an await that it may be sent.
pub(super) struct Connection(Box<dyn Duplex>);

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        ctx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(ctx, into)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        ctx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(ctx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(ctx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(ctx)
    }
}

/// What the variables of the docker command say.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct DockerHost {
    /// `DOCKER_HOST`.
    pub endpoint: Option<String>,
    /// The folder with `ca.pem`, `cert.pem` and `key.pem` for engines over TCP.
    pub certificates: Option<PathBuf>,
}

impl DockerHost {
    /// `DOCKER_CERT_PATH` or a `DOCKER_TLS_VERIFY` that is not empty ask for certificates; without the
    /// former they are in `~/.docker`. The engine's own is verified in any case.
    pub fn told(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let home = || Some(Path::new(&set("HOME")?).join(".docker"));
        let folder = set("DOCKER_CERT_PATH").map(PathBuf::from);
        Self {
            endpoint: set("DOCKER_HOST"),
            certificates: folder.or_else(|| set("DOCKER_TLS_VERIFY").and_then(|_| home())),
        }
    }
}

/// One engine that was found, and how further connections to it are made.
#[derive(Clone, Debug)]
pub(super) enum Road {
    Socket(PathBuf),
    Tcp(String),
    Tls {
        address: String,
        name: ServerName<'static>,
        config: Arc<ClientConfig>,
    },
}

impl Road {
    /// Reads the certificates anew: they are replaced before they end.
    ///
    /// # Errors
    /// The endpoint has no scheme, or a certificate cannot be used.
    pub(super) fn to(endpoint: &str, certificates: Option<&Path>) -> Result<Self, DialError> {
        let (scheme, rest) = endpoint
            .split_once("://")
            .ok_or("the endpoint has no scheme")?;
        if scheme == "unix" {
            return Ok(Self::Socket(rest.into()));
        }
        let address = rest.trim_end_matches('/').to_owned();
        let Some(folder) = certificates else {
            return Ok(Self::Tcp(address));
        };
        let host = address.rsplit_once(':').map_or(&*address, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| format!("`{host}` is no name that a certificate can have"))?;
        Ok(Self::Tls {
            address,
            name,
            config: Arc::new(identity(folder)?),
        })
    }

    /// A client that makes connections as it needs them.
    pub(super) fn client(&self, seconds: u64) -> Result<Docker, bollard::errors::Error> {
        match self {
            Self::Socket(path) => {
                Docker::connect_with_unix(&path.to_string_lossy(), seconds, API_DEFAULT_VERSION)
            }
            Self::Tcp(address) => {
                let url = format!("http://{address}");
                Docker::connect_with_http(&url, seconds, API_DEFAULT_VERSION)
            }
            Self::Tls {
                address, config, ..
            } => {
                let connector = HttpsConnectorBuilder::new()
                    .with_tls_config(ClientConfig::clone(config))
                    .https_only()
                    .enable_http1()
                    .build();
                let client = Client::builder(TokioExecutor::new()).build(connector);
                let transport = move |request: BollardRequest| {
                    let answer = client.request(request);
                    async move { answer.await.map_err(bollard::errors::Error::from) }
                };
                let url = format!("https://{address}");
                Docker::connect_with_custom_transport(
                    transport,
                    Some(url),
                    seconds,
                    API_DEFAULT_VERSION,
                )
            }
        }
    }

    /// One connection.
    pub(super) async fn connect(&self) -> Result<Connection, DialError> {
        Ok(Connection(match self {
            Self::Socket(path) => Box::new(UnixStream::connect(path).await?),
            Self::Tcp(address) => Box::new(TcpStream::connect(address).await?),
            Self::Tls {
                address,
                name,
                config,
            } => {
                let stream = TcpStream::connect(address).await?;
                let connector = TlsConnector::from(Arc::clone(config));
                Box::new(connector.connect(name.clone(), stream).await?)
            }
        }))
    }
}

/// Who is trusted, and who usher is.
fn identity(folder: &Path) -> Result<ClientConfig, DialError> {
    let unusable = |name: &str, why: &dyn std::fmt::Display| -> DialError {
        let path = folder.join(name);
        format!(
            "{} cannot be used ({why}); DOCKER_CERT_PATH is a folder with ca.pem, cert.pem and key.pem",
            path.display()
        )
        .into()
    };
    let chain = |name: &'static str| -> Result<Vec<CertificateDer<'static>>, DialError> {
        let certificates = CertificateDer::pem_file_iter(folder.join(name))
            .map_err(|error| unusable(name, &error))?;
        let certificates: Result<Vec<_>, _> = certificates.collect();
        let certificates = certificates.map_err(|error| unusable(name, &error))?;
        if certificates.is_empty() {
            return Err(unusable(name, &"it holds no certificate"));
        }
        Ok(certificates)
    };
    let mut roots = RootCertStore::empty();
    for root in chain("ca.pem")? {
        roots
            .add(root)
            .map_err(|error| unusable("ca.pem", &error))?;
    }
    let own = chain("cert.pem")?;
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem"))
        .map_err(|error| unusable("key.pem", &error))?;
    ClientConfig::builder()
        .with_root_certificates(roots)
        .with_client_auth_cert(own, key)
        .map_err(|error| unusable("cert.pem", &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(variables: &[(&str, &str)]) -> DockerHost {
        DockerHost::told(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn variables_mean_what_they_mean_to_the_docker_command() {
        assert_eq!(told(&[]), DockerHost::default());
        let host = ("DOCKER_HOST", "tcp://manager:2376");
        for (variables, folder) in [
            (vec![host], None),
            (vec![host, ("DOCKER_TLS_VERIFY", "")], None),
            (
                vec![host, ("DOCKER_TLS_VERIFY", "1"), ("HOME", "/home/me")],
                Some("/home/me/.docker"),
            ),
            (vec![host, ("DOCKER_CERT_PATH", "/keys")], Some("/keys")),
            (
                vec![
                    host,
                    ("DOCKER_TLS_VERIFY", "1"),
                    ("DOCKER_CERT_PATH", "/keys"),
                ],
                Some("/keys"),
            ),
        ] {
            let found = told(&variables);
            assert_eq!(found.endpoint.as_deref(), Some("tcp://manager:2376"));
            assert_eq!(
                found.certificates,
                folder.map(PathBuf::from),
                "{variables:?}"
            );
        }
    }

    #[test]
    fn certificates_that_are_missing_are_named_and_nothing_is_sent_in_the_clear() {
        let folder = tempfile::tempdir().expect("a folder");
        let road = Road::to("tcp://manager:2376", Some(folder.path()));
        let why = road.expect_err("nothing there").to_string();
        assert!(why.contains("ca.pem cannot be used"), "{why}");
        assert!(
            why.ends_with("a folder with ca.pem, cert.pem and key.pem"),
            "{why}"
        );
        let road = Road::to("unix:///var/run/docker.sock", Some(folder.path()));
        assert!(matches!(road, Ok(Road::Socket(_))), "{road:?}");
    }
}
