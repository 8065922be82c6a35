//! Files over pingora's door: from a route to a place, from an answer to what is sent.

use std::path::Path;

use bytes::Bytes;
use http::{Method, StatusCode};
use pingora::http::ResponseHeader;
use pingora::prelude::{Error, ErrorType, Result};
use pingora::proxy::Session;
use tracing::{debug, warn};

use super::ctx::Ctx;
use super::failure::Failure;
use super::local::Answer;
use super::{Gateway, decorate, now};
use crate::cause::chain;
use crate::files::{
    CONTENT_SECURITY_POLICY, Conditions, Content, FileError, Found, Kind, Place, Reply, RootError,
    Set, Wanted,
};
use crate::folder::Folder;
use crate::plan::{FileRoot, Listing, NonGetRedirect, Route, Target};

/// Handed on at once. On HTTP/2 the deadline of a write is for one of these, and a client on a bad
/// line has to manage it.
const WRITE: usize = 32 * 1024;

impl Gateway {
    pub(super) async fn serve_file(
        &self,
        session: &mut Session,
        ctx: &mut Ctx,
        route: &Route,
    ) -> Result<bool> {
        let request = session.req_header();
        if request.method != Method::GET && request.method != Method::HEAD {
            return self.fail(session, ctx, Failure::MethodNotAllowed).await;
        }
        let (Some(served), Some(instance)) = (&ctx.served, &ctx.instance) else {
            return self.fail(session, ctx, Failure::Internal).await;
        };
        let place = match self.place_of_file(route, instance.name().as_str(), &served.path) {
            Ok(Some(place)) => place,
            Ok(None) => return self.fail(session, ctx, Failure::StaticMissing).await,
            Err(error) => {
                debug!(instance = %instance.name(), error = %chain(&error), "static files");
                return self.fail(session, ctx, Failure::StaticMissing).await;
            }
        };
        let wanted = Wanted {
            instance: instance.name().as_str(),
            place,
            conditions: Conditions::parse(&request.method, &request.headers),
            cache_control: route.cache_control.as_deref(),
        };
        match self.files.find(wanted, now()).await {
            Ok(Found::File(reply, content)) => {
                self.send_file(session, ctx, &reply, content).await?;
                Ok(true)
            }
            Ok(Found::FolderWithoutSlash) => {
                let query = request.uri.query();
                let query = query.map_or_else(String::new, |query| format!("?{query}"));
                // With two slashes in front it would be the name of another host.
                let path = request.uri.path().trim_start_matches('/');
                let answer = Answer::redirect(
                    &Method::GET,
                    NonGetRedirect::default(),
                    format!("/{path}/{query}"),
                );
                self.answer(session, ctx, answer).await
            }
            Ok(Found::Listing(listing)) => {
                let mut fields = vec![
                    ("content-type", "text/html; charset=utf-8".to_owned()),
                    (
                        "content-security-policy",
                        CONTENT_SECURITY_POLICY.to_owned(),
                    ),
                    ("x-content-type-options", "nosniff".to_owned()),
                ];
                let cache_control = route.cache_control.clone();
                fields.push((
                    "cache-control",
                    cache_control.unwrap_or_else(|| "no-cache".to_owned()),
                ));
                let answer = Answer {
                    status: StatusCode::OK,
                    fields,
                    body: listing.page(&served.path).into(),
                    reason: None,
                };
                self.answer(session, ctx, answer).await
            }
            Err(error) => {
                let failure = failure(&error);
                // What hangs says so once for each call that does; what comes after is no news.
                match failure {
                    Failure::NotFound => {}
                    _ if matches!(&error, FileError::Access(error) if error.is_known()) => {
                        debug!(instance = %instance.name(), error = %chain(&error), "static files");
                    }
                    _ => {
                        warn!(
                            instance = %instance.name(),
                            error = %chain(&error),
                            prefix = %route.prefix,
                            "static files"
                        );
                    }
                }
                self.fail(session, ctx, failure).await
            }
        }
    }

