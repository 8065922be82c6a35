//! `usher drain`: has one replica leave, and tells how it goes until it has.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::sleep;

use super::client::{ask, command};
use super::{At, Exit};
use crate::admin::Order;

const LOOK_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    at: At,
    /// INSTANCE/SERVICE/REPLICA; the replica by its name, or the beginning of its id
    target: String,
    /// Do not wait until it has left
    #[arg(long)]
    no_wait: bool,
}

/// The part of an instance's statistics that is looked at.
#[derive(Debug, Deserialize)]
struct Instance {
    services: Vec<Service>,
}

#[derive(Debug, Deserialize)]
struct Service {
    name: String,
    replicas: Vec<Replica>,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
struct Replica {
    id: String,
    name: String,
    state: String,
    websockets: u32,
    streams: u32,
    drain_deadline: Option<String>,
}

impl Replica {
    fn line(&self) -> String {
        let sessions = self.websockets + self.streams;
        let open = match sessions {
            1 => "1 session is open".to_owned(),
            many => format!("{many} sessions are open"),
        };
        let until = match &self.drain_deadline {
            Some(deadline) if sessions > 0 => format!(", closed at {deadline} at the latest"),
            _ => String::new(),
        };
        format!("{} is {}: {open}{until}", self.name, self.state)
    }
}

pub(super) async fn drain(arguments: Arguments) -> Exit {
    let Arguments {
        at,
        target,
        no_wait,
    } = arguments;
    let parts: Vec<&str> = target.splitn(3, '/').collect();
    let [instance, service, replica] = parts[..] else {
        eprintln!(
            "error: `{target}` is not INSTANCE/SERVICE/REPLICA, for example \
             congress/web/congress_web_2"
        );
        return Exit::BadUsage;
    };
    let order = Order::Drain {
        instance: instance.to_owned(),
        service: service.to_owned(),
        replica: replica.to_owned(),
    };
    let exit = command(&at, &order).await;
    if exit != Exit::Fine || no_wait {
        return exit;
    }
    let mut told: Option<Replica> = None;
    loop {
        // Another one may get its name, but not its id.
        let is_it = |known: &Replica| match &told {
            Some(told) => known.id == told.id,
            None => known.name == replica || replica.starts_with(&known.id),
        };
        let found = match look(&at, instance, service).await {
            Ok(replicas) => replicas.into_iter().find(is_it),
            Err(why) => {
                eprintln!("error: {why}");
                return Exit::Failed;
            }
        };
        let Some(found) = found else {
            eprintln!("{replica} has left");
            return Exit::Fine;
        };
        if told.as_ref() != Some(&found) {
            eprintln!("{}", found.line());
        }
        told = Some(found);
        sleep(LOOK_EVERY).await;
    }
}

/// The replicas as they are now.
async fn look(at: &At, instance: &str, service: &str) -> Result<Vec<Replica>, String> {
    let body = ask(at, &format!("/stats/{instance}"), None).await?;
    let found: Instance = serde_json::from_slice(&body)
        .map_err(|error| format!("the answer is not understood: {error}"))?;
    let services = found.services.into_iter();
    Ok(services
        .filter(|known| known.name == service)
        .flat_map(|known| known.replicas)
        .collect())
}
