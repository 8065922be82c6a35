//! A Swarm behind the Docker API of a test: nodes, services and tasks, and an orchestrator that makes
//! and ends tasks as Swarm does. A task that runs is an origin on a loopback address.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{Method, Response, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::docker_api::{Body, DockerApi, State, json_answer};
use super::origin::{self, Seen};

/// How long a task takes to start, and to end.
const TAKES: Duration = Duration::from_millis(150);

#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Node>,
    services: BTreeMap<String, Service>,
    tasks: BTreeMap<String, Task>,
    attachable: bool,
    leaderless: bool,
    choice: Choice,
    index: u64,
}

/// Which one the orchestrator ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Choice {
    /// Of equals that of the first node.
    FirstNode,
    LastNode,
    /// As no Swarm does.
    LowestSlot,
}

#[derive(Debug)]
struct Node {
    name: String,
    manager: bool,
    down: bool,
}

#[derive(Debug)]
struct Service {
    spec: Value,
    version: u64,
    /// Every specification that was sent.
    sent: Vec<Value>,
}

#[derive(Debug)]
struct Task {
    service: String,
    slot: u64,
    node: String,
    created: Timestamp,
    state: &'static str,
    desired: &'static str,
    address: Ipv4Addr,
    seen: Arc<Seen>,
    running: Option<JoinHandle<()>>,
}

impl DockerApi {
    /// Makes the engine a manager on the first of these nodes.
    pub fn swarm(&self, nodes: &[&str]) {
        let nodes = nodes
            .iter()
            .enumerate()
            .map(|(place, name)| Node {
                name: (*name).to_owned(),
                manager: place == 0,
                down: false,
            })
            .collect();
        *self.state.cluster.lock().expect("lock") = Some(Cluster {
            nodes,
            services: BTreeMap::new(),
            tasks: BTreeMap::new(),
            attachable: true,
            leaderless: false,
            choice: Choice::FirstNode,
            index: 10,
        });
    }

    fn cluster<T>(&self, change: impl FnOnce(&mut Cluster) -> T) -> T {
        let mut cluster = self.state.cluster.lock().expect("lock");
        change(cluster.as_mut().expect("a Swarm"))
    }

    pub fn not_attachable(&self) {
        self.cluster(|cluster| cluster.attachable = false);
    }

    pub fn leaderless(&self, leaderless: bool) {
        self.cluster(|cluster| cluster.leaderless = leaderless);
    }

    pub fn choose(&self, choice: Choice) {
        self.cluster(|cluster| cluster.choice = choice);
    }

    /// A service as `docker stack deploy` makes it; `mode` is the JSON below `Mode`.
    pub fn deploy(&self, stack: &str, service: &str, mode: &Value) {
        let name = format!("{stack}_{service}");
        let spec = json!({
            "Name": name,
            "Labels": { "com.docker.stack.namespace": stack },
            "Mode": mode,
            "TaskTemplate": {
                "ContainerSpec": { "Image": "app:1", "NobodyKnows": { "this": [null, 1.5] } },
                "Networks": [{ "Target": "id of congress_default" }],
            },
            "Unheard": "of",
        });
        self.cluster(|cluster| {
            cluster.index += 1;
            let service = Service {
                spec,
                version: cluster.index,
                sent: Vec::new(),
            };
            cluster.services.insert(format!("service{name}"), service);
        });
        reconcile(&self.state);
    }

    /// As `docker service scale` by somebody.
    pub fn somebody_scales(&self, name: &str, replicas: u64) {
        self.cluster(|cluster| {
            cluster.index += 1;
            let service = cluster.services.get_mut(&format!("service{name}"));
            let service = service.expect("known");
            service.spec["Mode"]["Replicated"]["Replicas"] = json!(replicas);
            service.version = cluster.index;
        });
        reconcile(&self.state);
    }

    /// The node is gone, and its tasks are made elsewhere.
    pub fn lose(&self, node: &str) {
        self.cluster(|cluster| {
            let mut nodes = cluster.nodes.iter_mut();
            nodes.find(|one| one.name == node).expect("known").down = true;
            let lost = cluster.tasks.values_mut().filter(|task| task.node == node);
            for task in lost {
                task.desired = "shutdown";
                task.running.take().inspect(JoinHandle::abort);
            }
        });
        self.state.tell_of("node", "update", node, json!({}));
        reconcile(&self.state);
    }

