//! Whether a request knows a password of its route. The same for both doors.

use http::HeaderMap;
use http::header::AUTHORIZATION;
use tracing::debug;

use super::failure::Failure;
use super::local::Answer;
use super::pages::Reader;
use super::{Gateway, now};
use crate::cause::chain;
use crate::passwords::{PasswordError, Verdict};
use crate::plan::Route;
use crate::routing::InstanceTable;

impl Gateway {
    /// Lets a request on to its route, or gives the answer that asks for a password.
    pub(super) async fn authorize(
        &self,
        instance: &InstanceTable,
        route: &Route,
        fields: &HeaderMap,
    ) -> Result<(), Box<Answer>> {
        let Some(auth) = &route.auth else {
            return Ok(());
        };
        let refuse = |failure| Box::new(Answer::failure(failure, Reader::of(instance, fields)));
        let credentials = fields.get(AUTHORIZATION).map(http::HeaderValue::as_bytes);
        match self.passwords.judge(&auth.file, credentials, now()).await {
            Ok(Verdict::Admitted) => Ok(()),
            Ok(Verdict::Refused) => {
                let mut answer = refuse(Failure::Unauthorized);
                // RFC 7617 §2
                let challenge = format!("Basic realm=\"{}\", charset=\"UTF-8\"", auth.realm);
                answer.fields.push(("www-authenticate", challenge));
                Err(answer)
            }
            Err(PasswordError::Busy) => Err(refuse(Failure::OverLimit)),
            Err(error @ (PasswordError::File(_) | PasswordError::Overdue)) => {
                debug!(
                    instance = %instance.name(),
                    prefix = %route.prefix,
                    file = %auth.file.display(),
                    error = %chain(&error),
                    "nobody is let in"
                );
                Err(refuse(Failure::PasswordsMissing))
            }
        }
    }
}
