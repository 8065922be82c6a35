//! Stacks that are Compose projects: what there is of them, and how usher gets there. Those of a
//! Swarm are listed beside them where the engine is a manager of one.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bollard::models::{ContainerInspectResponse, EndpointSettings};
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::assembly::{Assembly, Standpoint};
use super::attached::{self, JOINED};
use super::containers::{
    Family, Paths, endpoints, own_mounts, printers, published, runs_usher, started_at,
};
use super::docker;
use super::lease::{self, Leases};
use super::memory::{Known, Memory, Wanted};
use super::meter::Usage;
use super::session::{Asked, attend};
use super::superseded::{add_tasks, superseded};
use super::swarm::Swarm;
use super::{Action, Engine, EngineError, Line, Printer, Runner, Span, here};
use crate::inventory::{Inventory, Network};
use crate::names::StackName;

/// How often a Swarm is looked at while something changes that no event tells.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The engine forgets a holder that has gone within seconds, in milliseconds: whoever was started
/// anew should not read that another usher is there.
const FORGOTTEN_WITHIN: [u64; 5] = [500, 1_000, 1_500, 3_000, 5_000];

/// A Docker engine whose stacks are Compose projects, and those of its Swarm.
#[derive(Debug)]
pub struct Compose {
    pub(super) engine: docker::Engine,
    networks: NetworkPolicy,
    family: Family,
    /// The container usher runs in.
    own: Option<String>,
    filters: Vec<(String, String)>,
    /// Networks on which labels are believed.
    pub(super) trusted: Vec<String>,
    memory: Memory,
    assembly: Mutex<Assembly>,
    /// Whether what containers claim is listed, and those of no project that claim something.
    reads_claims: bool,
    leases: Leases,
    acted: Arc<Notify>,
    swarm: Arc<Swarm>,
    /// Whether it was said that usher's container is a way between networks.
    told_forwarding: AtomicBool,
    /// Whether it was said that the engine has no sessions.
    told_no_sessions: AtomicBool,
}

/// How containers may be reached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NetworkPolicy {
    /// Join in a network namespace of its own, else reach.
    Auto,
    Join,
    None,
    Reach,
}

impl Compose {
    /// Nothing is contacted yet. `endpoints` are tried in order.
    pub fn new(endpoints: Vec<String>, networks: NetworkPolicy) -> Self {
        Self {
            engine: docker::Engine::new(endpoints),
            networks,
            family: Family::default(),
            own: here::container_id(),
            filters: Vec::new(),
            trusted: Vec::new(),
            memory: Memory::default(),
            assembly: Mutex::default(),
            reads_claims: false,
            leases: Leases::default(),
            acted: Arc::default(),
            swarm: Arc::default(),
            told_forwarding: AtomicBool::new(false),
            told_no_sessions: AtomicBool::new(false),
        }
    }

    /// Speaks to engines over TCP only with the certificates of this folder.
    #[must_use]
    pub fn proving(mut self, certificates: Option<PathBuf>) -> Self {
        self.engine.prove_with(certificates);
        self
    }

    /// As if usher ran in this container of the engine.
    pub fn inside(mut self, container: &str) -> Self {
        self.own = Some(container.to_owned());
        self
    }

    /// Of containers with both, the address of IPv6 is taken.
    #[must_use]
    pub fn preferring_ipv6(mut self, prefers: bool) -> Self {
        self.family = match prefers {
            true => Family::V6,
            false => Family::V4,
        };
        self
    }

    /// Lists only containers that fit all of these, by key and value as `docker ps` filters them.
    #[must_use]
    pub fn filtered(mut self, filters: Vec<(String, String)>) -> Self {
        self.filters = filters;
        self
    }

    /// Whoever is on one of these networks is of the project that its labels name.
    #[must_use]
    pub fn trusting(mut self, networks: Vec<String>) -> Self {
        self.trusted = networks;
        self
    }

    /// Lists what containers claim too.
    #[must_use]
    pub fn reading_claims(mut self, reads_claims: bool) -> Self {
        self.reads_claims = reads_claims;
        self
    }

    /// usher's own container, where it is one of this engine and has a network of its own.
    async fn own_container(&self) -> Result<Option<ContainerInspectResponse>, EngineError> {
        let Some(id) = &self.own else {
            return Ok(None);
        };
        let container = self.engine.inspect(id).await?;
        Ok(container.filter(|container| {
            let mode = container
                .host_config
                .as_ref()
                .and_then(|host| host.network_mode.as_deref());
            mode != Some("host")
        }))
    }

    fn assembly(&self) -> MutexGuard<'_, Assembly> {
        // Whole stacks only: good after every operation, whoever panicked in between.
        self.assembly.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn paths(
        &self,
        own: Option<&ContainerInspectResponse>,
        networks: &[bollard::models::Network],
    ) -> Paths {
        let ids = || {
            endpoints(own)
                .into_values()
                .filter_map(|settings| settings.network_id)
                .collect()
        };
        match (self.networks, own) {
            (NetworkPolicy::None, _) => Paths::Nowhere,
            (NetworkPolicy::Auto | NetworkPolicy::Join | NetworkPolicy::Reach, None) => Paths::Host,
            (NetworkPolicy::Auto | NetworkPolicy::Join, Some(_)) => Paths::Attached {
                ids: ids(),
                join: true,
                host: attached::host(own, networks),
            },
            (NetworkPolicy::Reach, Some(_)) => Paths::Attached {
                ids: ids(),
                join: false,
                host: attached::host(own, networks),
            },
        }
    }

