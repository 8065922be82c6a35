//! Who runs the replicas, and whether containers name themselves.

use std::str::FromStr;

/// Who runs the replicas.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum EngineChoice {
    Docker {
        /// `None`: `DOCKER_HOST`, else the usual sockets.
        endpoint: Option<String>,
        networks: Networks,
        /// Only containers that fit all of them are listed: key and value, as `docker ps` has them.
        filters: Vec<(String, String)>,
        /// Which address is taken of a container that has both.
        prefer_ipv6: bool,
        /// Networks by name: whoever is on one is of the project that its labels name.
        trusted_networks: Vec<String>,
    },
    /// Nobody: only fixed addresses are served.
    None,
    Processes,
}

/// How containers are reached.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Networks {
    /// Join when usher has a network namespace of its own, else reach.
    #[default]
    Auto,
    Join,
    None,
    Reach,
}

/// Whether the variables of a container may claim a name.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum NamesFromContainers {
    /// Only names that the entry of its stack has.
    Listed,
    #[default]
    Off,
    /// Any name that nobody else has.
    Open,
}

impl FromStr for NamesFromContainers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "listed" => Ok(Self::Listed),
            "off" => Ok(Self::Off),
            "open" => Ok(Self::Open),
            _ => Err(format!(
                "`{text}` is none of \"off\", \"listed\" and \"open\""
            )),
        }
    }
}
