//! What containers ask for, for who writes it into a file.

use super::conflicts::Owners;
use super::grants::Declared;
use super::lower::groups;
use super::orders::Judges;
use super::stack::Reading;
use crate::config::claimed::Claimed;
use crate::config::model::NamesFromContainers;
use crate::config::mounted::Mounted;
use crate::inventory::Stack;
use crate::names::StackName;

/// What the containers of one stack ask for.
#[derive(Debug, Default)]
pub struct Asking {
    /// One for each site. Those of hosts that lead to the same in the same way are one.
    pub sites: Vec<AskedSite>,
    /// What of it is not followed, a sentence each.
    pub troubles: Vec<String>,
    /// Hosts it may not have, with the container that asks for each.
    pub refused: Vec<(String, String)>,
}

/// One site of a stack.
#[derive(Debug)]
pub struct AskedSite {
    pub claimed: Claimed,
    /// Whether several services stand in for each other in it, which no entry can say.
    pub is_joined: bool,
}

/// Reads what the containers of a stack say, as it is followed where names come from containers.
/// `has` says which of its hosts, as they are written, the stack may have.
pub fn asking(stack: &StackName, content: &Stack, has: impl Fn(&str) -> bool) -> Asking {
    let reading = Reading::new(content, NamesFromContainers::Open);
    let mut troubles = reading.troubles.clone();
    let own = reading.hosts.keys().filter(|host| has(host));
    let own = own.cloned().collect();
    // Nobody else is there whose names they could be.
    let judges = Judges {
        owners: &Owners::default(),
        declared: &Declared::default(),
        shapes: &[],
    };
    let routable = judges.routable(stack, &reading, &own, None, &mut troubles);
    let groups = groups(stack, &reading, &Mounted::default(), &own, &routable);
    let sites = groups.into_iter().map(|mut group| {
        troubles.append(&mut group.troubles);
        AskedSite {
            is_joined: !group.joined.is_empty(),
            claimed: group.claimed,
        }
    });
    let sites = sites.collect();
    let hosts = reading.hosts.into_iter();
    let refused = hosts.filter(|(host, _)| !has(host));
    Asking {
        sites,
        troubles,
        refused: refused.map(|(host, claim)| (host, claim.by)).collect(),
    }
}