    async fn claim(&self, stack: &StackName) -> Result<(), EngineError> {
        if self.leases.holds(stack) {
            return Ok(());
        }
        // What was lost is asked for like any other.
        self.leases.give_back(stack);
        let engine = self.engine.id().await?;
        let socket = match lease::bind(&engine, stack) {
            Ok(socket) => socket,
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                return Err(self.claimed(stack).await);
            }
            Err(error) => {
                return Err(EngineError::Refused {
                    what: format!("let usher claim {stack}"),
                    why: error.to_string(),
                    status: None,
                });
            }
        };
        let mut pauses = FORGOTTEN_WITHIN.into_iter();
        let name = format!("usher/{stack}");
        let session = loop {
            let asked = self.engine.ask_for(&name).await?;
            match asked {
                Asked::Granted(session) => break Some(session),
                Asked::Taken => match pauses.next() {
                    Some(pause) => sleep(Duration::from_millis(pause)).await,
                    None => return Err(self.claimed(stack).await),
                },
                Asked::Unknown { why } => {
                    if !self.told_no_sessions.swap(true, Ordering::Relaxed) {
                        warn!(
                            reason = %why,
                            "no sessions can be had from the engine: an usher in another network namespace is not seen"
                        );
                    }
                    break None;
                }
            }
        };
        let acted = Arc::clone(&self.acted);
        self.leases
            .hold(stack, socket, session.map(attend), move || {
                acted.notify_one()
            });
        Ok(())
    }

    /// Another usher has it; which, as far as that can be seen.
    async fn claimed(&self, stack: &StackName) -> EngineError {
        let running = [("status".to_owned(), "running".to_owned())];
        let listed = self.engine.all_containers(&running).await;
        let others: Vec<String> = listed
            .unwrap_or_default()
            .iter()
            .filter(|container| container.id != self.own)
            .filter_map(runs_usher)
            .collect();
        EngineError::Claimed {
            stack: stack.clone(),
            whose: match others.as_slice() {
                [] => String::new(),
                [one] => format!(" (one runs in the container {one})"),
                many => format!(" (there are those in the containers {})", many.join(", ")),
            },
        }
    }

    /// Nothing of a stack is changed any more whose lease the engine gave to another.
    fn still_ours(&self, action: &Action, stack: &StackName) -> Result<(), EngineError> {
        if !self.leases.has_lost(stack) {
            return Ok(());
        }
        Err(EngineError::Refused {
            what: action.to_string(),
            why: "usher has lost the lease of the stack".to_owned(),
            status: None,
        })
    }

    async fn join(&self, network: &Network) -> Result<(), EngineError> {
        let Some(own) = &self.own else {
            return Ok(());
        };
        let settings = EndpointSettings {
            aliases: Some(vec![JOINED.to_owned()]),
            ..EndpointSettings::default()
        };
        self.engine.join(&network.id, own, settings).await
    }
}

