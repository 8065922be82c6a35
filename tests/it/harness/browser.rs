//! A real browser, driven over its DevTools protocol.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::eventually;
use super::program::Program;

const PATIENCE: Duration = Duration::from_secs(30);

/// One page of a Chromium of its own.
pub struct Page {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    session: String,
    next: u64,
    _program: Program,
    _profile: tempfile::TempDir,
}

impl Page {
    pub async fn open() -> Self {
        let profile = tempfile::tempdir().expect("a folder");
        let mut command = Command::new("chromium");
        command
            .args([
                "--headless",
                // In a container there is no other way; what is shown is our own.
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--disable-background-networking",
                "--remote-debugging-port=0",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank");
        let mut program = Program::spawn(command);
        let line = program.says("DevTools listening on ").await;
        let url = line.rsplit(' ').next().expect("a URL").to_owned();
        let (socket, _) = connect_async(url).await.expect("a browser");
        let mut page = Self {
            socket,
            session: String::new(),
            next: 0,
            _program: program,
            _profile: profile,
        };
        let target = page
            .call("Target.createTarget", json!({ "url": "about:blank" }))
            .await;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = page.call("Target.attachToTarget", attach).await;
        page.session = attached["sessionId"]
            .as_str()
            .expect("a session")
            .to_owned();
        page.call("Page.enable", json!({})).await;
        page
    }

    /// One method of the protocol and its result.
    pub async fn call(&mut self, method: &str, parameters: Value) -> Value {
        let result = self.try_call(method, parameters).await;
        result.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    async fn try_call(&mut self, method: &str, parameters: Value) -> Result<Value, String> {
        self.next += 1;
        let id = self.next;
        let mut request = json!({ "id": id, "method": method, "params": parameters });
        if !self.session.is_empty() {
            request["sessionId"] = self.session.clone().into();
        }
        let exchange = async {
            self.socket
                .send(Message::text(request.to_string()))
                .await
                .expect("sent");
            loop {
                let message = self.socket.next().await.expect("a browser");
                let Message::Text(text) = message.expect("a message") else {
                    continue;
                };
                let mut answer: Value = serde_json::from_str(&text).expect("JSON");
                if answer["id"] != id {
                    continue;
                }
                return match answer["error"].take() {
                    Value::Null => Ok(answer["result"].take()),
                    error => Err(error.to_string()),
                };
            }
        };
        timeout(PATIENCE, exchange)
            .await
            .unwrap_or_else(|_| panic!("{method}: no answer"))
    }

    /// Goes to a page and waits until it is there.
    pub async fn go(&mut self, url: &str) {
        let gone = self.call("Page.navigate", json!({ "url": url })).await;
        assert!(gone["errorText"].is_null(), "{url}: {gone}");
        self.until(
            "the page",
            "document.readyState === 'complete' && location.href !== 'about:blank'",
        )
        .await;
    }

    /// The value of an expression.
    pub async fn value(&mut self, expression: &str) -> Value {
        let value = self.try_value(expression).await;
        value.unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    /// An error where the page throws, or is just being left.
    async fn try_value(&mut self, expression: &str) -> Result<Value, String> {
        let parameters = json!({ "expression": expression, "returnByValue": true });
        let mut result = self.try_call("Runtime.evaluate", parameters).await?;
        match result["exceptionDetails"].take() {
            Value::Null => Ok(result["result"]["value"].take()),
            thrown => Err(thrown.to_string()),
        }
    }

    /// Waits until an expression is true.
    pub async fn until(&mut self, what: &str, expression: &str) {
        let page = tokio::sync::RwLock::new(self);
        eventually(what, async || {
            let mut page = page.write().await;
            match page.try_value(expression).await {
                Ok(Value::Bool(true)) => Ok(()),
                other => Err((other, page.try_value("document.body.innerText").await)),
            }
        })
        .await;
    }

    /// Presses a key, for example `Tab`.
    pub async fn press(&mut self, key: &str) {
        let code = match key {
            "Enter" => 13,
            "Tab" => 9,
            "ArrowDown" => 40,
            "ArrowUp" => 38,
            other => panic!("no code for {other}"),
        };
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({
                "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code,
            });
            if key == "Enter" {
                event["text"] = "\r".into();
            }
            self.call("Input.dispatchKeyEvent", event).await;
        }
    }

    pub async fn size(&mut self, width: u32, height: u32) {
        let mobile = width < 600;
        let metrics = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile,
        });
        self.call("Emulation.setDeviceMetricsOverride", metrics)
            .await;
    }

    pub async fn dark(&mut self, dark: bool) {
        let value = if dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": value }]);
        self.call(
            "Emulation.setEmulatedMedia",
            json!({ "features": features }),
        )
        .await;
    }

    pub async fn scripting(&mut self, on: bool) {
        self.call(
            "Emulation.setScriptExecutionDisabled",
            json!({ "value": !on }),
        )
        .await;
    }

    /// Keeps a picture of the whole page as `target/browser/NAME.png`.
    pub async fn keep(&mut self, name: &str) {
        let parameters = json!({ "format": "png", "captureBeyondViewport": true });
        let picture = self.call("Page.captureScreenshot", parameters).await;
        let bytes = STANDARD.decode(picture["data"].as_str().expect("a picture"));
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/browser");
        fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join(format!("{name}.png"));
        fs::write(&path, bytes.expect("base64")).expect("written");
        println!("{}", path.display());
    }
}