    async fn send_file(
        &self,
        session: &mut Session,
        ctx: &mut Ctx,
        reply: &Reply,
        content: Content,
    ) -> Result<()> {
        let mut head = ResponseHeader::build(reply.status, Some(reply.fields.len() + 2))?;
        for (name, value) in &reply.fields {
            head.insert_header(*name, value.as_str())?;
        }
        decorate(&mut head, ctx)?;
        ctx.answered = Some(reply.status);
        let ends = matches!(content, Content::Nothing);
        session.write_response_header(Box::new(head), ends).await?;
        let (file, first, slice) = match content {
            Content::Nothing => return Ok(()),
            Content::Memory(bytes) => return write(session, ctx, bytes, true).await,
            Content::Disk { file, first, slice } => (file, first, slice),
        };
        let Some(instance) = ctx.instance.clone() else {
            return Err(Error::new_in(ErrorType::InternalError));
        };
        let end = slice.offset + slice.length;
        let mut offset = slice.offset + first.len() as u64;
        write(session, ctx, first, offset >= end).await?;
        while offset < end {
            let name = instance.name().as_str();
            let part = self.files.read(name, &file, offset, end - offset).await;
            // The length was promised, so nothing but the end of the connection is left to say.
            let part = part.map_err(|error| {
                warn!(instance = name, error = %chain(&error), "a static file is cut short");
                Error::new_in(ErrorType::FileReadError)
            })?;
            offset += part.len() as u64;
            write(session, ctx, part, offset >= end).await?;
        }
        Ok(())
    }
}

/// Hands on bytes as they are, in slices of themselves.
async fn write(session: &mut Session, ctx: &mut Ctx, mut bytes: Bytes, last: bool) -> Result<()> {
    while !bytes.is_empty() {
        let part = bytes.split_to(bytes.len().min(WRITE));
        ctx.body_out += part.len() as u64;
        let ends = last && bytes.is_empty();
        session.write_response_body(Some(part), ends).await?;
    }
    Ok(())
}

impl Gateway {
    /// Where the file of a request is; `None` where the route's folder is not known to be anywhere.
    fn place_of_file(
        &self,
        route: &Route,
        instance: &str,
        path: &str,
    ) -> Result<Option<Place>, RootError> {
        let (Target::File(source) | Target::Files(source, _)) = &route.target else {
            return Ok(None);
        };
        let (root, within) = match source {
            FileRoot::At { root, path } => (root.clone(), path.clone()),
            FileRoot::InSet { root, set, path } => {
                let set = Set {
                    instance: instance.to_owned(),
                    root: root.clone(),
                    folder: set.clone(),
                };
                let (root, folder) = self.editions.place(&set)?;
                (root, folder.join(path))
            }
            FileRoot::Missing(_) => return Ok(None),
        };
        Ok(place(route, &root, &within, path))
    }
}

fn place(route: &Route, root: &Folder, within: &Path, path: &str) -> Option<Place> {
    match &route.target {
        Target::File(_) => Some(Place::of_file(root, within)),
        Target::Files(_, listing) => {
            let rest = path.get(route.prefix.len()..).unwrap_or_default();
            let kind = match listing {
                _ if !path.ends_with('/') => Kind::File,
                Listing::Hidden => Kind::Folder,
                Listing::Shown => Kind::ListedFolder,
            };
            Some(Place::in_folder(root, within, rest, kind))
        }
        Target::Nothing | Target::Service(_) | Target::StubStatus => None,
    }
}

fn failure(error: &FileError) -> Failure {
    match error {
        FileError::Access(_) => Failure::StaticHangs,
        FileError::Root(RootError::NotFound) => Failure::NotFound,
        FileError::Root(RootError::RootMissing { .. } | RootError::Io(_)) => Failure::StaticMissing,
    }
}
