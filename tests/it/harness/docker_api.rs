//! The Docker API as a test wants it: slow, refusing, forgetful, and watching what is asked of it.
//!
//! Speaks the part of the API that usher uses, over a unix socket of its own. A container that runs
//! is an origin on a loopback address, so that probes, requests and websockets are real.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::broadcast;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};

use super::docker_swarm::{self, Cluster};
use super::origin::{self, Seen};

pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What goes wrong, the next so many times that a call begins like this: `POST /containers/create`.
#[derive(Clone, Debug)]
pub struct Fault {
    pub call: &'static str,
    /// Of the path, anywhere.
    pub about: &'static str,
    pub times: u32,
    pub what: Wrong,
}

#[derive(Clone, Debug)]
pub enum Wrong {
    /// Answered after this.
    Late(Duration),
    /// Done, and the connection ends before the answer.
    Lost,
    /// Refused with this status and message.
    Refused(u16, &'static str),
    /// Done, and what was started ends at once with this exit code.
    Dies(i64),
}

/// One call as it came.
#[derive(Clone, Debug)]
pub struct Call {
    pub what: String,
    pub at: Instant,
}

/// The engine, for as long as it is kept.
#[derive(Debug)]
pub struct DockerApi {
    folder: TempDir,
    pub(super) state: Arc<State>,
    _serving: JoinSet<()>,
}

#[derive(Debug)]
pub(super) struct State {
    id: String,
    /// The first three octets of the addresses of its containers.
    network: [u8; 3],
    made: AtomicU32,
    containers: Mutex<BTreeMap<String, Container>>,
    faults: Mutex<Vec<Fault>>,
    calls: Mutex<Vec<Call>>,
    /// Containers that were stopped while somebody was connected.
    pub(super) cut: Mutex<Vec<String>>,
    mute: AtomicBool,
    /// `DefaultAddressPools`, as the engine tells them.
    pools: Mutex<Value>,
    networks: Mutex<Vec<Value>>,
    events: broadcast::Sender<Value>,
    pub(super) cluster: Mutex<Option<Cluster>>,
}

#[derive(Debug)]
struct Container {
    name: String,
    body: Value,
    networks: Value,
    status: &'static str,
    code: i64,
    created: Timestamp,
    started: Timestamp,
    address: Ipv4Addr,
    seen: Arc<Seen>,
    running: Option<JoinHandle<()>>,
    /// Nanoseconds of processor time.
    used: u64,
    /// Whether it uses more from look to look.
    busy: bool,
}

/// What Compose says of a container that it makes.
fn composed(project: &str, service: &str, number: u32, variables: &[&str]) -> Value {
    json!({
        "Image": "app:1",
        "Env": variables,
        "ExposedPorts": { "8000/tcp": {} },
        "Labels": {
            "com.docker.compose.project": project,
            "com.docker.compose.service": service,
            "com.docker.compose.container-number": number.to_string(),
            "com.docker.compose.config-hash": "abc",
            "com.docker.compose.oneoff": "False",
        },
        "HostConfig": { "NetworkMode": format!("{project}_default") },
        "NetworkingConfig": { "EndpointsConfig": { format!("{project}_default"): {} } },
    })
}

impl DockerApi {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let listener = UnixListener::bind(folder.path().join("docker.sock")).expect("bound");
        let state = Arc::new(State {
            id: format!("{:016x}", rand::random::<u64>()),
            network: [127, rand::random_range(2..250), rand::random_range(2..250)],
            made: AtomicU32::new(0),
            containers: Mutex::default(),
            faults: Mutex::default(),
            calls: Mutex::default(),
            cut: Mutex::default(),
            mute: AtomicBool::new(false),
            pools: Mutex::default(),
            networks: Mutex::default(),
            events: broadcast::channel(1024).0,
            cluster: Mutex::default(),
        });
        let mut serving = JoinSet::new();
        let shared = Arc::clone(&state);
        serving.spawn(async move {
            let mut open = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.expect("accepted");
                let state = Arc::clone(&shared);
                open.spawn(async move {
                    let service = service_fn(move |request| answer(Arc::clone(&state), request));
                    // An error is a connection that a fault ended.
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self {
            folder,
            state,
            _serving: serving,
        }
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    pub fn wrong(&self, fault: Fault) {
        self.state.faults.lock().expect("lock").push(fault);
    }

    /// No event is told from now on.
    pub fn mute(&self) {
        self.state.mute.store(true, Ordering::Relaxed);
    }

    /// A container as Compose makes it. It runs.
    pub async fn compose(&self, project: &str, service: &str, number: u32) {
        self.compose_with(project, service, number, &[]).await;
    }

    /// As [`DockerApi::compose`], with these variables.
    pub async fn compose_with(
        &self,
        project: &str,
        service: &str,
        number: u32,
        variables: &[&str],
    ) {
        let name = format!("{project}_{service}_{number}");
        let body = composed(project, service, number, variables);
        let id = create(&self.state, &name, body).expect("created");
        start(&self.state, &id, None).await;
    }

    /// As [`DockerApi::compose`], with this in its `HostConfig`.
    pub async fn compose_within(&self, project: &str, service: &str, number: u32, host: Value) {
        let name = format!("{project}_{service}_{number}");
        let mut body = composed(project, service, number, &[]);
        for (key, value) in host.as_object().expect("an object") {
            body["HostConfig"][key] = value.clone();
        }
        let id = create(&self.state, &name, body).expect("created");
        start(&self.state, &id, None).await;
    }

    /// Of all there are, by their names.
    pub fn host_configs(&self) -> BTreeMap<String, Value> {
        let containers = self.state.containers.lock().expect("lock");
        let all = containers.values();
        all.map(|one| (one.name.clone(), one.body["HostConfig"].clone()))
            .collect()
    }

    /// As `docker compose run` makes it. It runs.
    pub async fn one_off(&self, project: &str, service: &str, variables: &[&str]) {
        let mut body = composed(project, service, 1, variables);
        body["Labels"]["com.docker.compose.oneoff"] = "True".into();
        let name = format!("{project}_{service}_run_1");
        let id = create(&self.state, &name, body).expect("created");
        start(&self.state, &id, None).await;
    }

    /// The network that Compose makes for a project.
    pub fn network(&self, project: &str) {
        let name = format!("{project}_default");
        self.state.networks.lock().expect("lock").push(json!({
            "Name": name,
            "Id": format!("id of {name}"),
            "Driver": "bridge",
            "Labels": { "com.docker.compose.project": project },
        }));
        let id = format!("id of {name}");
        self.state.tell_of("network", "create", &id, json!({}));
    }

    /// A container that only says it is the first of a service, on the network of another project. It
    /// runs.
    pub async fn posing(&self, project: &str, service: &str, name: &str) {
        let body = json!({
            "Image": "app:1",
            "ExposedPorts": { "8000/tcp": {} },
            "Labels": {
                "com.docker.compose.project": project,
                "com.docker.compose.service": service,
                "com.docker.compose.container-number": "0",
                "com.docker.compose.config-hash": "abc",
                "com.docker.compose.oneoff": "False",
            },
            "HostConfig": { "NetworkMode": "evil_default" },
            "NetworkingConfig": { "EndpointsConfig": { "evil_default": {} } },
        });
        let id = create(&self.state, name, body).expect("created");
        start(&self.state, &id, None).await;
    }

    /// Has addresses for so many networks.
    pub fn room_for(&self, networks: u8) {
        let pools =
            (0..networks).map(|at| json!({ "Base": format!("10.{at}.0.0/24"), "Size": 24 }));
        *self.state.pools.lock().expect("lock") = pools.collect();
    }

    /// A container of a Compose project that says something to a proxy. It runs.
    pub async fn speaking(&self, project: &str, service: &str, image: &str, says: &[&str]) {
        let body = json!({
            "Image": image,
            "Env": says,
            "Labels": {
                "com.docker.compose.project": project,
                "com.docker.compose.service": service,
                "com.docker.compose.container-number": "1",
                "com.docker.compose.project.working_dir": format!("/srv/{project}"),
                "com.docker.compose.oneoff": "False",
            },
            "HostConfig": { "NetworkMode": format!("{project}_default") },
            "NetworkingConfig": { "EndpointsConfig": { format!("{project}_default"): {} } },
        });
        let id = create(&self.state, &format!("{project}_{service}_1"), body).expect("created");
        start(&self.state, &id, None).await;
    }

    /// A container of no project that says something, with folders of the host it may write to. It
    /// runs.
    pub async fn by_hand(&self, name: &str, image: &str, says: &[&str], mounts: &[(&str, &str)]) {
        let mounts = mounts.iter().map(|(source, inside)| {
            json!({ "Type": "bind", "Source": source, "Destination": inside, "RW": true })
        });
        let mounts: Vec<Value> = mounts.collect();
        let body = json!({
            "Image": image,
            "Env": says,
            "Labels": {},
            "Mounts": mounts,
            "NetworkingConfig": { "EndpointsConfig": { "bridge": {} } },
        });
        let id = create(&self.state, name, body).expect("created");
        start(&self.state, &id, None).await;
    }

    /// Ends a container, by its name.
    pub fn ends(&self, name: &str) {
        let containers = self.state.containers.lock().expect("lock");
        let found = containers.iter().find(|(_, one)| one.name == name);
        let id = found.map(|(id, _)| id.clone()).expect("known");
        drop(containers);
        end(&self.state, &id);
    }

    /// A container of nobody's, which runs, on the engine's own bridge. Gives its id.
    pub async fn alone(&self, name: &str) -> String {
        let body = json!({
            "Labels": {},
            "NetworkingConfig": { "EndpointsConfig": { "bridge": {} } },
        });
        let id = create(&self.state, name, body).expect("created");
        start(&self.state, &id, None).await;
        id
    }

    /// A container that says something to a proxy, and that somebody else answers for, at this
    /// port of its address, which is in 127.128.0.0/9. Gives its id.
    pub fn one_of_many(&self, project: &str, port: u16, says: &str) -> String {
        let body = json!({
            "Image": "app:1",
            "Env": [says, format!("VIRTUAL_PORT={port}"), "HTTPS_METHOD=nohttps"],
            "Labels": {
                "com.docker.compose.project": project,
                "com.docker.compose.service": "web",
                "com.docker.compose.container-number": "1",
                "com.docker.compose.project.working_dir": format!("/srv/{project}"),
                "com.docker.compose.oneoff": "False",
            },
            "HostConfig": { "NetworkMode": format!("{project}_default") },
            "NetworkingConfig": { "EndpointsConfig": { format!("{project}_default"): {} } },
        });
        let number = self.state.made.fetch_add(1, Ordering::Relaxed) + 1;
        let id = format!("{number:08x}").repeat(8);
        let container = Container {
            name: format!("{project}_web_1"),
            networks: body["NetworkingConfig"]["EndpointsConfig"].clone(),
            body,
            status: "running",
            code: 0,
            created: Timestamp::now(),
            started: Timestamp::now(),
            address: Ipv4Addr::from_bits(0x7f80_0000 + number),
            seen: Arc::default(),
            running: None,
            used: 0,
            busy: false,
        };
        let mut containers = self.state.containers.lock().expect("lock");
        containers.insert(id.clone(), container);
        drop(containers);
        self.state.tell("create", &id, json!({}));
        self.state.tell("start", &id, json!({}));
        id
    }

    /// Such a container is there no more.
    pub fn gone(&self, id: &str) {
        self.state.containers.lock().expect("lock").remove(id);
        self.state.tell("die", id, json!({}));
        self.state.tell("destroy", id, json!({}));
    }

    /// A container of nobody's.
    pub fn stranger(&self, name: &str) {
        create(&self.state, name, json!({ "Labels": {} })).expect("created");
    }

    /// All containers: name and status.
    pub fn containers(&self) -> Vec<(String, &'static str)> {
        let containers = self.state.containers.lock().expect("lock");
        let mut all: Vec<_> = containers
            .values()
            .map(|container| (container.name.clone(), container.status))
            .collect();
        all.sort();
        all
    }

    /// The names of those that run.
    pub fn running(&self) -> Vec<String> {
        let all = self.containers().into_iter();
        all.filter(|(_, status)| *status == "running")
            .map(|(name, _)| name)
            .collect()
    }

    /// Calls that begin like this, in their order.
    pub fn calls(&self, what: &str) -> Vec<Call> {
        let calls = self.state.calls.lock().expect("lock");
        let alike = calls.iter().filter(|call| call.what.starts_with(what));
        alike.cloned().collect()
    }

    /// Containers that were stopped under somebody.
    pub fn cut(&self) -> Vec<String> {
        self.state.cut.lock().expect("lock").clone()
    }

    /// Gives the containers of a service something to do, or nothing any more.
    pub fn work(&self, service: &str, busy: bool) {
        for container in self.state.containers.lock().expect("lock").values_mut() {
            if container.name.contains(service) {
                container.busy = busy;
            }
        }
    }
}

impl State {
    fn tell(&self, action: &str, id: &str, attributes: Value) {
        self.tell_of("container", action, id, attributes);
    }

    pub(super) fn tell_of(&self, what: &str, action: &str, id: &str, attributes: Value) {
        if self.mute.load(Ordering::Relaxed) {
            return;
        }
        let now = Timestamp::now();
        let nanos = i64::try_from(now.as_nanosecond()).expect("this century");
        // Nobody may listen.
        let _ = self.events.send(json!({
            "Type": what,
            "Action": action,
            "Actor": { "ID": id, "Attributes": attributes },
            "time": now.as_second(),
            "timeNano": nanos,
        }));
    }

    /// The address of the next one that is made.
    pub(super) fn next_address(&self) -> Ipv4Addr {
        let number = self.made.fetch_add(1, Ordering::Relaxed) + 1;
        let [a, b, c] = self.network;
        Ipv4Addr::new(a, b, c, u8::try_from(number).expect("few"))
    }

    fn fault(&self, what: &str) -> Option<Wrong> {
        let mut faults = self.faults.lock().expect("lock");
        let found = faults.iter_mut().find(|fault| {
            fault.times > 0 && what.starts_with(fault.call) && what.contains(fault.about)
        })?;
        found.times -= 1;
        Some(found.what.clone())
    }
}

fn create(state: &State, name: &str, body: Value) -> Result<String, String> {
    let mut containers = state.containers.lock().expect("lock");
    if containers.values().any(|known| known.name == name) {
        return Err(format!(
            "Conflict. The container name \"/{name}\" is already in use"
        ));
    }
    let number = state.made.fetch_add(1, Ordering::Relaxed) + 1;
    let id = format!("{number:04x}").repeat(16);
    let [a, b, c] = state.network;
    let address = Ipv4Addr::new(a, b, c, u8::try_from(number).expect("few"));
    let container = Container {
        name: name.to_owned(),
        networks: body["NetworkingConfig"]["EndpointsConfig"].clone(),
        body,
        status: "created",
        code: 0,
        created: Timestamp::now(),
        started: Timestamp::UNIX_EPOCH,
        address,
        seen: Arc::default(),
        running: None,
        used: 0,
        busy: false,
    };
    containers.insert(id.clone(), container);
    drop(containers);
    state.tell("create", &id, json!({}));
    Ok(id)
}

async fn start(state: &State, id: &str, dies: Option<i64>) {
    let address = {
        let containers = state.containers.lock().expect("lock");
        containers.get(id).expect("known").address
    };
    let listener = TcpListener::bind((address, 8000)).await.expect("bound");
    {
        let mut containers = state.containers.lock().expect("lock");
        let container = containers.get_mut(id).expect("known");
        container.started = Timestamp::now();
        container.seen = Arc::default();
        match dies {
            Some(code) => (container.status, container.code) = ("exited", code),
            None => {
                container.status = "running";
                let (name, seen) = (container.name.clone(), Arc::clone(&container.seen));
                container.running = Some(tokio::spawn(origin::serve(listener, name, seen)));
            }
        }
    }
    state.tell("start", id, json!({}));
    if dies.is_some() {
        state.tell("die", id, json!({}));
    }
}

fn end(state: &State, id: &str) {
    let was = {
        let mut containers = state.containers.lock().expect("lock");
        let Some(container) = containers.get_mut(id) else {
            return;
        };
        if container.seen.websockets.load(Ordering::Relaxed) > 0 {
            let name = container.name.clone();
            state.cut.lock().expect("lock").push(name);
        }
        container.status = "exited";
        container.running.take()
    };
    if let Some(running) = was {
        running.abort();
        state.tell("die", id, json!({}));
    }
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Body>, Broken> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    // Behind `/v1.41`.
    let path = match path.strip_prefix("/v1.") {
        Some(rest) => rest.find('/').map_or("", |at| &rest[at..]).to_owned(),
        None => path.to_owned(),
    };
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let what = format!("{} {path}", parts.method);
    let call = Call {
        what: what.clone(),
        at: Instant::now(),
    };
    state.calls.lock().expect("lock").push(call);
    let body = body.collect().await.expect("a body").to_bytes();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let fault = state.fault(&format!("{what}?{query}"));
    match fault {
        Some(Wrong::Late(pause)) => sleep(pause).await,
        Some(Wrong::Refused(status, message)) => {
            let status = StatusCode::from_u16(status).expect("a status");
            return Ok(json_answer(status, &json!({ "message": message })));
        }
        _ => {}
    }
    let dies = match fault {
        Some(Wrong::Dies(code)) => Some(code),
        _ => None,
    };
    let answer = route(&state, &parts.method, &path, &query, body, dies).await;
    if let Some(Wrong::Lost) = fault {
        return Err(Broken);
    }
    Ok(answer)
}

/// A connection that ends in the middle.
#[derive(Debug, thiserror::Error)]
#[error("as the test wanted it")]
struct Broken;

async fn route(
    state: &Arc<State>,
    method: &Method,
    path: &str,
    query: &str,
    body: Value,
    dies: Option<i64>,
) -> Response<Body> {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let ok = |value: &Value| json_answer(StatusCode::OK, value);
    let done = || json_answer(StatusCode::NO_CONTENT, &Value::Null);
    let missing = || {
        let message = json!({ "message": format!("No such thing: {path}") });
        json_answer(StatusCode::NOT_FOUND, &message)
    };
    if let Some(answer) = docker_swarm::route(state, method, &parts, query, &body) {
        return answer;
    }
    let known = |id: &str| state.containers.lock().expect("lock").contains_key(id);
    match (method.as_str(), parts.as_slice()) {
        ("GET", ["version"]) => ok(&json!({
            "Version": "20.10.24", "ApiVersion": "1.41", "MinAPIVersion": "1.12",
        })),
        ("GET", ["info"]) => {
            let pools = state.pools.lock().expect("lock").clone();
            ok(&json!({
                "ID": state.id,
                "Swarm": { "LocalNodeState": "inactive" },
                "DefaultAddressPools": pools,
            }))
        }
        ("GET", ["events"]) => events(state),
        ("GET", ["networks"]) => ok(&json!(*state.networks.lock().expect("lock"))),
        ("GET", ["volumes"]) => ok(&json!({ "Volumes": [] })),
        ("GET", ["images", ..]) => ok(&json!({ "Id": "sha256:app1" })),
        ("GET", ["containers", "json"]) => ok(&list(state, query.contains("compose.project"))),
        ("POST", ["containers", "create"]) => {
            let name = query.split('&').find_map(|pair| pair.strip_prefix("name="));
            match create(state, name.expect("a name"), body) {
                Ok(id) => json_answer(StatusCode::CREATED, &json!({ "Id": id })),
                Err(why) => json_answer(StatusCode::CONFLICT, &json!({ "message": why })),
            }
        }
        ("POST", ["networks", network, way]) => {
            let name = network
                .trim_start_matches("id%20of%20")
                .trim_start_matches("id of ");
            let id = body["Container"].as_str().expect("a container");
            let mut containers = state.containers.lock().expect("lock");
            let container = containers.get_mut(id).expect("known");
            let networks = container.networks.as_object_mut().expect("an object");
            match *way {
                "connect" => drop(networks.insert(name.to_owned(), body["EndpointConfig"].clone())),
                _ => drop(networks.remove(name)),
            }
            drop(containers);
            state.tell_of("network", way, network, json!({}));
            done()
        }
        (_, ["containers", id, ..]) if !known(id) => missing(),
        ("GET", ["containers", id, "json"]) => ok(&inspect(state, id)),
        ("GET", ["containers", id, "stats"]) => {
            let mut containers = state.containers.lock().expect("lock");
            let container = containers.get_mut(*id).expect("known");
            if container.busy {
                container.used += 1_000_000_000;
            }
            ok(&json!({
                "cpu_stats": { "cpu_usage": { "total_usage": container.used } },
                "memory_stats": { "usage": 430 << 20, "stats": { "inactive_file": 30 << 20 } },
            }))
        }
        ("POST", ["containers", id, "update"]) => {
            let mut containers = state.containers.lock().expect("lock");
            let host = &mut containers.get_mut(*id).expect("known").body["HostConfig"];
            for (key, value) in body.as_object().expect("an object") {
                host[key] = value.clone();
            }
            ok(&json!({ "Warnings": null }))
        }
        ("POST", ["containers", id, "start"]) => {
            start(state, id, dies).await;
            done()
        }
        ("POST", ["containers", id, "stop"]) => {
            state.tell("kill", id, json!({ "signal": "15" }));
            end(state, id);
            done()
        }
        ("DELETE", ["containers", id]) => {
            let runs = inspect(state, id)["State"]["Running"] == true;
            if runs && !query.contains("force=true") {
                let why = "You cannot remove a running container";
                return json_answer(StatusCode::CONFLICT, &json!({ "message": why }));
            }
            end(state, id);
            state.containers.lock().expect("lock").remove(*id);
            state.tell("destroy", id, json!({}));
            done()
        }
        _ => missing(),
    }
}

fn events(state: &State) -> Response<Body> {
    let told = state.events.subscribe();
    let lines = futures_util::stream::unfold(told, |mut told| async move {
        let event = told.recv().await.ok()?;
        let line = Bytes::from(format!("{event}\n"));
        Some((Ok::<_, Infallible>(Frame::data(line)), told))
    });
    Response::new(StreamBody::new(lines).boxed_unsync())
}

fn list(state: &State, composed: bool) -> Value {
    let containers = state.containers.lock().expect("lock");
    let is_composed = |one: &Container| !one.body["Labels"]["com.docker.compose.project"].is_null();
    let listed = containers
        .iter()
        .filter(|(_, one)| !composed || is_composed(one));
    listed
        .map(|(id, one)| {
            json!({
                "Id": id,
                "Names": [format!("/{}", one.name)],
                "Labels": one.body["Labels"],
                "State": one.status,
                "Status": one.status,
                "Created": one.created.as_second(),
                "HostConfig": { "NetworkMode": one.body["HostConfig"]["NetworkMode"] },
                "NetworkSettings": { "Networks": networks(one) },
            })
        })
        .collect()
}

fn inspect(state: &State, id: &str) -> Value {
    let containers = state.containers.lock().expect("lock");
    let one = &containers[id];
    let mut config = one.body.clone();
    let fields = config.as_object_mut().expect("an object");
    let host = fields.remove("HostConfig").unwrap_or_else(|| json!({}));
    fields.remove("NetworkingConfig");
    let mounts = fields.remove("Mounts").unwrap_or_else(|| json!([]));
    let running = one.status == "running";
    json!({
        "Id": id,
        "Created": one.created.to_string(),
        "Name": format!("/{}", one.name),
        "Image": "sha256:app1",
        "Config": config,
        "HostConfig": host,
        "State": {
            "Status": one.status,
            "Running": running,
            "ExitCode": one.code,
            "StartedAt": one.started.to_string(),
        },
        "NetworkSettings": { "Networks": networks(one) },
        "Mounts": mounts,
    })
}

/// Those a container is on, by their names.
fn networks(one: &Container) -> Value {
    let attached = one.networks.as_object().into_iter().flatten();
    let networks = attached.map(|(name, settings)| {
        let mut settings = settings.clone();
        settings["NetworkID"] = json!(format!("id of {name}"));
        if one.status == "running" {
            settings["IPAddress"] = json!(one.address.to_string());
        }
        (name.clone(), settings)
    });
    Value::Object(networks.collect())
}

pub(super) fn json_answer(status: StatusCode, value: &Value) -> Response<Body> {
    let body = match value {
        Value::Null => Bytes::new(),
        value => Bytes::from(value.to_string()),
    };
    let mut answer = Response::new(Full::new(body).boxed_unsync());
    *answer.status_mut() = status;
    answer
}