    /// Slots and nodes of the tasks that are wanted.
    pub fn tasks(&self, name: &str) -> Vec<(u64, String)> {
        let service = format!("service{name}");
        self.cluster(|cluster| {
            let mut tasks: Vec<_> = cluster
                .tasks
                .values()
                .filter(|task| task.service == service && task.desired == "running")
                .map(|task| (task.slot, task.node.clone()))
                .collect();
            tasks.sort();
            tasks
        })
    }

    /// The number in the specification.
    pub fn replicas_of(&self, name: &str) -> u64 {
        self.spec(name)["Mode"]["Replicated"]["Replicas"]
            .as_u64()
            .expect("a number")
    }

    pub fn spec(&self, name: &str) -> Value {
        self.cluster(|cluster| cluster.services[&format!("service{name}")].spec.clone())
    }

    /// The specifications that were sent, in their order.
    pub fn sent(&self, name: &str) -> Vec<Value> {
        self.cluster(|cluster| cluster.services[&format!("service{name}")].sent.clone())
    }
}

/// Makes and ends tasks until there are as many as wanted.
fn reconcile(state: &Arc<State>) {
    let mut guard = state.cluster.lock().expect("lock");
    let cluster = guard.as_mut().expect("a Swarm");
    let services: Vec<(String, Value)> = cluster
        .services
        .iter()
        .map(|(id, service)| (id.clone(), service.spec["Mode"].clone()))
        .collect();
    for (id, mode) in services {
        let up: Vec<String> = cluster
            .nodes
            .iter()
            .filter(|node| !node.down)
            .map(|node| node.name.clone())
            .collect();
        if !mode["Global"].is_null() {
            for node in &up {
                let mut tasks = cluster.tasks.values();
                if !tasks.any(|task| task.service == id && task.node == *node) {
                    make(state, cluster, &id, 0, node);
                }
            }
            continue;
        }
        let wanted = mode["Replicated"]["Replicas"].as_u64().expect("a number");
        loop {
            let here: Vec<(u64, String)> = wanted_tasks(cluster, &id);
            let count = u64::try_from(here.len()).expect("few");
            if count < wanted {
                let mut slots = 1_u64..;
                let free = slots.find(|slot| here.iter().all(|(taken, _)| taken != slot));
                let on = |node: &String| here.iter().filter(|(_, at)| at == node).count();
                let node = up
                    .iter()
                    .min_by_key(|node| on(node))
                    .expect("a node")
                    .clone();
                make(state, cluster, &id, free.expect("a slot"), &node);
            } else if count > wanted {
                end(state, cluster, &id, &here);
            } else {
                break;
            }
        }
        state.tell_of("service", "update", &id, json!({}));
    }
}

fn wanted_tasks(cluster: &Cluster, service: &str) -> Vec<(u64, String)> {
    let tasks = cluster.tasks.values();
    let mut wanted: Vec<_> = tasks
        .filter(|task| task.service == service && task.desired == "running")
        .map(|task| (task.slot, task.node.clone()))
        .collect();
    wanted.sort();
    wanted
}

fn make(state: &Arc<State>, cluster: &mut Cluster, service: &str, slot: u64, node: &str) {
    let address = state.next_address();
    let id = format!("task{}", address.octets()[3]);
    let seen: Arc<Seen> = Arc::default();
    let task = Task {
        service: service.to_owned(),
        slot,
        node: node.to_owned(),
        created: Timestamp::now(),
        state: "preparing",
        desired: "running",
        address,
        seen: Arc::clone(&seen),
        running: None,
    };
    cluster.tasks.insert(id.clone(), task);
    let state = Arc::clone(state);
    tokio::spawn(async move {
        sleep(TAKES).await;
        let listener = TcpListener::bind((address, 8000)).await.expect("bound");
        let mut cluster = state.cluster.lock().expect("lock");
        let tasks = &mut cluster.as_mut().expect("a Swarm").tasks;
        if let Some(task) = tasks.get_mut(&id) {
            task.state = "running";
            let name = format!("slot {slot}");
            task.running = Some(tokio::spawn(origin::serve(listener, name, seen)));
        }
    });
}

