//! Where a path of an instance leads.

use std::path::PathBuf;

use ipnet::IpNet;

use crate::names::{PathPattern, ServiceName};
use crate::plan::{BasicAuth, Listing, Upstream};

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Route {
    /// As it is written; with a pattern, that.
    pub prefix: String,
    pub pattern: Option<PathPattern>,
    pub loose: bool,
    pub allow: Vec<IpNet>,
    pub auth: Option<BasicAuth>,
    pub cache_control: Option<String>,
    pub replace_prefix: Option<String>,
    pub upstream: Upstream,
    pub target: RouteTarget,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RouteTarget {
    File(FileSource),
    Files(FileSource, Listing),
    /// 404, whatever a shorter prefix would say.
    Nothing,
    Service(ServiceName),
    StubStatus,
}

/// Where files come from; control finds out where that is on this machine.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FileSource {
    Dir {
        dir: PathBuf,
        path: PathBuf,
        set: Option<PathBuf>,
    },
    Volume {
        volume: String,
        path: PathBuf,
        /// The folder that is made anew as a whole; `path` lies in it.
        set: Option<PathBuf>,
    },
}