#[async_trait]
impl Engine for Compose {
    fn kind(&self) -> &'static str {
        "docker"
    }

    async fn subscribe(&self) -> Result<BoxStream<'static, ()>, EngineError> {
        self.engine.connect().await?;
        self.memory.forget();
        let events = self.engine.events()?;
        let acted = stream::unfold(Arc::clone(&self.acted), |acted| async move {
            acted.notified().await;
            Some((Some(()), acted))
        });
        // Ends with the events, which end with the connection.
        let events = events.map(Some).chain(stream::once(async { None }));
        let looks = stream::unfold(Arc::clone(&self.swarm), |swarm| async move {
            let mut waited = Duration::ZERO;
            loop {
                sleep(LOOK_EVERY).await;
                waited += LOOK_EVERY;
                if swarm.ask_again_after().is_some_and(|after| waited >= after) {
                    return Some((Some(()), swarm));
                }
            }
        });
        let hints = stream::select(events, stream::select(acted, looks));
        Ok(hints
            .take_while(|hint| std::future::ready(hint.is_some()))
            .map(drop)
            .boxed())
    }

    async fn list(&self) -> Result<Inventory, EngineError> {
        let seen = self.refreshed().await?;
        let own = self.own_container().await?;
        let standpoint = Standpoint {
            own: own.as_ref().and_then(|own| own.id.clone()),
            paths: self.paths(own.as_ref(), &seen.networks),
            mounts: own_mounts(own.as_ref()),
            family: self.family,
            trusted: self.trusted.clone(),
        };
        let is_leaving = |container: &ContainerInspectResponse| {
            let id = container.id.as_deref();
            id.is_some_and(|id| self.engine.heard.is_leaving(id, || started_at(container)))
        };
        let mut inventory = Inventory {
            stacks: self.assembly().assemble(&seen, &standpoint, is_leaving),
            ..Inventory::default()
        };
        self.swarm.look(&self.engine, !seen.changes.all).await?;
        let Standpoint { paths, mounts, .. } = &standpoint;
        self.swarm
            .add_to(&mut inventory, paths, mounts.as_deref(), self.reads_claims);
        let mut assembly = self.assembly();
        assembly.complete(&mut inventory.stacks);
        let others = assembly
            .superseded()
            .filter(|container| container.id != standpoint.own);
        let old = others.filter_map(|container| superseded(container, mounts.as_deref()));
        inventory.superseded = old.collect();
        add_tasks(&mut inventory, assembly.deployed());
        drop(assembly);
        let networks = Arc::clone(&seen.networks);
        self.memory.heeded(seen);
        inventory.published = published(own.as_ref());
        inventory.lost = self.leases.lost();
        inventory.attached = attached::attached(own.as_ref(), &networks);
        let joined = inventory.attached.iter().filter(|one| one.joined);
        inventory.joined = joined.map(|one| one.network.clone()).collect();
        if !inventory.joined.is_empty()
            && here::forwards()
            && !self.told_forwarding.swap(true, Ordering::Relaxed)
        {
            warn!(
                reason = "net.ipv4.ip_forward is 1",
                instead = "docker run --sysctl net.ipv4.ip_forward=0",
                "usher's container passes packets on between the networks of the stacks"
            );
        }
        Ok(inventory)
    }

    async fn act(&self, action: &Action) -> Result<(), EngineError> {
        // No listing shows it.
        if let Action::Weigh {
            replica,
            shares,
            own,
            ..
        } = action
        {
            return self.weigh(replica, *shares, own).await;
        }
        let result = self.carry_out(action).await;
        // Events may be lost; what was done here shows in a listing all the same.
        self.engine.heard.touch_all();
        self.acted.notify_one();
        result
    }

    async fn close(&self) {
        self.leases.give_all_back();
    }

    async fn printers(&self, stack: &StackName) -> Result<Vec<Printer>, EngineError> {
        if self.swarm.has(stack) {
            return Ok(self.swarm.printers(stack));
        }
        let listed = self.engine.containers(&[]).await?;
        Ok(printers(&listed, stack))
    }

    async fn output(
        &self,
        printer: &str,
        span: Span,
    ) -> Result<BoxStream<'static, Line>, EngineError> {
        self.engine.output(printer, span)
    }

    async fn running(&self) -> Result<Vec<Runner>, EngineError> {
        self.everything_running().await
    }

    async fn usage(&self, handle: &str) -> Result<Option<Usage>, EngineError> {
        self.usage_of(handle).await
    }
}

impl Compose {
    /// What the maker of a container has set aside for it; `None` where nothing is known of it now.
    pub(super) fn memory_reserved_for(&self, container: &str) -> Option<u64> {
        let host = self.memory.container(container)?.host_config.clone()?;
        Some(u64::try_from(host.memory_reservation.unwrap_or(0)).unwrap_or(0))
    }

    async fn refreshed(&self) -> Result<Arc<Known>, EngineError> {
        let wanted = Wanted {
            claims: self.reads_claims,
            filters: &self.filters,
        };
        self.memory.refreshed(&self.engine, &wanted, now()).await
    }

    /// Every container that is looked at.
    pub(super) async fn known(&self) -> Result<Vec<Arc<ContainerInspectResponse>>, EngineError> {
        let known = self.refreshed().await?;
        let all = known.containers.values();
        Ok(all.map(|one| Arc::clone(&one.container)).collect())
    }

    async fn carry_out(&self, action: &Action) -> Result<(), EngineError> {
        if let Action::Remove { stack, .. }
        | Action::Start { stack, .. }
        | Action::Stop { stack, .. }
        | Action::Wake { stack, .. } = action
        {
            self.still_ours(action, stack)?;
        }
        match action {
            Action::Claim { stack } => self.claim(stack).await,
            Action::Release { stack } => {
                self.leases.give_back(stack);
                Ok(())
            }
            Action::Join { network, .. } => self.join(network).await,
            Action::Leave { network } => match &self.own {
                Some(own) => self.engine.leave(&network.id, own).await,
                None => Ok(()),
            },
            Action::Remove { replica, .. } => self.clear(replica).await,
            Action::Start { stack, service, .. } if self.swarm.has(stack) => {
                self.swarm.start(&self.engine, stack, service).await
            }
            Action::Stop {
                stack,
                service,
                proof,
                others,
                when,
                ..
            } if self.swarm.has(stack) => {
                let place = (stack, service);
                self.swarm
                    .stop(&self.engine, proof, others, *when, place)
                    .await
            }
            Action::Wake { stack, service, .. } => self.wake(stack, service).await,
            Action::Start { stack, service, .. } => self.start(stack, service).await,
            Action::Stop {
                proof, when, grace, ..
            } => self.stop(proof, *when, *grace).await,
            Action::Weigh { .. } => Ok(()),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the clock of a cache")]
fn now() -> Instant {
    Instant::now()
}
