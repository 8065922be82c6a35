//! Alerts over HTTP.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;

use crate::cause::chain;

/// From the first byte sent to the last received.
const WITHIN: Duration = Duration::from_secs(10);
/// Of what a receiver says when it refuses.
const SAID_AT_MOST: usize = 4 << 10;

type Sender = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// A connection to where alerts are taken, made when the first is sent.
#[derive(Debug, Default)]
pub(super) struct Post(Option<Sender>);

impl Post {
    /// Posts a text in JSON. Nobody is followed to where he points: he may point anywhere.
    ///
    /// # Errors
    /// Why it was not taken. The address is not part of it, because addresses may hold tokens.
    pub(super) async fn send(&mut self, url: &str, text: Vec<u8>) -> Result<(), String> {
        let sender = match &self.0 {
            Some(sender) => sender,
            None => self.0.insert(sender(url)?),
        };
        let request = Request::post(url)
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("usher/", env!("CARGO_PKG_VERSION")))
            .body(Full::from(text))
            .map_err(|error| error.to_string())?;
        let exchange = async {
            let answer = sender.request(request).await;
            let answer = answer.map_err(|error| chain(&error))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), SAID_AT_MOST)
                .collect()
                .await;
            let said = body.map(|body| body.to_bytes()).unwrap_or_default();
            if status.is_success() {
                Ok(())
            } else {
                Err(refusal(status, &said))
            }
        };
        timeout(WITHIN, exchange)
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {} s", WITHIN.as_secs())))
    }
}

fn sender(url: &str) -> Result<Sender, String> {
    let builder = HttpsConnectorBuilder::new();
    let connector = if url.starts_with("https:") {
        let builder = builder
            .try_with_platform_verifier()
            .map_err(|error| format!("{}; install ca-certificates", chain(&error)))?;
        builder.https_only().enable_http1().build()
    } else {
        // Nobody is trusted where nobody is asked for a certificate.
        let nobody = rustls::ClientConfig::builder()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        builder
            .with_tls_config(nobody)
            .https_or_http()
            .enable_http1()
            .build()
    };
    Ok(Client::builder(TokioExecutor::new()).build(connector))
}

fn refusal(status: StatusCode, said: &[u8]) -> String {
    let line: String = String::from_utf8_lossy(said)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(120)
        .collect();
    match line.trim() {
        "" => format!("it answered {status}"),
        line => format!("it answered {status}: {line}"),
    }
}
