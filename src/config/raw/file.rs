//! A whole file: the main one or an included one.

use std::path::PathBuf;

use super::acme::RawAcme;
use super::admin::RawAdmin;
use super::certs::{RawCerts, RawCompat};
use super::engine::RawEngine;
use super::instance::RawInstance;
use super::listen::RawListen;
use super::log::RawLog;
use super::policy::{RawLimits, RawScale};
use super::status::{RawAlert, RawStatus};
use crate::config::issue::Issue;
use crate::config::reader::{Leaf, Reader};
use crate::config::units::Span;

/// One file: the main one or an included one.
pub(in crate::config) struct RawFile {
    pub(in crate::config) include: Leaf<Vec<String>>,
    pub(in crate::config) state_dir: Leaf<PathBuf>,
    pub(in crate::config) listen: RawListen,
    pub(in crate::config) admin: RawAdmin,
    pub(in crate::config) engine: RawEngine,
    pub(in crate::config) certs: RawCerts,
    pub(in crate::config) compat: RawCompat,
    pub(in crate::config) acme: Option<RawAcme>,
    pub(in crate::config) alerts: Vec<RawAlert>,
    pub(in crate::config) log: RawLog,
    pub(in crate::config) status: RawStatus,
    pub(in crate::config) stop_within: Leaf<Span>,
    pub(in crate::config) limits: RawLimits,
    pub(in crate::config) scale: RawScale,
    pub(in crate::config) instances: RawInstances,
}

impl RawFile {
    pub(in crate::config) fn read(table: &mut Reader<'_, '_>) -> Self {
        Self {
            include: table.leaf("include"),
            state_dir: table.table("state", |table| table.leaf("dir")),
            listen: table.table("listen", RawListen::read),
            admin: table.table("admin", RawAdmin::read),
            engine: table.table("engine", RawEngine::read),
            certs: table.table("certs", RawCerts::read),
            compat: table.table("compat", RawCompat::read),
            acme: table.optional_table("acme", RawAcme::read),
            alerts: table.tables("alert", RawAlert::read),
            log: table.table("log", RawLog::read),
            status: table.table("status", RawStatus::read),
            stop_within: table.table("stop", |table| table.leaf("within")),
            limits: table.table("limits", RawLimits::read),
            scale: table.table("scale", RawScale::read),
            instances: read_instances(table),
        }
    }

    /// `self` with `below` where it is silent.
    pub(in crate::config) fn over(self, below: Self) -> Self {
        let Self {
            include,
            state_dir,
            listen,
            admin,
            engine,
            certs,
            compat,
            acme,
            alerts,
            log,
            status,
            stop_within,
            limits,
            scale,
            instances,
        } = self;
        Self {
            include: include.or(below.include),
            state_dir: state_dir.or(below.state_dir),
            listen: listen.over(below.listen),
            admin: admin.over(below.admin),
            engine: engine.over(below.engine),
            certs: certs.over(below.certs),
            compat: compat.over(below.compat),
            acme: match (acme, below.acme) {
                (Some(own), Some(below)) => Some(own.over(below)),
                (own, below) => own.or(below),
            },
            // Receivers and instances are whole things, and those of both are there.
            alerts: alerts.into_iter().chain(below.alerts).collect(),
            log: log.over(below.log),
            status: status.over(below.status),
            stop_within: stop_within.or(below.stop_within),
            limits: limits.over(&below.limits),
            scale: scale.over(&below.scale),
            instances: instances.into_iter().chain(below.instances).collect(),
        }
    }
}

/// Each with the issues of its own text.
pub(in crate::config) type RawInstances = Vec<(RawInstance, Vec<Issue>)>;

/// All that an included file may hold.
pub(in crate::config) fn read_instances(table: &mut Reader<'_, '_>) -> RawInstances {
    table.tables_apart("instance", RawInstance::read)
}
