//! What can be asked for, and nothing else: one table of paths over one read model.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::PoisonError;

use http::header::ALLOW;
use http::{HeaderValue, Method, Request, StatusCode};

use super::answer::{Answer, answer, json, not_found, page, refused, stream, stream_with, text};
use super::feed::decisions_in;
use super::history::Shown;
use super::page::output::is_name;
use super::page::{POLICY, Pieces, instance_document, overview_document};
use super::scope::Scope;
use super::tail::Choice;
use super::view::{View, readiness};
use super::views::{Rendered, Topic};
use super::{errors, metrics, sessions};
use crate::control::Status;
use crate::control::status::InstanceStatus;

/// Answers what may be seen.
pub(super) async fn look<B: Sync>(request: &Request<B>, view: &View, scope: &Scope) -> Answer {
    if *request.method() != Method::GET && *request.method() != Method::HEAD {
        let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        // RFC 9110 §15.5.6.
        let allowed = HeaderValue::from_static("GET, HEAD");
        answer.headers_mut().insert(ALLOW, allowed);
        return answer;
    }
    let path = request.uri().path();
    let Some(query) = Query::parse(path, request.uri().query()) else {
        return text(StatusCode::BAD_REQUEST, "unknown query\n");
    };
    let report = || scope.report(&view.reports.borrow());
    match path {
        "/" => status_page(view, scope, query.is("show", "all")),
        "/decisions" => {
            let status = Arc::clone(&view.status.borrow());
            let decisions = decisions_in(&status, scope);
            json(&decisions.iter().map(|taken| &***taken).collect::<Vec<_>>())
        }
        "/events" => events(view, scope, &query),
        "/livez" => text(StatusCode::OK, "alive\n"),
        "/metrics" => {
            let panics = view.panics.load(std::sync::atomic::Ordering::Relaxed);
            let status = scope.status(&view.status.borrow());
            let orders = view.orders.counts();
            let body = match scope {
                Scope::All => metrics::text(&status, &report(), orders, panics),
                Scope::Instance(_) => metrics::text_of_instances(&status, &report()),
            };
            answer(StatusCode::OK, "text/plain; version=0.0.4", body)
        }
        "/nginx_status" => text(StatusCode::OK, metrics::stub_status(&report())),
        "/readyz" => match readiness(&view.status, &view.reports, &view.shutdown) {
            Ok(()) => text(StatusCode::OK, "ready\n"),
            Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, why),
        },
        "/stats" => json(&*scope.status(&view.status.borrow())),
        path => {
            if let Some(name) = path.strip_prefix("/instance/") {
                return instance_page(view, scope, name, query.replica()).await;
            }
            let Some(rest) = path.strip_prefix("/stats/") else {
                return not_found();
            };
            let (name, about) = rest.split_once('/').unwrap_or((rest, ""));
            of(name, view, scope, |instance| match about {
                "" => json(instance),
                "errors" => json(&errors::list(&view.feed.sources.failures.of(name))),
                "history" => {
                    let history = view.feed.sources.history.lock();
                    // Whole samples only: good after every operation.
                    let history = history.unwrap_or_else(PoisonError::into_inner);
                    json(&Shown::new(history.of(name), view.feed.views().of.at))
                }
                "sessions" => json(&sessions::Listing::new(view.feed.sources.sessions.of(name))),
                _ => not_found(),
            })
        }
    }
}

/// Something about one instance. Whoever may see one only is not told which others there are.
fn of(
    name: &str,
    view: &View,
    scope: &Scope,
    tell: impl FnOnce(&InstanceStatus) -> Answer,
) -> Answer {
    let status = Arc::clone(&view.status.borrow());
    match find(name, &status, scope) {
        Ok(instance) => tell(instance),
        Err(why) => why.answer(),
    }
}

fn find<'s>(name: &str, status: &'s Status, scope: &Scope) -> Result<&'s InstanceStatus, Unseen> {
    if !scope.includes(name) {
        return Err(Unseen::Foreign);
    }
    let found = status.instances.iter().find(|known| known.name == name);
    found.map(Arc::as_ref).ok_or(Unseen::Nowhere)
}

/// Why an instance is not shown.
#[derive(Clone, Copy, Debug)]
enum Unseen {
    /// Whether or not there is one.
    Foreign,
    Nowhere,
}

impl Unseen {
    fn answer(self) -> Answer {
        match self {
            Self::Foreign => refused(StatusCode::FORBIDDEN),
            Self::Nowhere => text(StatusCode::NOT_FOUND, "no such instance\n"),
        }
    }
}

