//! Where a replica listens, and what to ask it.

use std::net::{IpAddr, SocketAddr};

use crate::config::model::{Probe, Role, Service};
use crate::inventory::{Reach, Unit};
use crate::plan::UpstreamTls;
use crate::prober::Question;

/// What a container serves on when it declares no port.
const DEFAULT_PORT: u16 = 80;

/// Where a replica listens for what routes send it.
pub(in crate::control) fn address(service: &Service, unit: &Unit) -> Option<SocketAddr> {
    match unit.reach {
        Reach::At(ip) => {
            let port = port(service, unit).unwrap_or(DEFAULT_PORT);
            Some(SocketAddr::new(ip, port))
        }
        Reach::Host(ip) => Some(SocketAddr::new(ip, port(service, unit)?)),
        Reach::Loopback(port) => Some(SocketAddr::from(([127, 0, 0, 1], port))),
        Reach::Unreachable { .. } => None,
    }
}

/// The port that is said, else the only one there is.
fn port(service: &Service, unit: &Unit) -> Option<u16> {
    let sole = match unit.ports.as_slice() {
        [port] => Some(*port),
        _ => None,
    };
    let fixed = service
        .addresses
        .iter()
        .find(|fixed| fixed.to_string() == unit.name);
    fixed.map(SocketAddr::port).or(service.port).or(sole)
}

/// The ports by which the host leads to usher.
#[derive(Clone, Debug, Default)]
pub(in crate::control) struct OwnPorts {
    /// Those it listens on.
    pub(in crate::control) listened: Vec<u16>,
    /// Those that the engine has published for its container.
    pub(in crate::control) published: Vec<u16>,
}

impl OwnPorts {
    /// Those at an address of the host: its loopback, or what containers know it by.
    fn at(&self, host: IpAddr) -> &[u16] {
        match host.is_loopback() {
            true => &self.listened,
            false => &self.published,
        }
    }
}

/// Puts those on the host's network out of reach that would be somebody else there: with no port of
/// their own, or with one of usher's, which would ask itself. `routed`: ports that routes name in the
/// place of the service's.
pub(in crate::control) fn bar_impostors(
    units: &mut [Unit],
    service: &Service,
    routed: impl Iterator<Item = u16> + Clone,
    own: &OwnPorts,
) {
    for unit in units {
        let Reach::Host(ip) = unit.reach else {
            continue;
        };
        let said = port(service, unit);
        let mut all = said.into_iter().chain(routed.clone());
        let why = match all.find(|port| own.at(ip).contains(port)) {
            Some(port) => format!(
                "it uses the host's network, and the port {port} there is usher's own; let it listen \
                 on another one, and say which"
            ),
            None if said.is_none() => {
                "it uses the host's network, and nobody says which port there is \
                 its own; set VIRTUAL_PORT of the container, or `port` of the service"
                    .to_owned()
            }
            None => continue,
        };
        unit.reach = Reach::Unreachable {
            why,
            joinable: Vec::new(),
        };
    }
}

/// What to ask a replica, and where.
pub(in crate::control) struct Asked {
    pub(in crate::control) address: SocketAddr,
    pub(in crate::control) tls: Option<UpstreamTls>,
    pub(in crate::control) question: Question,
}

/// What to ask a replica, or `None` where running is ready. An address on no shared network is
/// never asked anything.
pub(in crate::control) fn question(service: &Service, unit: &Unit, host: &str) -> Option<Asked> {
    let probe = probe(service, unit)?;
    let address = address(service, unit)?;
    let asked = |question| Asked {
        address,
        tls: service.tls.clone(),
        question,
    };
    Some(match probe {
        Probe::Tcp { port: None } => asked(Question::Tcp),
        // What listens there need not be what routes lead to.
        Probe::Tcp { port: Some(port) } => Asked {
            address: SocketAddr::new(address.ip(), port),
            tls: None,
            question: Question::Tcp,
        },
        Probe::Http { path } => {
            let host = host.to_owned();
            asked(Question::Http { host, path })
        }
    })
}

/// Whether being ready takes more than running. Nobody is ready where nobody can get to.
pub(in crate::control) fn is_probed(service: &Service, unit: &Unit) -> bool {
    let carries = matches!(service.role, Role::Sessions { .. });
    let unreachable = matches!(unit.reach, Reach::Unreachable { .. });
    (carries && unreachable) || probe(service, unit).is_some()
}

fn probe(service: &Service, unit: &Unit) -> Option<Probe> {
    match (&service.probe, &service.role) {
        (Some(probe), _) => Some(probe.clone()),
        // The engine's own health check stands in for a probe that nobody wrote.
        (None, Role::Sessions { .. }) if unit.health.is_none() => Some(Probe::Tcp { port: None }),
        (None, Role::Fixed) if !service.addresses.is_empty() => Some(Probe::Tcp { port: None }),
        (None, _) => None,
    }
}
