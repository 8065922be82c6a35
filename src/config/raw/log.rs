//! `[log]`, as it is written.

use serde::Deserialize;

use crate::config::reader::{Leaf, Reader};

#[derive(Default)]
pub(in crate::config) struct RawLog {
    pub(in crate::config) format: Leaf<RawLogFormat>,
    pub(in crate::config) access: Leaf<bool>,
    pub(in crate::config) addresses: Leaf<RawAddresses>,
    pub(in crate::config) queries: Leaf<bool>,
    pub(in crate::config) access_keys: Leaf<RawAccessKeys>,
    pub(in crate::config) access_format: Leaf<RawAccessFormat>,
}

impl RawLog {
    pub(super) fn read(table: &mut Reader<'_, '_>) -> Self {
        Self {
            format: table.leaf("format"),
            access: table.leaf("access"),
            addresses: table.leaf("addresses"),
            queries: table.leaf("queries"),
            access_keys: table.leaf("access-keys"),
            access_format: table.leaf("access-format"),
        }
    }

    pub(super) fn over(self, below: Self) -> Self {
        let Self {
            format,
            access,
            addresses,
            queries,
            access_keys,
            access_format,
        } = self;
        Self {
            format: format.or(below.format),
            access: access.or(below.access),
            addresses: addresses.or(below.addresses),
            queries: queries.or(below.queries),
            access_keys: access_keys.or(below.access_keys),
            access_format: access_format.or(below.access_format),
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum RawLogFormat {
    Json,
    Text,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum RawAddresses {
    Full,
    Masked,
    Off,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::config) enum RawAccessKeys {
    NginxProxy,
    Usher,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum RawAccessFormat {
    Combined,
    Usher,
}
