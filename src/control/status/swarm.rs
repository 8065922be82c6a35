//! The Swarm: its machines, and whether its managers can still decide.

use super::super::controller::Controller;
use super::finding::{Finding, Level};
use super::model::{MemberStatus, NodeStatus};
use crate::inventory::{Node, NodeRole, Swarm};

impl Controller {
    fn swarm(&self) -> Option<&Swarm> {
        self.listing.inventory.as_deref()?.swarm.as_ref()
    }

    pub(super) fn wrong_tasks(&self) -> u64 {
        self.swarm().map_or(0, |swarm| swarm.wrong_tasks)
    }

    /// This machine, and the others of its Swarm, which nobody measures.
    pub(super) fn nodes(&self, mut own: NodeStatus) -> Vec<NodeStatus> {
        let members = self.swarm().map_or(&[][..], |swarm| &swarm.nodes);
        let mut others = Vec::new();
        for node in members {
            let level = level(node);
            if node.name == own.name && own.swarm.is_none() {
                own.status = own.status.max(level);
                own.swarm = Some(member(node));
            } else {
                others.push(NodeStatus {
                    name: node.name.clone(),
                    load_15m_per_core: None,
                    memory_available: None,
                    disk_available: None,
                    status: level,
                    swarm: Some(member(node)),
                });
            }
        }
        others.insert(0, own);
        others
    }

    pub(super) fn judge_swarm(&self) -> Finding {
        let (level, text) = judge(self.swarm()?)?;
        let replicas = self
            .tenants
            .values()
            .flat_map(|tenant| tenant.services.values())
            .flat_map(|service| service.replicas.values());
        let served = replicas
            .filter(|replica| replica.unit.task.is_some())
            .count();
        // Where nothing of it is served, it is only a neighbour.
        let level = if served == 0 { Level::Warning } else { level };
        Some((level, text))
    }
}

fn is_unreachable(node: &Node) -> bool {
    matches!(node.role, NodeRole::Manager { reachable, .. } if !reachable)
}

fn level(node: &Node) -> Level {
    if node.state == "ready" && !is_unreachable(node) {
        Level::Healthy
    } else {
        Level::Warning
    }
}

fn member(node: &Node) -> MemberStatus {
    let (role, leader) = match node.role {
        NodeRole::Manager { leader, .. } => ("manager", leader),
        NodeRole::Worker => ("worker", false),
    };
    let state = if is_unreachable(node) {
        "unreachable"
    } else {
        &node.state
    };
    MemberStatus {
        role,
        leader,
        state: state.to_owned(),
        availability: node.availability.clone(),
    }
}

fn judge(swarm: &Swarm) -> Finding {
    if let Some(why) = &swarm.lost {
        let text = format!("{why}; what is known is served, nothing of it is started or stopped");
        return Some((Level::Critical, text));
    }
    let managers = || {
        swarm
            .nodes
            .iter()
            .filter(|node| matches!(node.role, NodeRole::Manager { .. }))
    };
    let names = |nodes: Vec<&Node>| {
        let names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
        names.join(", ")
    };
    let away: Vec<&Node> = managers().filter(|node| is_unreachable(node)).collect();
    if !away.is_empty() {
        let all = managers().count();
        let left = all - away.len();
        // More than half of them have to agree.
        let spare = left.saturating_sub(all / 2 + 1);
        let text = format!(
            "the other managers of the Swarm do not reach {}: {left} of {all} are left, and {}; \
             bring it back, or put another one in its place",
            names(away),
            match spare {
                0 => "without one more nothing can be changed".to_owned(),
                spare => format!("{spare} more can be lost"),
            }
        );
        return Some((Level::Warning, text));
    }
    let down: Vec<&Node> = swarm
        .nodes
        .iter()
        .filter(|node| node.state != "ready")
        .collect();
    if let Some(first) = down.first() {
        let text = format!(
            "of the Swarm, {} is {}: its tasks are started anew on the others; bring it back, or \
             take it out with `docker node rm --force`",
            names(down.clone()),
            first.state
        );
        return Some((Level::Warning, text));
    }
    let left_out = swarm.left_out.first()?;
    Some((Level::Warning, left_out.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, state: &str, role: NodeRole) -> Node {
        Node {
            name: name.to_owned(),
            role,
            state: state.to_owned(),
            availability: "active".to_owned(),
        }
    }

    fn manager(name: &str, reachable: bool) -> Node {
        let role = NodeRole::Manager {
            reachable,
            leader: false,
        };
        node(name, "ready", role)
    }

    fn judged(nodes: Vec<Node>, lost: Option<&str>) -> Option<(Level, String)> {
        judge(&Swarm {
            nodes,
            lost: lost.map(ToOwned::to_owned),
            ..Swarm::default()
        })
    }

    #[test]
    fn a_whole_swarm_is_not_talked_about() {
        let nodes = vec![manager("a", true), node("b", "ready", NodeRole::Worker)];
        assert_eq!(judged(nodes, None), None);
    }

    #[test]
    fn what_is_wrong_is_named_with_what_is_left() {
        let nodes = vec![manager("a", true), node("b", "down", NodeRole::Worker)];
        let (level, text) = judged(nodes, None).expect("a node is down");
        assert_eq!(level, Level::Warning);
        assert!(
            text.contains("b is down") && text.contains("docker node rm"),
            "{text}"
        );

        let nodes = || vec![manager("a", true), manager("b", true), manager("c", false)];
        let (_, text) = judged(nodes(), None).expect("a manager is away");
        assert!(
            text.contains("2 of 3") && text.contains("without one more"),
            "{text}"
        );
        let mut five = nodes();
        five.extend([manager("d", true), manager("e", true)]);
        let (_, text) = judged(five, None).expect("a manager is away");
        assert!(
            text.contains("4 of 5") && text.contains("1 more can be lost"),
            "{text}"
        );

        let (level, text) = judged(nodes(), Some("no leader")).expect("lost");
        assert_eq!(level, Level::Critical);
        assert!(text.starts_with("no leader"), "{text}");
    }
}
