//! `[[instance.route]]`, as it is written.

use std::path::PathBuf;

use crate::config::issue::At;
use crate::config::reader::{Leaf, Reader};
use crate::config::upstream_tls::RawTls;

#[derive(Clone, Debug)]
pub(in crate::config) struct RawRoute {
    pub(in crate::config) at: At,
    pub(in crate::config) prefix: Leaf<String>,
    pub(in crate::config) loose: Leaf<bool>,
    pub(in crate::config) to: Leaf<String>,
    pub(in crate::config) port: Leaf<u16>,
    pub(in crate::config) tls: Leaf<RawTls>,
    pub(in crate::config) files: Option<RawFiles>,
    pub(in crate::config) file: Option<RawFiles>,
    pub(in crate::config) stub_status: Leaf<bool>,
    pub(in crate::config) not_found: Leaf<bool>,
    pub(in crate::config) cache_control: Leaf<String>,
    pub(in crate::config) replace_prefix: Leaf<String>,
    pub(in crate::config) allow: Leaf<Vec<String>>,
    pub(in crate::config) auth: Option<RawAuth>,
}

impl RawRoute {
    pub(super) fn read(table: &mut Reader<'_, '_>) -> Self {
        Self {
            at: table.at().clone(),
            prefix: table.leaf("prefix"),
            loose: table.leaf("loose"),
            to: table.leaf("to"),
            port: table.leaf("port"),
            tls: table.leaf("tls"),
            files: table.optional_table("files", RawFiles::read),
            file: table.optional_table("file", RawFiles::read),
            stub_status: table.leaf("stub-status"),
            not_found: table.leaf("not-found"),
            cache_control: table.leaf("cache-control"),
            replace_prefix: table.leaf("replace-prefix"),
            allow: table.leaf("allow"),
            auth: table.optional_table("auth", RawAuth::read),
        }
    }
}

#[derive(Clone, Debug)]
pub(in crate::config) struct RawAuth {
    pub(in crate::config) at: At,
    pub(in crate::config) basic: Leaf<String>,
    pub(in crate::config) realm: Leaf<String>,
}

impl RawAuth {
    fn read(table: &mut Reader<'_, '_>) -> Self {
        Self {
            at: table.at().clone(),
            basic: table.leaf("basic"),
            realm: table.leaf("realm"),
        }
    }
}

#[derive(Clone, Debug)]
pub(in crate::config) struct RawFiles {
    pub(in crate::config) at: At,
    pub(in crate::config) dir: Leaf<PathBuf>,
    pub(in crate::config) volume: Leaf<String>,
    pub(in crate::config) path: Leaf<PathBuf>,
    pub(in crate::config) set: Leaf<PathBuf>,
    pub(in crate::config) listing: Leaf<bool>,
}

impl RawFiles {
    fn read(table: &mut Reader<'_, '_>) -> Self {
        Self {
            at: table.at().clone(),
            dir: table.leaf("dir"),
            volume: table.leaf("volume"),
            path: table.leaf("path"),
            set: table.leaf("set"),
            listing: table.leaf("listing"),
        }
    }
}

/// On an equal prefix the upper layer's route replaces the lower one's.
pub(super) fn routes_over(own: Vec<RawRoute>, below: &[RawRoute]) -> Vec<RawRoute> {
    let prefix = |route: &RawRoute| route.prefix.as_ref().map(|field| field.value.clone());
    let inherited = below
        .iter()
        .filter(|route| !own.iter().any(|own| prefix(own) == prefix(route)))
        .cloned()
        .collect::<Vec<_>>();
    own.into_iter().chain(inherited).collect()
}
