//! A replica, for those who send it something.

use std::net::SocketAddr;
use std::sync::Arc;

use super::load::Load;
use crate::names::ReplicaId;
use crate::plan::Usage;

/// One replica as a request uses it.
#[derive(Debug)]
pub struct Endpoint {
    pub id: ReplicaId,
    pub name: Arc<str>,
    pub address: SocketAddr,
    pub usage: Usage,
    /// Where the engine chooses who leaves: those of the lowest number first.
    pub turn: Option<u32>,
    /// Tells its pooled connections from those of every other life of every other container.
    pub pool_key: u64,
    pub(super) load: Arc<Load>,
}
