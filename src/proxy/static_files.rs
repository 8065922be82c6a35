//! Files over pingora's door: opened and read off the serving threads, sent in parts.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use pingora::http::ResponseHeader;
use pingora::prelude::Result;
use pingora::proxy::Session;
use tokio::task::spawn_blocking;
use tracing::warn;

use super::ctx::Ctx;
use super::failure::Failure;
use super::local::Answer;
use super::{Gateway, decorate};
use crate::cause::chain;
use crate::files::{self, Conditions, Found, OpenFile, RootError, Slice};
use crate::plan::{FileRoot, Route, Target};

/// Read and sent at once. Small files take one trip off the serving thread.
const PART: u64 = 256 * 1024;

impl Gateway {
    pub(super) async fn serve_file(
        &self,
        session: &mut Session,
        ctx: &mut Ctx,
        route: &Route,
        root: &FileRoot,
    ) -> Result<bool> {
        let method = &session.req_header().method;
        if *method != Method::GET && *method != Method::HEAD {
            return self.fail(session, ctx, Failure::MethodNotAllowed).await;
        }
        let FileRoot::At { root, path: within } = root else {
            return self.fail(session, ctx, Failure::StaticMissing).await;
        };
        let asked = ctx
            .served
            .as_ref()
            .map_or("/", |served| served.path.as_str())
            .to_owned();
        let place = Place::new(route, root, within, &asked);
        let name = place.name();
        let opened = spawn_blocking(move || place.open()).await;
        let (file, first) = match opened {
            Ok(Ok(Opened::File(file, first))) => (file, first),
            Ok(Ok(Opened::FolderWithoutSlash)) => {
                let query = session.req_header().uri.query();
                let query = query.map_or_else(String::new, |query| format!("?{query}"));
                let location = format!("{}/{query}", session.req_header().uri.path());
                let answer = Answer::redirect(&Method::GET, location);
                return self.answer(session, ctx, answer).await;
            }
            Ok(Err(RootError::NotFound)) => {
                return self.fail(session, ctx, Failure::NotFound).await;
            }
            Ok(Err(error @ (RootError::RootMissing { .. } | RootError::Io(_)))) => {
                warn!(error = %chain(&error), prefix = %route.prefix, "static files");
                return self.fail(session, ctx, Failure::StaticMissing).await;
            }
            Err(_) => return self.fail(session, ctx, Failure::Internal).await,
        };
        let request = session.req_header();
        let conditions = Conditions {
            method: &request.method,
            fields: &request.headers,
        };
        let reply = files::reply(conditions, &file, &name, route.cache_control.as_deref());
        let mut head = ResponseHeader::build(reply.status, Some(reply.fields.len() + 2))?;
        for (name, value) in &reply.fields {
            head.insert_header(*name, value.as_str())?;
        }
        decorate(&mut head, ctx)?;
        ctx.answered = Some(reply.status);
        let ends = reply.body.is_none();
        session.write_response_header(Box::new(head), ends).await?;
        if let Some(slice) = reply.body {
            self.send(session, ctx, file, slice, first).await?;
        }
        Ok(true)
    }

    /// Sends a part of a file. A file that shrinks meanwhile ends the connection: its length was
    /// promised.
    async fn send(
        &self,
        session: &mut Session,
        ctx: &mut Ctx,
        file: OpenFile,
        slice: Slice,
        first: Bytes,
    ) -> Result<()> {
        let file = Arc::new(file);
        let end = slice.offset + slice.length;
        let mut offset = slice.offset;
        let mut ready = take_first(&first, slice);
        while offset < end {
            let part = match ready.take() {
                Some(part) => part,
                None => {
                    let file = Arc::clone(&file);
                    let length = usize::try_from((end - offset).min(PART)).unwrap_or(0);
                    match spawn_blocking(move || files::read(&file, offset, length)).await {
                        Ok(Ok(part)) => part,
                        Ok(Err(error)) => {
                            warn!(%error, "a static file became shorter while it was sent");
                            return pingora::prelude::Error::err(
                                pingora::prelude::ErrorType::FileReadError,
                            );
                        }
                        Err(_) => {
                            return pingora::prelude::Error::err(
                                pingora::prelude::ErrorType::InternalError,
                            );
                        }
                    }
                }
            };
            offset += part.len() as u64;
            ctx.body_out += part.len() as u64;
            session
                .write_response_body(Some(part), offset >= end)
                .await?;
        }
        Ok(())
    }
}

/// What of the first part, read ahead from the beginning of the file, belongs to the slice.
fn take_first(first: &Bytes, slice: Slice) -> Option<Bytes> {
    let begin = usize::try_from(slice.offset).ok()?;
    let end = usize::try_from(slice.offset + slice.length)
        .ok()?
        .min(first.len());
    (begin < end).then(|| first.slice(begin..end))
}

/// Where the file of a request is.
struct Place {
    root: PathBuf,
    within: PathBuf,
    below: PathBuf,
    /// The path ends in a slash: only a folder's index can be meant.
    folder: bool,
}

enum Opened {
    /// With its first part.
    File(OpenFile, Bytes),
    FolderWithoutSlash,
}

impl Place {
    fn new(route: &Route, root: &Path, within: &Path, asked: &str) -> Self {
        let (within, below, folder) = match &route.target {
            // One file for every path: its folder is the root, so that the file may be replaced.
            Target::File(_) => {
                let folder = within.parent().unwrap_or_else(|| Path::new(""));
                let name = within.file_name().map_or_else(PathBuf::new, PathBuf::from);
                (folder.to_owned(), name, false)
            }
            _ => {
                let rest = asked.get(route.prefix.len()..).unwrap_or_default();
                let rest = rest.trim_start_matches('/');
                let folder = asked.ends_with('/');
                (
                    within.to_owned(),
                    PathBuf::from(rest.trim_end_matches('/')),
                    folder,
                )
            }
        };
        Self {
            root: root.to_owned(),
            within,
            below,
            folder,
        }
    }

    /// What the content type is guessed from.
    fn name(&self) -> String {
        if self.folder {
            return "index.html".to_owned();
        }
        self.below.to_string_lossy().into_owned()
    }

    fn open(&self) -> Result<Opened, RootError> {
        let below = if self.folder {
            self.below.join("index.html")
        } else {
            self.below.clone()
        };
        match files::open(&self.root, &self.within, &below)? {
            Found::Directory if self.folder => Err(RootError::NotFound),
            Found::Directory => Ok(Opened::FolderWithoutSlash),
            Found::File(file) => {
                let length = usize::try_from(file.length.min(PART)).unwrap_or(0);
                let first = files::read(&file, 0, length).map_err(RootError::Io)?;
                Ok(Opened::File(file, first))
            }
        }
    }
}
