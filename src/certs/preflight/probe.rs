//! Whether port 80 of an address leads to this process, as an authority will look.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::certs::challenge::{Challenges, PREFIX};
use crate::names::Hostname;

/// The port that an authority asks at (RFC 8555 §8.3).
pub(super) const PORT: u16 = 80;

const ANSWERED_WITHIN: Duration = Duration::from_secs(5);
/// More than the head and the token of our own answer.
const MOST_BYTES: u64 = 16 << 10;

/// Whether the kernel would let this machine answer at the address: it can be bound.
pub(super) fn is_ours(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

/// Fetches a token of ours by this address.
///
/// # Errors
/// What came instead; completes "port 80 of … ".
pub(super) async fn fetch(
    challenges: &Challenges,
    host: &Hostname,
    address: SocketAddr,
) -> Result<(), String> {
    let token = format!("preflight-{:032x}", rand::random::<u128>());
    let answer = format!("{:032x}", rand::random::<u128>());
    let _published = challenges.publish(host.clone(), token.clone(), answer.clone());
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        let request =
            format!("GET {PREFIX}{token} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut bytes = Vec::new();
        stream.take(MOST_BYTES).read_to_end(&mut bytes).await?;
        io::Result::Ok(bytes)
    };
    match timeout(ANSWERED_WITHIN, exchange).await {
        Ok(Ok(bytes)) if String::from_utf8_lossy(&bytes).contains(&answer) => Ok(()),
        Ok(Ok(_)) => Err("leads to something else than this usher".to_owned()),
        Ok(Err(error)) => Err(format!("does not answer: {error}")),
        Err(_) => Err(format!(
            "does not answer within {} s",
            ANSWERED_WITHIN.as_secs()
        )),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// A server that answers one request with what `answer` makes of its path.
    async fn serve(answer: impl Fn(&str) -> String + Send + 'static) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut bytes = vec![0; 4_096];
            let read = stream.read(&mut bytes).await.expect("a request");
            let text = String::from_utf8_lossy(&bytes[..read]).into_owned();
            let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
            let _ = stream.write_all(answer(&path).as_bytes()).await;
        });
        address
    }

    #[tokio::test]
    async fn an_address_that_leads_here_answers_with_what_was_just_published() {
        let challenges = Challenges::default();
        let host: Hostname = "a.example.org".parse().expect("host");
        let (known, name) = (challenges.clone(), host.clone());
        let address = serve(move |path| {
            let token = path.strip_prefix(PREFIX).unwrap_or_default();
            let answer = known.answer(&name, token).unwrap_or_default();
            format!("HTTP/1.1 200 OK\r\n\r\n{answer}")
        })
        .await;
        assert_eq!(fetch(&challenges, &host, address).await, Ok(()));
    }

    #[tokio::test]
    async fn another_server_and_no_server_are_told_apart() {
        let challenges = Challenges::default();
        let host: Hostname = "a.example.org".parse().expect("host");
        // It answers everything with everything it was asked.
        let address = serve(|path| format!("HTTP/1.1 200 OK\r\n\r\n{path}")).await;
        let other = fetch(&challenges, &host, address)
            .await
            .expect_err("not us");
        assert!(other.contains("something else"), "{other}");
        let closed = fetch(&challenges, &host, address)
            .await
            .expect_err("closed");
        assert!(closed.contains("does not answer"), "{closed}");
    }

    #[test]
    fn an_address_of_this_machine_is_ours() {
        assert!(is_ours([127, 0, 0, 1].into()));
        assert!(!is_ours([192, 0, 2, 1].into()));
    }
}
