//! An engine in memory that does what a test says, and remembers what it was asked.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::sync::{Notify, watch};
use usher::engine::{Action, Engine, EngineError, Line, Printer, Span};
use usher::inventory::{Attached, Inventory, Origin, Phase, Reach, Stack, Unit};
use usher::names::{ReplicaId, StackName};

#[derive(Debug, Default)]
pub struct FakeEngine {
    inventory: Mutex<Inventory>,
    away: Mutex<bool>,
    hangs: watch::Sender<bool>,
    pub actions: Mutex<Vec<Action>>,
    changed: Notify,
}

/// A running container at this address.
pub fn unit(id: &str, started: u64, address: IpAddr) -> Unit {
    Unit {
        id: ReplicaId::new(id, started),
        name: id.to_owned(),
        image: "image".to_owned(),
        make: String::new(),
        phase: Phase::Running,
        dismissed: false,
        since: SystemTime::UNIX_EPOCH,
        reach: Reach::At(address),
        networks: Vec::new(),
        ports: Vec::new(),
        mounts: Vec::new(),
        health: None,
        origin: Origin::Declared { number: 1 },
        task: None,
        claims: Arc::default(),
    }
}

impl FakeEngine {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Puts units in the place of those the service had.
    pub fn set(&self, stack: &str, service: &str, units: Vec<Unit>) {
        self.stack(stack, |stack| {
            stack.services.insert(service.parse().expect("name"), units);
        });
    }

    pub fn stack(&self, name: &str, change: impl FnOnce(&mut Stack)) {
        let mut inventory = self.inventory.lock().expect("lock");
        change(inventory.stacks.change(name.parse().expect("name")));
        drop(inventory);
        self.changed.notify_one();
    }

    /// Puts usher on these networks.
    pub fn attach(&self, networks: Vec<Attached>) {
        self.inventory.lock().expect("lock").attached = networks;
        self.changed.notify_one();
    }

    /// As after `docker-compose down`.
    pub fn down(&self, stack: &str) {
        self.inventory.lock().expect("lock").stacks.remove(stack);
        self.changed.notify_one();
    }

    /// As if the daemon had gone, or come back.
    pub fn go_away(&self, away: bool) {
        *self.away.lock().expect("lock") = away;
        self.changed.notify_one();
    }

    /// Takes calls and answers none, or does again.
    pub fn hang(&self, hangs: bool) {
        self.hangs.send_replace(hangs);
        self.changed.notify_one();
    }

    fn here(&self) -> Result<(), EngineError> {
        if *self.away.lock().expect("lock") {
            return Err(EngineError::Unreachable {
                endpoint: "fake".to_owned(),
                source: "gone".into(),
            });
        }
        Ok(())
    }
}

/// The engine as usher owns it, while the test keeps the other half.
#[derive(Debug)]
pub struct Shared(pub Arc<FakeEngine>);

#[async_trait]
impl Engine for Shared {
    fn kind(&self) -> &'static str {
        "docker"
    }

    async fn subscribe(&self) -> Result<BoxStream<'static, ()>, EngineError> {
        self.0.here()?;
        let engine = Arc::clone(&self.0);
        Ok(stream::unfold(engine, |engine| async move {
            engine.changed.notified().await;
            Some(((), engine))
        })
        .boxed())
    }

    async fn list(&self) -> Result<Inventory, EngineError> {
        self.0.here()?;
        let mut hangs = self.0.hangs.subscribe();
        // The test holds the other half for as long as usher runs.
        let _ = hangs.wait_for(|hangs| !hangs).await;
        Ok(self.0.inventory.lock().expect("lock").clone())
    }

    async fn printers(&self, _stack: &StackName) -> Result<Vec<Printer>, EngineError> {
        Ok(Vec::new())
    }

    async fn output(
        &self,
        _printer: &str,
        _span: Span,
    ) -> Result<BoxStream<'static, Line>, EngineError> {
        Ok(stream::empty().boxed())
    }

    async fn act(&self, action: &Action) -> Result<(), EngineError> {
        self.0.here()?;
        self.0.actions.lock().expect("lock").push(action.clone());
        Ok(())
    }
}
