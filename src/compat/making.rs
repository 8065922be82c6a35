//! The instances of one stack, of the hosts that it has.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::addition::addition;
use super::claim::Host;
use super::lower::{self, groups};
use super::mounts;
use super::orders::Routable;
use super::stack::Reading;
use crate::config::claimed::Claimed;
use crate::config::{Config, Instance, Issue};
use crate::inventory::Stack;
use crate::names::{Domain, StackName};

#[derive(Debug, Default)]
pub(super) struct Made {
    pub(super) groups: Vec<(lower::Group, Arc<Instance>)>,
    /// The instance of the entry, with what its containers add.
    pub(super) layered: Option<Arc<Instance>>,
    pub(super) troubles: Vec<String>,
}

pub(super) fn made(
    stack: &StackName,
    reading: &Reading,
    config: &Config,
    has: &BTreeSet<String>,
    (foreign, routable): (&BTreeSet<String>, &Routable),
) -> Made {
    let mut made = Made {
        troubles: reading.troubles.clone(),
        ..Made::default()
    };
    let mounted = &config.mounted;
    for mut group in groups(stack, reading, mounted, has, routable) {
        made.troubles.append(&mut group.troubles);
        check_certificate(&mut group.claimed, config, foreign, &mut made.troubles);
        mounts::never_in_the_clear(&mut group.claimed, &mut made.troubles);
        match config.instance_claimed(&group.name, stack, &group.claimed) {
            Ok(mut instance) => {
                mounts::close(&mut instance, mounted, &mut made.troubles);
                mounts::tell_of_clients(&group.claimed, mounted, &mut made.troubles);
                made.groups.push((group, Arc::new(instance)));
            }
            Err(issues) => made.troubles.extend(issues.iter().map(Issue::to_string)),
        }
    }
    made
}

pub(super) fn layered(
    reading: &Reading,
    content: &Stack,
    config: &Config,
    base: &Arc<Instance>,
    has: &BTreeSet<String>,
    (foreign, routable): (&BTreeSet<String>, &Routable),
) -> Made {
    let mut made = Made {
        troubles: reading.troubles.clone(),
        ..Made::default()
    };
    if has.is_empty() {
        return made;
    }
    let granted = |host: &Host| has.contains(&host.to_string());
    let mounted = &config.mounted;
    let mut claimed = addition(reading, mounted, granted, &mut made.troubles);
    // What the entry's wildcards stand for has a certificate once it is named.
    let redirects = |name: &Domain| match name {
        Domain::Exact(name) => base.site.redirect_from.contains(name),
        Domain::Below(_) => false,
    };
    let is_new = |name: &&Domain| !claimed.domains.contains(name) && !redirects(name);
    let named: Vec<Domain> = routable.keys().filter(is_new).cloned().collect();
    claimed.domains.extend(named);
    check_certificate(&mut claimed, config, foreign, &mut made.troubles);
    mounts::never_in_the_clear(&mut claimed, &mut made.troubles);
    match config.instance_with(base, content.services.keys(), &claimed) {
        Some(Ok(mut instance)) => {
            mounts::close(&mut instance, mounted, &mut made.troubles);
            mounts::tell_of_clients(&claimed, mounted, &mut made.troubles);
            made.layered = Some(Arc::new(instance));
        }
        Some(Err(issues)) => made.troubles.extend(issues.iter().map(Issue::to_string)),
        None => {}
    }
    made
}

/// What everybody may be served with who has no pair of their own.
const DEFAULT: &str = "default";

/// A stack is served with any pair but another's. What it is served with, the pair has to be for: that
/// is seen where the pair is read.
fn check_certificate(
    claimed: &mut Claimed,
    config: &Config,
    foreign: &BTreeSet<String>,
    troubles: &mut Vec<String>,
) {
    let Some(name) = claimed.certificate.take() else {
        return;
    };
    let why = if name == DEFAULT && !config.compat.trust_default_cert {
        "the default is trusted by nobody, as `[compat] trust-default-cert` says".to_owned()
    } else if foreign.contains(&name) {
        format!(
            "the pair is for a name of somebody else; to serve it all the same, write `certificate = \
             \"{name}\"` into an [[instance]] for the stack"
        )
    } else {
        claimed.certificate = Some(name);
        return;
    };
    troubles.push(format!(
        "{}: CERT_NAME `{name}` is ignored: {why}",
        claimed.by
    ));
}
