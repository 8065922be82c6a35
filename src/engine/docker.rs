//! What is asked of a Docker engine, over the roads of `dial`.
//!
//! bollard's typed models drop fields they do not know. Where JSON has to survive a round trip (a
//! container that is cloned, a service of a Swarm) a small client of our own speaks to the same endpoint.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use bollard::Docker;
use bollard::container::LogOutput;
use bollard::models::{
    ContainerInspectResponse, ContainerSummary, EndpointSettings, ImageInspect, Network,
    NetworkConnectRequest, NetworkDisconnectRequest,
};
use bollard::query_parameters::{
    EventsOptionsBuilder, ListContainersOptionsBuilder, ListNetworksOptions,
    ListVolumesOptionsBuilder, LogsOptionsBuilder, RemoveContainerOptionsBuilder,
    StopContainerOptionsBuilder,
};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::clone::{Attach, PROJECT};
use super::dial::{DialError as RawError, Road};
use super::heard::Heard;
use super::listed_volumes::ListedVolumes;
use super::session::{self, Asked};
use super::{EngineError, Line, Span, Stream};

/// For everything but a stop, which takes as long as the container's grace.
const CALL_WITHIN: Duration = Duration::from_secs(60);
/// No answer of the engine that we read whole is larger.
const LARGEST_ANSWER: usize = 16 << 20;
/// Before the id of one that is no container but a task of a Swarm.
pub(super) const TASK: &str = "task/";

/// A Docker engine that may come and go.
#[derive(Debug)]
pub(super) struct Engine {
    /// Tried in order until one answers.
    endpoints: Vec<String>,
    /// Of `ca.pem`, `cert.pem` and `key.pem`, for those over TCP.
    certificates: Option<PathBuf>,
    connected: ArcSwapOption<Connected>,
    pub(super) heard: Arc<Heard>,
}

/// What to do about a container that runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Remove {
    /// Leave it alone.
    Resting,
    /// Kill it.
    Whatever,
}

#[derive(Debug)]
struct Connected {
    endpoint: String,
    road: Road,
    api: Docker,
    /// Which engine it is, once somebody has asked.
    id: OnceCell<String>,
}

impl Engine {
    pub(super) fn new(endpoints: Vec<String>) -> Self {
        Self {
            endpoints,
            certificates: None,
            connected: ArcSwapOption::empty(),
            heard: Arc::default(),
        }
    }

    pub(super) fn prove_with(&mut self, certificates: Option<PathBuf>) {
        self.certificates = certificates;
    }

    /// Finds the engine anew and agrees on a version of its API.
    pub(super) async fn connect(&self) -> Result<(), EngineError> {
        let mut last = None;
        for endpoint in &self.endpoints {
            match connect_to(endpoint, self.certificates.as_deref()).await {
                Ok((road, api)) => {
                    // What happened while nobody listened is in the next listing.
                    self.heard.forget();
                    self.connected.store(Some(Arc::new(Connected {
                        endpoint: endpoint.clone(),
                        road,
                        api,
                        id: OnceCell::new(),
                    })));
                    return Ok(());
                }
                Err(error) => last = Some(error),
            }
        }
        self.connected.store(None);
        Err(last.unwrap_or_else(|| self.unreachable("no endpoint is configured")))
    }

    fn unreachable(&self, why: &str) -> EngineError {
        EngineError::Unreachable {
            endpoint: self.endpoints.join(" or "),
            source: why.into(),
        }
    }

    fn connected(&self) -> Result<Arc<Connected>, EngineError> {
        self.connected
            .load_full()
            .ok_or_else(|| self.unreachable("not connected"))
    }

