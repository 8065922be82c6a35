//! The machines of a Swarm.

use std::collections::BTreeMap;

use super::wire;
use crate::inventory::{Node, NodeRole};

/// As the inventory tells them, by name.
pub(super) fn nodes(told: &[wire::Node]) -> Vec<Node> {
    let mut nodes: Vec<Node> = told
        .iter()
        .map(|node| Node {
            name: node.description.hostname.clone(),
            role: match &node.manager_status {
                None => NodeRole::Worker,
                Some(manager) => NodeRole::Manager {
                    reachable: manager.reachability != "unreachable",
                    leader: manager.leader,
                },
            },
            state: node.status.state.clone(),
            availability: node.spec.availability.clone(),
        })
        .collect();
    nodes.sort_by(|one, other| one.name.cmp(&other.name));
    nodes
}

/// By id.
pub(super) fn by_id(told: &[wire::Node]) -> BTreeMap<&str, &wire::Node> {
    told.iter().map(|node| (node.id.as_str(), node)).collect()
}

impl wire::Node {
    /// Its tasks are started anew elsewhere, whatever was last heard of them.
    pub(super) fn is_down(&self) -> bool {
        self.status.state == "down"
    }
}

/// Whether the managers refuse because too few of them are there: nobody can be asked or changed,
/// and what runs goes on.
pub(super) fn is_leaderless(why: &str) -> bool {
    let why = why.to_lowercase();
    ["does not have a leader", "quorum", "raft"]
        .iter()
        .any(|words| why.contains(words))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn managers_and_workers_are_told_apart() {
        let told: Vec<wire::Node> = serde_json::from_value(json!([
            { "ID": "2", "Description": { "Hostname": "b" }, "Spec": { "Availability": "drain" },
              "Status": { "State": "down" } },
            { "ID": "1", "Description": { "Hostname": "a" }, "Spec": { "Availability": "active" },
              "Status": { "State": "ready", "Addr": "10.1.0.1" },
              "ManagerStatus": { "Leader": true, "Reachability": "reachable" } },
        ]))
        .expect("nodes");
        let [a, b] = <[Node; 2]>::try_from(nodes(&told)).expect("two");
        assert_eq!(a.name, "a");
        let leads = NodeRole::Manager {
            reachable: true,
            leader: true,
        };
        assert_eq!(a.role, leads);
        assert_eq!((b.role, b.state.as_str()), (NodeRole::Worker, "down"));
        assert!(by_id(&told)["2"].is_down());
    }

    #[test]
    fn a_lost_quorum_is_told_by_its_words() {
        for (why, lost) in [
            (
                "rpc error: code = Unknown desc = The swarm does not have a leader. It's possible \
                 that too few managers are online. Make sure more than half of the managers are \
                 online. (503)",
                true,
            ),
            (
                "rpc error: code = Unknown desc = raft: no elected cluster leader",
                true,
            ),
            ("context deadline exceeded (500)", false),
        ] {
            assert_eq!(is_leaderless(why), lost, "{why}");
        }
    }
}