/// Whose output the page of an instance shows.
fn choice(name: &str, replica: Option<&str>, view: &View, scope: &Scope) -> Result<Choice, Unseen> {
    let status = Arc::clone(&view.status.borrow());
    let stack = find(name, &status, scope)?.stack.parse();
    // What has a status has a stack with a name.
    let stack = stack.map_err(|_| Unseen::Nowhere)?;
    Ok(Choice {
        stack,
        replica: replica.map(ToOwned::to_owned),
    })
}

fn status_page(view: &View, scope: &Scope, all: bool) -> Answer {
    let topic = Topic::Overview {
        scope: scope.clone(),
        all,
    };
    document(view, &topic, |pieces, status| {
        overview_document(pieces, status, all)
    })
}

async fn instance_page(view: &View, scope: &Scope, name: &str, replica: Option<&str>) -> Answer {
    let choice = match choice(name, replica, view, scope) {
        Ok(choice) => choice,
        Err(why) => return why.answer(),
    };
    let tail = view.tails.now(&choice).await;
    document(view, &Topic::Instance(name.into()), |pieces, status| {
        instance_document(pieces, status, name, replica, &tail)
    })
}

fn document(view: &View, topic: &Topic, write: impl FnOnce(&Pieces, &Status) -> String) -> Answer {
    let views = view.feed.views();
    match &*views.view(topic, &view.feed.sources) {
        Rendered::Page(pieces) => {
            let body = write(pieces, &views.of.status);
            page(StatusCode::OK, &POLICY, body)
        }
        // A page is no table of statistics.
        Rendered::Stats { .. } => not_found(),
    }
}

fn events(view: &View, scope: &Scope, query: &Query<'_>) -> Answer {
    let field = |name| query.fields.get(name).copied();
    let mut output = None;
    let topic = match (field("view"), field("instance"), query.replica()) {
        (None, None, None) => Topic::Stats(scope.clone()),
        (Some(shown @ ("output" | "page")), Some(name), replica) => {
            if shown == "page" && replica.is_some() {
                return text(StatusCode::BAD_REQUEST, "unknown query\n");
            }
            match choice(name, replica, view, scope) {
                Ok(choice) => output = (shown == "output").then_some(choice),
                Err(why) => return why.answer(),
            }
            Topic::Instance(name.into())
        }
        (Some("page" | "all"), None, None) => Topic::Overview {
            scope: scope.clone(),
            all: query.is("view", "all"),
        },
        _ => return text(StatusCode::BAD_REQUEST, "unknown query\n"),
    };
    let Some(records) = view.feed.watch(&topic) else {
        return text(StatusCode::SERVICE_UNAVAILABLE, "too many watch already\n");
    };
    match output {
        Some(choice) => stream_with(records, view.tails.follow(choice)),
        None => stream(records),
    }
}

/// What stands behind the `?`, as far as the path knows it.
struct Query<'r> {
    fields: BTreeMap<&'r str, &'r str>,
}

impl<'r> Query<'r> {
    /// `None`: a field that the path does not know, or twice the same.
    fn parse(path: &str, query: Option<&'r str>) -> Option<Self> {
        let known: &[&str] = match path {
            "/" => &["show"],
            "/events" => &["instance", "replica", "view"],
            path if path.starts_with("/instance/") => &["replica"],
            _ => &[],
        };
        let mut fields = BTreeMap::new();
        for field in query.into_iter().flat_map(|query| query.split('&')) {
            let (name, value) = field.split_once('=')?;
            if !known.contains(&name) || fields.insert(name, value).is_some() {
                return None;
            }
        }
        let unknown = fields.get("show").is_some_and(|show| *show != "all");
        let nobody = fields
            .get("replica")
            .is_some_and(|replica| !is_name(replica));
        (!unknown && !nobody).then_some(Self { fields })
    }

    fn replica(&self) -> Option<&'r str> {
        self.fields.get("replica").copied()
    }

    fn is(&self, name: &str, value: &str) -> bool {
        self.fields.get(name) == Some(&value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_that_nobody_knows_is_refused() {
        let good = |path, query| Query::parse(path, query).is_some();
        assert!(good("/", None) && good("/", Some("show=all")));
        assert!(good("/events", Some("view=page&instance=congress")));
        assert!(good("/instance/congress", Some("replica=congress_web_1")));
        for (path, query) in [
            ("/", "show=none"),
            ("/", "show"),
            ("/", ""),
            ("/", "view=page"),
            ("/stats", "show=all"),
            ("/metrics", "name[]=x"),
            ("/events", "view=page&view=all"),
            ("/instance/congress", "replica="),
            ("/instance/congress", "replica=a%20b"),
            ("/instance/congress", "view=output"),
        ] {
            assert!(!good(path, Some(query)), "{path}?{query}");
        }
    }
}