    /// Events of containers, networks, volumes and of a Swarm, each a hint. What tells that a container is about to
    /// stop is remembered, because no listing shows it.
    pub(super) fn events(&self) -> Result<BoxStream<'static, ()>, EngineError> {
        let kinds = ["container", "network", "node", "service", "volume"];
        let kinds = HashMap::from([("type", kinds.to_vec())]);
        let options = EventsOptionsBuilder::default().filters(&kinds).build();
        let heard = Arc::clone(&self.heard);
        let events = self.connected()?.api.events(Some(options));
        let hints = events
            .take_while(|event| std::future::ready(event.is_ok()))
            .filter_map(move |event| {
                let hint = event.is_ok_and(|event| heard.note(&event));
                std::future::ready(hint.then_some(()))
            });
        Ok(hints.boxed())
    }

    /// What tells this engine from every other. It is asked once for each connection, as the answer
    /// takes it a look at everything it has; behind the next connection there may be another engine.
    pub(super) async fn id(&self) -> Result<String, EngineError> {
        let connected = self.connected()?;
        let asked = async || {
            let info = self.raw_get("/info").await?;
            let id = info["ID"].as_str().map(ToOwned::to_owned);
            id.ok_or_else(|| EngineError::Refused {
                what: "say which it is".to_owned(),
                why: "the answer has no `ID`".to_owned(),
                status: None,
            })
        };
        connected.id.get_or_try_init(asked).await.cloned()
    }

    /// Asks for a name that one client holds at a time.
    pub(super) async fn ask_for(&self, name: &str) -> Result<Asked, EngineError> {
        let connected = self.connected()?;
        let path = format!("{}/session", connected.version());
        match timeout(CALL_WITHIN, session::ask(&connected.road, &path, name)).await {
            Ok(Ok(asked)) => Ok(asked),
            Ok(Err(source)) => Err(EngineError::Unreachable {
                endpoint: connected.endpoint.clone(),
                source,
            }),
            Err(_) => Err(EngineError::Refused {
                what: "open a session".to_owned(),
                why: format!("no answer within {} s", CALL_WITHIN.as_secs()),
                status: None,
            }),
        }
    }

    /// When this engine can attach a container to its networks.
    pub(super) fn attach(&self) -> Result<Attach, EngineError> {
        Ok(if self.version()? >= (1, 44) {
            Attach::AtCreation
        } else {
            Attach::OneByOne
        })
    }

    /// Of its API, the one that is spoken.
    pub(super) fn version(&self) -> Result<(usize, usize), EngineError> {
        let version = self.connected()?.api.client_version();
        Ok((version.major_version, version.minor_version))
    }

    /// Those of Compose projects that fit all of these, by key and value.
    pub(super) async fn containers(
        &self,
        filters: &[(String, String)],
    ) -> Result<Vec<ContainerSummary>, EngineError> {
        self.containers_with(&by_key(filters, Some(("label", PROJECT))))
            .await
    }

    /// Those of nobody too.
    pub(super) async fn all_containers(
        &self,
        filters: &[(String, String)],
    ) -> Result<Vec<ContainerSummary>, EngineError> {
        self.containers_with(&by_key(filters, None)).await
    }

    async fn containers_with(
        &self,
        filters: &HashMap<&str, Vec<&str>>,
    ) -> Result<Vec<ContainerSummary>, EngineError> {
        let options = ListContainersOptionsBuilder::default()
            .all(true)
            .filters(filters)
            .build();
        let connected = self.connected()?;
        let listed = connected.api.list_containers(Some(options)).await;
        listed.map_err(|error| connected.failed("list its containers", error))
    }

    /// `None` when the container has gone meanwhile.
    pub(super) async fn inspect(
        &self,
        container: &str,
    ) -> Result<Option<ContainerInspectResponse>, EngineError> {
        let connected = self.connected()?;
        match connected.api.inspect_container(container, None).await {
            Ok(inspected) => Ok(Some(inspected)),
            Err(error) if status_of(&error) == Some(404) => Ok(None),
            Err(error) => Err(connected.failed("inspect a container", error)),
        }
    }

    /// `None` when there is no such image any more.
    pub(super) async fn image(&self, image: &str) -> Result<Option<ImageInspect>, EngineError> {
        let connected = self.connected()?;
        match connected.api.inspect_image(image).await {
            Ok(inspected) => Ok(Some(inspected)),
            Err(error) if status_of(&error) == Some(404) => Ok(None),
            Err(error) => Err(connected.failed("inspect an image", error)),
        }
    }

    pub(super) async fn networks(&self) -> Result<Vec<Network>, EngineError> {
        let connected = self.connected()?;
        let listed = connected
            .api
            .list_networks(None::<ListNetworksOptions>)
            .await;
        listed.map_err(|error| connected.failed("list its networks", error))
    }

    /// Those of all drivers, or of one. The engine asks each driver in turn, and waits for one that does
    /// not answer for a minute.
    pub(super) fn volumes(
        &self,
        driver: Option<&str>,
    ) -> Result<BoxFuture<'static, Result<ListedVolumes, EngineError>>, EngineError> {
        let connected = self.connected()?;
        let filters = driver.map(|driver| HashMap::from([("driver", vec![driver])]));
        let options =
            filters.map(|filters| ListVolumesOptionsBuilder::new().filters(&filters).build());
        Ok(Box::pin(async move {
            let listed = connected.api.list_volumes(options).await;
            let listed = listed.map_err(|error| connected.failed("list its volumes", error))?;
            Ok(ListedVolumes {
                volumes: listed.volumes.unwrap_or_default(),
                is_whole: listed.warnings.is_none_or(|warnings| warnings.is_empty()),
            })
        }))
    }

    pub(super) async fn start(&self, container: &str) -> Result<(), EngineError> {
        let connected = self.connected()?;
        let started = connected.api.start_container(container, None).await;
        match started {
            Ok(()) => Ok(()),
            // It runs already.
            Err(error) if status_of(&error) == Some(304) => Ok(()),
            Err(error) => Err(connected.failed("start a container", error)),
        }
    }

    /// A container that has gone or stopped already is as good.
    pub(super) async fn stop(&self, container: &str, grace: Duration) -> Result<(), EngineError> {
        let connected = self.connected()?;
        let seconds = i32::try_from(grace.as_secs()).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::default().t(seconds).build();
        let api = connected.api.clone().with_timeout(grace + CALL_WITHIN);
        match api.stop_container(container, Some(options)).await {
            Ok(()) => Ok(()),
            Err(error) if matches!(status_of(&error), Some(304 | 404)) => Ok(()),
            Err(error) => Err(connected.failed("stop a container", error)),
        }
    }

    /// With its anonymous volumes. Gone already is as good.
    pub(super) async fn remove(&self, container: &str, mode: Remove) -> Result<(), EngineError> {
        let connected = self.connected()?;
        let options = RemoveContainerOptionsBuilder::default()
            .v(true)
            .force(mode == Remove::Whatever)
            .build();
        match connected
            .api
            .remove_container(container, Some(options))
            .await
        {
            Ok(()) => Ok(()),
            // 409: the engine is removing it at this moment, or it runs and was to be left alone.
            Err(error) if matches!(status_of(&error), Some(404 | 409)) => Ok(()),
            Err(error) => Err(connected.failed("remove a container", error)),
        }
    }

    /// What a container printed, or a task, whose id is behind [`TASK`]. Ends early where the engine cannot go on.
    pub(super) fn output(
        &self,
        container: &str,
        span: Span,
    ) -> Result<BoxStream<'static, Line>, EngineError> {
        let since = span
            .since
            .and_then(|since| since.duration_since(SystemTime::UNIX_EPOCH).ok())
            .and_then(|since| i32::try_from(since.as_secs()).ok());
        let last = span
            .last
            .map_or_else(|| "all".to_owned(), |last| last.to_string());
        let options = LogsOptionsBuilder::default()
            .stdout(true)
            .stderr(true)
            .timestamps(true)
            .since(since.unwrap_or(0))
            .follow(span.follow)
            .tail(&last)
            .build();
        let api = self.connected()?.api.clone();
        let output = match container.strip_prefix(TASK) {
            Some(task) => api.task_logs(task, Some(options)).boxed(),
            None => api.logs(container, Some(options)).boxed(),
        };
        let lines = output
            .map(|piece| match piece {
                Ok(piece) => line(&piece),
                // Some log drivers cannot be read; the engine says which.
                Err(error) => Line {
                    at: SystemTime::UNIX_EPOCH,
                    stream: Stream::Stderr,
                    text: format!("usher: no more output can be had: {error}"),
                },
            })
            // The engine knows whole seconds only.
            .filter(move |line| {
                let told = line.at == SystemTime::UNIX_EPOCH;
                let wanted = told || span.since.is_none_or(|since| line.at >= since);
                std::future::ready(wanted)
            });
        Ok(lines.boxed())
    }

    pub(super) async fn join(
        &self,
        network: &str,
        container: &str,
        settings: EndpointSettings,
    ) -> Result<(), EngineError> {
        let connected = self.connected()?;
        let request = NetworkConnectRequest {
            container: container.to_owned(),
            endpoint_config: Some(settings),
        };
        let joined = connected.api.connect_network(network, request).await;
        joined.map_err(|error| connected.failed("attach usher to a network", error))
    }

    pub(super) async fn leave(&self, network: &str, container: &str) -> Result<(), EngineError> {
        let connected = self.connected()?;
        let request = NetworkDisconnectRequest {
            container: container.to_owned(),
            force: None,
        };
        match connected.api.disconnect_network(network, request).await {
            Ok(()) => Ok(()),
            Err(error) if status_of(&error) == Some(404) => Ok(()),
            Err(error) => Err(connected.failed("detach usher from a network", error)),
        }
    }

    /// A GET whose JSON is kept as it is.
    pub(super) async fn raw_get(&self, path: &str) -> Result<Value, EngineError> {
        self.raw(Method::GET, path, None).await
    }

    /// A POST of JSON as it is.
    pub(super) async fn raw_post(&self, path: &str, body: &Value) -> Result<Value, EngineError> {
        self.raw(Method::POST, path, Some(body)).await
    }

    async fn raw(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, EngineError> {
        let connected = self.connected()?;
        let what = format!("{method} {path}");
        let call = connected.raw(method, path, body);
        let (status, answer) = match timeout(CALL_WITHIN, call).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(source)) => {
                return Err(EngineError::Unreachable {
                    endpoint: connected.endpoint.clone(),
                    source,
                });
            }
            Err(_) => {
                return Err(EngineError::Refused {
                    what,
                    why: format!("no answer within {} s", CALL_WITHIN.as_secs()),
                    status: None,
                });
            }
        };
        if status.is_success() {
            return Ok(answer);
        }
        let why = answer["message"].as_str().unwrap_or("no reason given");
        Err(EngineError::Refused {
            what,
            why: format!("{why} ({status})"),
            status: Some(status.as_u16()),
        })
    }
}

