//! What a container says about its keys, its certificate and the certificates of its clients.

use super::reading::{LABELS, Reading};
use crate::config::variables::flag;
use crate::plan::{ClientVerify, KeyType};

/// The labels that are read here, without what all of them begin with.
pub(super) const READ: [&str; 2] = [CLIENTS, DEFAULT];
const CLIENTS: &str = "ssl_verify_client";
const DEFAULT: &str = "trust-default-cert";

/// `None` is not said.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(in crate::compat) struct Tls {
    pub(in crate::compat) key_type: Option<KeyType>,
    /// Whether `default.crt` will do where there is no pair.
    pub(in crate::compat) trust_default: Option<bool>,
    pub(in crate::compat) clients: Option<Clients>,
}

/// What is made of clients where somebody vouches for them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::compat) enum Clients {
    Asked(ClientVerify),
    NotAsked,
}

impl Tls {
    /// With what another one says where this is silent.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            key_type: self.key_type.or(other.key_type),
            trust_default: self.trust_default.or(other.trust_default),
            clients: self.clients.or(other.clients),
        }
    }
}

impl Reading<'_> {
    pub(super) fn tls(&mut self) -> Tls {
        let key_type = self.acme("KEYSIZE").and_then(|(key, size)| {
            let parsed = size.parse::<KeyType>();
            if let Err(why) = parsed {
                self.ignored(&key, size, &format!("it {why}, and the usual one is made"));
            }
            parsed.ok()
        });
        let trust_default = self.label(DEFAULT, |value| {
            flag(value).ok_or("it is neither true nor false")
        });
        let clients = self.label(CLIENTS, |value| match value.to_ascii_lowercase().as_str() {
            "on" => Ok(Clients::Asked(ClientVerify::Required)),
            "optional" => Ok(Clients::Asked(ClientVerify::Optional)),
            "optional_no_ca" => Ok(Clients::Asked(ClientVerify::Any)),
            "off" => Ok(Clients::NotAsked),
            _ => Err("it is none of on, optional, optional_no_ca and off"),
        });
        Tls {
            key_type,
            trust_default,
            clients,
        }
    }

    fn label<T>(
        &mut self,
        label: &str,
        parse: impl Fn(&str) -> Result<T, &'static str>,
    ) -> Option<T> {
        let value = self.get(&format!("{LABELS}{label}"))?;
        parse(value)
            .map_err(|why| self.ignored(&format!("the label {label}"), value, why))
            .ok()
    }
}
