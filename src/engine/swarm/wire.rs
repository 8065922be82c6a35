//! What a manager tells, as far as it is read. What is sent back is never made of this: unknown
//! fields have to survive.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Info {
    pub(super) swarm: Local,
}

/// The engine's own place in the Swarm.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Local {
    #[serde(rename = "NodeID")]
    pub(super) node_id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Version {
    pub(super) index: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Service {
    #[serde(rename = "ID")]
    pub(super) id: String,
    pub(super) version: Version,
    pub(super) spec: ServiceSpec,
    pub(super) update_status: Option<UpdateStatus>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct ServiceSpec {
    pub(super) name: String,
    pub(super) labels: Option<BTreeMap<String, String>>,
    pub(super) task_template: Value,
    pub(super) mode: Mode,
    pub(super) endpoint_spec: Option<EndpointSpec>,
}

/// Neither is set for jobs and for the global mode.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Mode {
    pub(super) replicated: Option<Replicated>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Replicated {
    pub(super) replicas: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct EndpointSpec {
    pub(super) ports: Option<Vec<Port>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Port {
    pub(super) protocol: Option<String>,
    pub(super) target_port: u16,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct UpdateStatus {
    pub(super) state: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Task {
    #[serde(rename = "ID")]
    pub(super) id: String,
    pub(super) created_at: String,
    pub(super) spec: Value,
    #[serde(rename = "ServiceID")]
    pub(super) service_id: String,
    /// 0 for tasks that are each node's own.
    pub(super) slot: u64,
    /// Empty until it is placed.
    #[serde(rename = "NodeID")]
    pub(super) node_id: String,
    pub(super) status: TaskStatus,
    pub(super) desired_state: String,
    pub(super) networks_attachments: Option<Vec<Attachment>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct TaskStatus {
    pub(super) timestamp: String,
    pub(super) state: String,
    /// Why it is not placed or has failed.
    pub(super) err: Option<String>,
    pub(super) container_status: Option<ContainerStatus>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct ContainerStatus {
    #[serde(rename = "ContainerID")]
    pub(super) container_id: Option<String>,
    pub(super) exit_code: Option<i64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Attachment {
    pub(super) network: AttachedNetwork,
    /// With the length of the prefix: `10.0.1.3/24`.
    pub(super) addresses: Option<Vec<String>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct AttachedNetwork {
    #[serde(rename = "ID")]
    pub(super) id: String,
    pub(super) spec: NetworkSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct NetworkSpec {
    pub(super) name: String,
    pub(super) attachable: bool,
    pub(super) ingress: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Node {
    #[serde(rename = "ID")]
    pub(super) id: String,
    pub(super) spec: NodeSpec,
    pub(super) description: Description,
    pub(super) status: NodeStatus,
    pub(super) manager_status: Option<ManagerStatus>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct NodeSpec {
    pub(super) availability: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Description {
    pub(super) hostname: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct NodeStatus {
    pub(super) state: String,
    pub(super) addr: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct ManagerStatus {
    pub(super) leader: bool,
    pub(super) reachability: String,
}

impl Service {
    /// `None` where it is not for usher to say how many there are.
    pub(super) fn replicas(&self) -> Option<u64> {
        self.spec.mode.replicated.as_ref()?.replicas
    }

    /// A label of the service, or of its containers.
    pub(super) fn label(&self, key: &str) -> Option<&str> {
        let own = self.spec.labels.as_ref().and_then(|labels| labels.get(key));
        let container = &self.spec.task_template["ContainerSpec"]["Labels"][key];
        own.map(String::as_str).or_else(|| container.as_str())
    }

    /// The names of all its labels, and of those of its containers.
    pub(super) fn label_names(&self) -> impl Iterator<Item = &String> {
        let own = self.spec.labels.iter().flat_map(BTreeMap::keys);
        let containers = &self.spec.task_template["ContainerSpec"]["Labels"];
        own.chain(containers.as_object().into_iter().flat_map(Map::keys))
    }

    /// The state of an update that is not over.
    pub(super) fn update(&self) -> Option<&str> {
        let state = self.update_status.as_ref()?.state.as_deref()?;
        (!matches!(state, "" | "completed" | "rollback_completed")).then_some(state)
    }
}

impl Task {
    /// Swarm wants it to be there.
    pub(super) fn is_wanted(&self) -> bool {
        matches!(self.desired_state.as_str(), "ready" | "running")
    }

    pub(super) fn is_running(&self) -> bool {
        self.status.state == "running"
    }

    /// As people know it: `congress_web.3`, or of a node's own task `congress_web.host-1`.
    pub(super) fn name(&self, service: &str, node: &str) -> String {
        match self.slot {
            0 => format!("{service}.{node}"),
            slot => format!("{service}.{slot}"),
        }
    }
}