impl Connected {
    fn failed(&self, what: &str, error: bollard::errors::Error) -> EngineError {
        match error {
            bollard::errors::Error::DockerResponseServerError {
                status_code,
                message,
            } => EngineError::Refused {
                what: what.to_owned(),
                why: format!("{message} ({status_code})"),
                status: Some(status_code),
            },
            other => EngineError::Unreachable {
                endpoint: self.endpoint.clone(),
                source: other.into(),
            },
        }
    }

    /// What the paths of the agreed API begin with.
    fn version(&self) -> String {
        let version = self.api.client_version();
        format!("/v{}.{}", version.major_version, version.minor_version)
    }

    /// One connection for one call: such calls are rare, and a pool would outlive the engine.
    async fn raw(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Value), RawError> {
        let stream = self.road.connect().await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let uri = format!("{}{path}", self.version());
        let mut request = Request::builder()
            .method(method)
            .uri(uri)
            .header("host", "docker");
        let bytes = match body {
            Some(body) => {
                request = request.header("content-type", "application/json");
                Bytes::from(serde_json::to_vec(body)?)
            }
            None => Bytes::new(),
        };
        let request = request.body(Full::new(bytes))?;
        let exchange = async {
            let answer = sender.send_request(request).await?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), LARGEST_ANSWER);
            let bytes = body.collect().await?.to_bytes();
            let value = if bytes.is_empty() {
                Value::Null
            } else {
                serde_json::from_slice(&bytes)?
            };
            Ok::<_, RawError>((status, value))
        };
        // The connection is driven beside the exchange, and dropped with it.
        tokio::select! {
            answer = exchange => answer,
            ended = connection => {
                ended?;
                Err("the engine closed the connection".into())
            }
        }
    }
}

