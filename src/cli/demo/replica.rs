//! The replicas of the demo: what an application server is to usher, and no more.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::super::Exit;

/// Answers `/` with a page and every websocket with an echo that names this process.
pub(in crate::cli) async fn web(listen: SocketAddr, name: &str) -> Exit {
    let listener = match TcpListener::bind(listen).await {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("cannot listen on {listen}: {error}");
            return Exit::CannotBind;
        }
    };
    let name = format!("{name}, process {}", std::process::id());
    println!("{name} serves on {listen}");
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = open.join_next() => {}
            accepted = listener.accept() => {
                let Ok((tcp, _)) = accepted else { continue };
                let name = name.clone();
                open.spawn(async move {
                    let service = service_fn(move |request| answer(request, name.clone()));
                    // An error means that the client has gone.
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(tcp), service)
                        .with_upgrades()
                        .await;
                });
            }
        }
    }
}

/// Does what a worker does between messages.
pub(in crate::cli) async fn worker() -> Exit {
    println!("worker {} waits for work", std::process::id());
    loop {
        sleep(Duration::from_secs(60)).await;
    }
}

async fn answer(
    mut request: Request<Incoming>,
    name: String,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let Some(key) = request.headers().get("sec-websocket-key").cloned() else {
        let mut page = Response::new(Full::new(Bytes::from(page(&name))));
        let html = http::HeaderValue::from_static("text/html; charset=utf-8");
        page.headers_mut().insert("content-type", html);
        return Ok(page);
    };
    let accept = derive_accept_key(key.as_bytes());
    let upgraded = hyper::upgrade::on(&mut request);
    #[expect(
        clippy::disallowed_methods,
        reason = "the connection's own task ends with the handshake; this one with the websocket"
    )]
    tokio::spawn(async move {
        if let Ok(upgraded) = upgraded.await {
            let io = TokioIo::new(upgraded);
            let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
            while let Some(Ok(message)) = socket.next().await {
                if let Message::Text(text) = message {
                    let echo = Message::text(format!("{name}: {text}"));
                    if socket.send(echo).await.is_err() {
                        return;
                    }
                }
            }
        }
    });
    let mut switch = Response::new(Full::default());
    *switch.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let fields = switch.headers_mut();
    fields.insert("connection", http::HeaderValue::from_static("Upgrade"));
    fields.insert("upgrade", http::HeaderValue::from_static("websocket"));
    if let Ok(accept) = http::HeaderValue::from_str(&accept) {
        fields.insert("sec-websocket-accept", accept);
    }
    Ok(switch)
}

fn page(name: &str) -> String {
    format!(
        "<!doctype html><meta charset=utf-8><title>usher demo</title>\
         <style>body{{font:1.1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:15vh auto;padding:0 1rem}}\
         pre{{background:#eee;padding:1rem;min-height:10rem}}</style>\
         <h1>usher demo</h1><p>This page came from <b>{name}</b>.</p>\
         <p>Its websocket says once a second:</p><pre id=out></pre>\
         <script>const s=new WebSocket(location.href.replace(/^http/,'ws').replace(/\\/[^/]*$/,'/ws'));\
         const o=document.getElementById('out');s.onmessage=e=>o.textContent=e.data+'\\n'+o.textContent.slice(0,2000);\
         s.onopen=()=>setInterval(()=>s.send(new Date().toLocaleTimeString()),1000);\
         s.onclose=e=>o.textContent='closed: '+e.code+'\\n'+o.textContent</script>"
    )
}
