//! Everything the control plane knows, in one place. What is done with it, stage by stage, is in the
//! files above it; in which order, `step` says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Instant;

use super::event::Now;
use super::facts::EngineFacts;
use super::host::guard::Guard;
use super::host::room::{Census, Room};
use super::kept::Kept;
use super::listing::built::{Built, Fitted};
use super::listing::of_stacks::OfStacks;
use super::service::ServiceState;
use super::status::{Memory, Shown, Totals};
use super::tenant::Tenant;
use super::touched::Stale;
use crate::autoscaler::Resources;
use crate::compat::Compat;
use crate::config::model::Service;
use crate::config::watch::Current;
use crate::engine::Listing;
use crate::host::Host;
use crate::names::{InstanceName, StackName};
use crate::plan::{Certificates, Plan, Report, Wanted};
use crate::prober::Targets;

/// Everything the control plane knows.
#[derive(Debug)]
pub struct Controller {
    pub(super) current: Current,
    pub(super) engine: EngineFacts,
    pub(super) listing: Listing,
    pub(super) tenants: BTreeMap<InstanceName, Tenant>,
    pub(super) of_stacks: OfStacks,
    pub(super) targets: Arc<Targets>,
    pub(super) wanted: Arc<Wanted>,
    pub(super) shown: Shown,
    /// What tenants were last brought in line with.
    pub(super) built: Built,
    /// What the entries for many make of stacks.
    pub(super) fitted: BTreeMap<StackName, Fitted>,
    /// Stacks that an entry for many fits and that cannot become instances, with the reason.
    pub(super) misfits: BTreeMap<StackName, String>,
    pub(super) compat: Compat,
    /// What was said about the claims of containers, so that it is logged once.
    pub(super) told: BTreeSet<String>,
    /// As `told`, about proxies that run beside usher.
    pub(super) told_beside: Vec<String>,
    pub(super) report: Arc<Report>,
    /// Of all instances in it.
    pub(super) totals: Totals,
    pub(super) certificates: Arc<Certificates>,
    /// Certificates that could not be exported, and why.
    pub(super) exports: Arc<BTreeMap<InstanceName, String>>,
    /// Files that cannot be served, and why.
    pub(super) unserved: Arc<BTreeMap<String, String>>,
    /// Receivers of alerts that cannot be told, and why.
    pub(super) undelivered: Arc<BTreeMap<String, String>>,
    /// Why the state cannot be kept on disk, while it cannot.
    pub(super) unkept: Option<String>,
    pub(super) host: Host,
    pub(super) plan: Arc<Plan>,
    pub(super) memory: Memory,
    /// Networks an action is about, and when it may be tried again.
    pub(super) networks: BTreeMap<String, Option<Instant>>,
    /// What replicas may still take. `None`: nobody knows.
    pub(super) room: Option<Room>,
    /// What was started since the last look at the host.
    pub(super) started: Resources,
    pub(super) census: Census,
    /// When replicas were last given their share of the processors.
    pub(super) weighed_at: Option<Instant>,
    pub(super) guard: Guard,
    /// Stacks that are this usher's to change.
    pub(super) leases: BTreeSet<StackName>,
    pub(super) reported_at: Option<Instant>,
    /// What the stages have not looked at yet.
    pub(super) stale: Stale,
    /// When everybody was looked at last.
    pub(super) all_settled_at: Option<Instant>,
    /// When everybody was brought in line with a listing.
    pub(super) all_listed_at: Option<Instant>,
    /// What an earlier process kept of instances that are not there yet.
    pub(super) kept: Kept,
    /// When usher did.
    pub(super) began: SystemTime,
}

impl Controller {
    /// One that has not heard of anything yet.
    pub(super) fn blank(current: Current, engine: EngineFacts, now: Now) -> Self {
        Self {
            current,
            engine,
            listing: Listing {
                inventory: None,
                last_sync: None,
                error: None,
            },
            tenants: BTreeMap::new(),
            of_stacks: OfStacks::default(),
            targets: Arc::default(),
            wanted: Arc::default(),
            shown: Shown::default(),
            built: Built::default(),
            fitted: BTreeMap::new(),
            misfits: BTreeMap::new(),
            compat: Compat::default(),
            told: BTreeSet::new(),
            told_beside: Vec::new(),
            report: Arc::default(),
            totals: Totals::default(),
            certificates: Arc::default(),
            exports: Arc::default(),
            unserved: Arc::default(),
            undelivered: Arc::default(),
            unkept: None,
            host: Host::default(),
            plan: Arc::default(),
            memory: Memory::new(now),
            networks: BTreeMap::new(),
            room: None,
            started: Resources::default(),
            census: Census::default(),
            weighed_at: None,
            guard: Guard::default(),
            leases: BTreeSet::new(),
            reported_at: None,
            stale: Stale::everything(),
            all_settled_at: None,
            all_listed_at: None,
            kept: Kept::default(),
            began: now.wall,
        }
    }

    /// The one that a stack is changed for.
    pub(super) fn tenant_mut(&mut self, stack: &StackName) -> Option<&mut Tenant> {
        let first = self.of_stacks.of(stack).next()?;
        self.tenants.get_mut(first)
    }

    /// Every service that is scaled, with its tenant.
    pub(super) fn scaled(&self) -> impl Iterator<Item = (&Tenant, &Service, &ServiceState)> {
        let tenants = self.tenants.values().filter(|tenant| tenant.is_scaled());
        tenants.flat_map(|tenant| {
            let services = tenant.scaled_services();
            services.map(move |(service, state)| (tenant, service, state))
        })
    }
}
