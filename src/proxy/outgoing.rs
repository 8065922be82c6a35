//! An ordinary request as its replica is to see it.

use std::mem;

use http::header::{CONNECTION, EXPECT, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use pingora::http::RequestHeader;
use pingora::prelude::{Error, ErrorType, Result};

use super::decide::Served;
use super::headers::{join_cookies, set_identity};
use super::trace::Trace;
use crate::listener::Connection;

/// Puts into a request what usher saw of its client, and takes out what was for usher.
pub(super) fn to_replica(
    request: &mut RequestHeader,
    served: &Served,
    connection: &Connection,
    trace: &Trace,
) -> Result<()> {
    // Taken apart, so that fields are set in one map: pingora's own methods keep a second one for
    // the spelling of their names.
    let nothing = http::Request::new(()).into_parts().0;
    let mut parts: Parts = mem::replace(request, nothing.into()).into();
    // An origin is asked in origin form, whatever form usher was asked in (RFC 9112 §3.2.1).
    let target = parts.uri.path_and_query().cloned();
    let target = target.unwrap_or_else(|| PathAndQuery::from_static("/"));
    join_cookies(&mut parts.headers);
    set_identity(
        &mut parts.headers,
        &served.origin(connection, target.as_str()),
    )
    .map_err(|error| Error::because(ErrorType::InvalidHTTPHeader, "identity", error))?;
    trace.set(&mut parts.headers);
    if let Some(passage) = served.passage {
        passage.set(&mut parts.headers);
    }
    parts.headers.remove(EXPECT);
    let upstream = &served.route.upstream;
    if !upstream.keep_alive || upstream.tls.is_some() {
        // RFC 9112 §9.6. The replica ends the connection, and pingora does not keep it.
        let close = HeaderValue::from_static("close");
        parts.headers.insert(CONNECTION, close);
    }
    let rewritten = served.route.rewritten(target.as_str(), &served.path);
    parts.uri = match rewritten.map(PathAndQuery::try_from) {
        Some(Ok(rewritten)) => rewritten.into(),
        Some(Err(error)) => {
            return Err(Error::because(ErrorType::InternalError, "rewriting", error));
        }
        None => target.into(),
    };
    *request = parts.into();
    Ok(())
}
