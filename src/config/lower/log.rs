//! What the log holds, from what was written to what is meant.

use super::values::value_or;
use crate::config::model::{AccessFormat, AccessKeys, Addresses, Log, LogFormat};
use crate::config::raw::{RawAccessFormat, RawAccessKeys, RawAddresses, RawLog, RawLogFormat};

impl RawLog {
    pub(in crate::config) fn lower(self) -> Log {
        let Self {
            format,
            access,
            addresses,
            queries,
            access_keys,
            access_format,
        } = self;
        Log {
            format: match format.map(|field| field.value) {
                None | Some(RawLogFormat::Json) => LogFormat::Json,
                Some(RawLogFormat::Text) => LogFormat::Text,
            },
            access: value_or(access, true),
            addresses: match addresses.map(|field| field.value) {
                None | Some(RawAddresses::Full) => Addresses::Full,
                Some(RawAddresses::Masked) => Addresses::Masked,
                Some(RawAddresses::Off) => Addresses::Off,
            },
            queries: value_or(queries, false),
            access_keys: match access_keys.map(|field| field.value) {
                None | Some(RawAccessKeys::Usher) => AccessKeys::Usher,
                Some(RawAccessKeys::NginxProxy) => AccessKeys::NginxProxy,
            },
            access_format: match access_format.map(|field| field.value) {
                None | Some(RawAccessFormat::Usher) => AccessFormat::Usher,
                Some(RawAccessFormat::Combined) => AccessFormat::Combined,
            },
        }
    }
}
