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
use crate::cause::chain;
use crate::files::small;

const FOLDER: &str = ".well-known/acme-challenge";
/// A token, a dot and a hash; whatever is larger is something else.
const LARGEST: u64 = 4096;
const LONGEST_TOKEN: usize = 256;
const READ_WITHIN: Duration = Duration::from_secs(2);
/// A folder that hangs holds no more threads than this.
static READERS: Semaphore = Semaphore::const_new(4);

/// What an authority asks for: the name of a file, and never a way to one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Token(String);

impl Token {
    /// Of base64url (RFC 8555 §8.3), which has neither dots nor slashes.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let fits = !text.is_empty() && text.len() <= LONGEST_TOKEN && text.bytes().all(known);
        fits.then(|| Self(text.to_owned()))
    }
}

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

async fn read(webroot: Option<&Path>, Token(token): Token) -> Option<Bytes> {
    let webroot = webroot?.to_owned();
    let read = async {
        let place = READERS.acquire().await.ok()?;
        let read = spawn_blocking(move || {
            // Kept until the disk has answered, however long that takes.
            let _place = place;
            small(&webroot, Path::new(FOLDER), &token, LARGEST)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_a_name_and_no_way() {
        assert!(Token::parse("LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0").is_some());
        let long = "a".repeat(LONGEST_TOKEN + 1);
        for text in [
            "", ".", "..", "../x", "a/b", "a.b", "%2e", "a b", "ä", &long,
        ] {
            assert_eq!(Token::parse(text), None, "{text}");
        }
    }
}