/// As swarmkit chooses.
fn end(state: &Arc<State>, cluster: &mut Cluster, service: &str, here: &[(u64, String)]) {
    let place = |slot: u64, node: &str| {
        let before = here
            .iter()
            .filter(|(other, at)| at == node && *other <= slot);
        before.count()
    };
    let rank = |node: &str| cluster.nodes.iter().position(|one| one.name == node);
    let chosen = match cluster.choice {
        Choice::LowestSlot => here.first(),
        Choice::FirstNode => here
            .iter()
            .max_by_key(|(slot, node)| (place(*slot, node), Reverse(rank(node)))),
        Choice::LastNode => here
            .iter()
            .max_by_key(|(slot, node)| (place(*slot, node), rank(node))),
    };
    let slot = chosen.expect("one").0;
    let found = cluster.tasks.iter_mut().find(|(_, task)| {
        task.service == service && task.slot == slot && task.desired == "running"
    });
    let (id, task) = found.expect("known");
    task.desired = "remove";
    if task.seen.websockets.load(Ordering::Relaxed) > 0 {
        state.cut.lock().expect("lock").push(format!("slot {slot}"));
    }
    let (id, state) = (id.clone(), Arc::clone(state));
    tokio::spawn(async move {
        sleep(TAKES).await;
        let mut cluster = state.cluster.lock().expect("lock");
        let task = cluster.as_mut().expect("a Swarm").tasks.remove(&id);
        task.and_then(|task| task.running)
            .inspect(JoinHandle::abort);
    });
}

/// Answers what is about the Swarm, where there is one.
pub(super) fn route(
    state: &Arc<State>,
    method: &Method,
    parts: &[&str],
    query: &str,
    body: &Value,
) -> Option<Response<Body>> {
    let mut guard = state.cluster.lock().expect("lock");
    let cluster = guard.as_mut()?;
    let ours = matches!(
        parts.first(),
        Some(&("swarm" | "services" | "tasks" | "nodes"))
    );
    if ours && cluster.leaderless {
        let why = "rpc error: code = Unknown desc = The swarm does not have a leader. It's \
                   possible that too few managers are online.";
        let message = json!({ "message": why });
        return Some(json_answer(StatusCode::SERVICE_UNAVAILABLE, &message));
    }
    let answer = match (method.as_str(), parts) {
        ("GET", ["swarm"]) => json!({ "ID": "cluster" }),
        ("GET", ["info"]) => json!({
            "ID": "of-the-swarm",
            "Swarm": { "NodeID": cluster.nodes[0].name, "ControlAvailable": true },
        }),
        ("GET", ["nodes"]) => cluster.nodes.iter().map(Node::json).collect(),
        ("GET", ["services"]) => {
            let services = cluster.services.iter();
            services.map(|(id, one)| one.json(id)).collect()
        }
        ("GET", ["services", id]) => cluster.services[*id].json(id),
        ("GET", ["tasks"]) => {
            let tasks = cluster.tasks.iter();
            tasks
                .filter(|(_, task)| query.is_empty() || query.contains(&task.service))
                .map(|(id, task)| task.json(id, cluster.attachable))
                .collect()
        }
        ("POST", ["services", id, "update"]) => {
            let service = cluster.services.get_mut(*id).expect("known");
            if query != format!("version={}", service.version) {
                let why = "rpc error: code = Unknown desc = update out of sequence";
                let message = json!({ "message": why });
                return Some(json_answer(StatusCode::INTERNAL_SERVER_ERROR, &message));
            }
            cluster.index += 1;
            service.version = cluster.index;
            service.spec = body.clone();
            service.sent.push(body.clone());
            drop(guard);
            reconcile(state);
            json!({ "Warnings": null })
        }
        _ => return None,
    };
    Some(json_answer(StatusCode::OK, &answer))
}

impl Node {
    fn json(&self) -> Value {
        let mut told = json!({
            "ID": self.name,
            "Spec": { "Availability": "active" },
            "Description": { "Hostname": self.name },
            "Status": { "State": if self.down { "down" } else { "ready" }, "Addr": "10.9.8.7" },
        });
        if self.manager {
            told["ManagerStatus"] = json!({ "Leader": true, "Reachability": "reachable" });
        }
        told
    }
}

impl Service {
    fn json(&self, id: &str) -> Value {
        json!({ "ID": id, "Version": { "Index": self.version }, "Spec": self.spec })
    }
}

impl Task {
    fn json(&self, id: &str, attachable: bool) -> Value {
        json!({
            "ID": id,
            "CreatedAt": self.created.to_string(),
            "Spec": { "ContainerSpec": { "Image": "app:1" } },
            "ServiceID": self.service,
            "Slot": self.slot,
            "NodeID": self.node,
            "Status": { "State": self.state, "Timestamp": self.created.to_string() },
            "DesiredState": self.desired,
            "NetworksAttachments": [{
                "Network": {
                    "ID": "id of congress_default",
                    "Spec": { "Name": "congress_default", "Attachable": attachable },
                },
                "Addresses": [format!("{}/24", self.address)],
            }],
        })
    }
}
