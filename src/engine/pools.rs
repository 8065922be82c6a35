//! How many networks the engine still has addresses for.
//!
//! Each stack takes a network, and each network a subnet of the engine's pools. When they are used up no
//! further stack starts, whatever room the machine has.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use super::{Compose, EngineError};

/// What the engine has unless its `daemon.json` says otherwise.
const USUAL: [(&str, u8); 16] = [
    ("172.17.0.0/16", 16),
    ("172.18.0.0/16", 16),
    ("172.19.0.0/16", 16),
    ("172.20.0.0/16", 16),
    ("172.21.0.0/16", 16),
    ("172.22.0.0/16", 16),
    ("172.23.0.0/16", 16),
    ("172.24.0.0/16", 16),
    ("172.25.0.0/16", 16),
    ("172.26.0.0/16", 16),
    ("172.27.0.0/16", 16),
    ("172.28.0.0/16", 16),
    ("172.29.0.0/16", 16),
    ("172.30.0.0/16", 16),
    ("172.31.0.0/16", 16),
    ("192.168.0.0/16", 20),
];

/// Of a pool with small subnets, no more than so many are looked at.
const MOST: usize = 4096;

impl Compose {
    /// How many networks can still be made; `MOST` stands for more than anybody needs.
    ///
    /// # Errors
    /// The engine is away, or says no.
    pub async fn free_networks(&self) -> Result<usize, EngineError> {
        let info = self.engine.raw_get("/info").await?;
        let networks = self.engine.networks().await?;
        let taken: Vec<IpNet> = networks
            .iter()
            .filter_map(|network| network.ipam.as_ref()?.config.as_deref())
            .flatten()
            .filter_map(|pool| pool.subnet.as_deref()?.parse().ok())
            .collect();
        Ok(free(&pools(&info["DefaultAddressPools"]), &taken))
    }
}

/// As the engine tells them: where each begins, and how long the prefixes of its subnets are.
fn pools(told: &Value) -> Vec<(IpNet, u8)> {
    let pool = |pool: &Value| {
        let base = pool["Base"].as_str()?.parse().ok()?;
        Some((base, u8::try_from(pool["Size"].as_u64()?).ok()?))
    };
    match told.as_array().filter(|told| !told.is_empty()) {
        Some(told) => told.iter().filter_map(pool).collect(),
        None => USUAL
            .iter()
            .filter_map(|(base, size)| Some((base.parse().ok()?, *size)))
            .collect(),
    }
}

/// Only those of IPv4 are counted: a network without one is not made.
fn free(pools: &[(IpNet, u8)], taken: &[IpNet]) -> usize {
    let overlaps = |one: &IpNet, other: &IpNet| one.contains(other) || other.contains(one);
    let subnets = pools
        .iter()
        .filter(|(base, _)| matches!(base.addr(), IpAddr::V4(_)))
        .filter_map(|(base, size)| base.subnets(*size).ok())
        .flatten();
    subnets
        .filter(|subnet| !taken.iter().any(|taken| overlaps(subnet, taken)))
        .take(MOST)
        .count()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn taken(nets: &[&str]) -> Vec<IpNet> {
        nets.iter().map(|net| net.parse().expect("net")).collect()
    }

    #[test]
    fn the_usual_pools_are_for_thirty_one_networks() {
        let usual = pools(&Value::Null);
        assert_eq!(free(&usual, &[]), 31);
        let some = ["172.17.0.0/16", "192.168.16.0/20", "10.1.0.0/16"];
        assert_eq!(free(&usual, &taken(&some)), 29);
        // One that somebody chose lies across several.
        assert_eq!(free(&usual, &taken(&["192.168.0.0/17"])), 23);
    }

    #[test]
    fn pools_of_the_operator_count_and_those_of_ipv6_do_not() {
        let told = json!([
            { "Base": "10.9.0.0/22", "Size": 24 },
            { "Base": "fd00:9::/56", "Size": 64 },
        ]);
        let own = pools(&told);
        assert_eq!(free(&own, &taken(&["10.9.1.0/24", "fd00:9::/64"])), 3);
        let wide = pools(&json!([{ "Base": "10.0.0.0/8", "Size": 26 }]));
        assert_eq!(free(&wide, &[]), MOST);
    }
}
