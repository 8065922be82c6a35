//! Answers to authorities that other programs leave in a folder (RFC 8555 §8.3): what certbot, or the
//! companion before us, is asked for while usher has the port.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use pingora::prelude::Result;
use pingora::proxy::Session;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::debug;

use super::Gateway;
use super::ctx::Ctx;
use super::failure::Failure;
use super::local::Answer;
use super::token::Token;
use crate::cause::chain;
use crate::files::small;

const FOLDER: &str = ".well-known/acme-challenge";
/// A token, a dot and a hash; whatever is larger is something else.
const LARGEST: u64 = 4096;
const READ_WITHIN: Duration = Duration::from_secs(2);
/// A folder that hangs holds no more threads than this.
static READERS: Semaphore = Semaphore::const_new(4);

impl Gateway {
    pub(super) async fn answer_from_webroot(
        &self,
        session: &mut Session,
        ctx: &mut Ctx,
        token: Token,
    ) -> Result<bool> {
        let method = &session.req_header().method;
        if *method != Method::GET && *method != Method::HEAD {
            return self.fail(session, ctx, Failure::MethodNotAllowed).await;
        }
        let webroot = self.routes.load().edge().webroot.clone();
        let Some(body) = read(webroot.as_deref(), token).await else {
            return self.fail(session, ctx, Failure::NotFound).await;
        };
        let mut answer = Answer::text(String::new());
        answer.body = body;
        answer.fields.push(("cache-control", "no-store".to_owned()));
        self.answer(session, ctx, answer).await
    }
}

async fn read(webroot: Option<&Path>, token: Token) -> Option<Bytes> {
    let webroot = webroot?.to_owned();
    let read = async {
        let place = READERS.acquire().await.ok()?;
        let read = spawn_blocking(move || {
            // Kept until the disk has answered, however long that takes.
            let _place = place;
            small(&webroot, Path::new(FOLDER), token.as_str(), LARGEST)
        });
        match read.await.ok()? {
            Ok(body) => Some(body),
            Err(error) => {
                debug!(error = %chain(&error), "no file for an authority");
                None
            }
        }
    };
    timeout(READ_WITHIN, read).await.ok().flatten()
}