async fn connect_to(
    endpoint: &str,
    certificates: Option<&Path>,
) -> Result<(Road, Docker), EngineError> {
    let unreachable = |source: RawError| EngineError::Unreachable {
        endpoint: endpoint.to_owned(),
        source,
    };
    let road = Road::to(endpoint, certificates).map_err(unreachable)?;
    let api = road.client(CALL_WITHIN.as_secs());
    let api = api.map_err(|error| unreachable(error.into()))?;
    match timeout(Duration::from_secs(5), api.negotiate_version()).await {
        Ok(Ok(api)) => Ok((road, api)),
        Ok(Err(error)) => Err(unreachable(error.into())),
        Err(_) => Err(unreachable("no answer within 5 s".into())),
    }
}

/// A piece of output as the engine sends it with timestamps: `2026-11-21T09:00:00.123456789Z text`.
fn line(piece: &LogOutput) -> Line {
    let (stream, message) = match piece {
        LogOutput::StdErr { message } => (Stream::Stderr, message),
        LogOutput::StdIn { message } | LogOutput::StdOut { message } => (Stream::Stdout, message),
        LogOutput::Console { message } => (Stream::Terminal, message),
    };
    let text = String::from_utf8_lossy(message);
    let text = text.trim_end_matches(['\r', '\n']);
    let (at, text) = text.split_once(' ').unwrap_or((text, ""));
    let at = at
        .parse::<jiff::Timestamp>()
        .map_or(SystemTime::UNIX_EPOCH, SystemTime::from);
    Line {
        at,
        stream,
        text: text.to_owned(),
    }
}

/// Filters as the engine takes them.
fn by_key<'f>(
    filters: &'f [(String, String)],
    more: Option<(&'f str, &'f str)>,
) -> HashMap<&'f str, Vec<&'f str>> {
    let told = filters
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()));
    let mut by_key: HashMap<&str, Vec<&str>> = HashMap::new();
    for (key, value) in told.chain(more) {
        by_key.entry(key).or_default().push(value);
    }
    by_key
}

fn status_of(error: &bollard::errors::Error) -> Option<u16> {
    match error {
        bollard::errors::Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_of_output_is_its_moment_and_its_text() {
        let message = "2026-11-21T09:00:00.5Z it \u{1b}[31mbroke\r\n".into();
        let line = line(&LogOutput::StdErr { message });
        let at = "2026-11-21T09:00:00.5Z".parse::<jiff::Timestamp>();
        assert_eq!(line.at, SystemTime::from(at.expect("a moment")));
        assert_eq!(line.stream, Stream::Stderr);
        assert_eq!(line.text, "it \u{1b}[31mbroke");
    }
}
