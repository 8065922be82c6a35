//! What can be changed, over the control socket.

use std::time::Duration;

use http::Request;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::answer::{Answer, Done, declined, json};
use crate::certs;
use crate::config::watch::{Outcome, Reload};
use crate::control::{Command, Wish};
use crate::names::{InstanceName, NameError};

const LONGEST_COMMAND: usize = 64 * 1024;

/// What can be changed.
#[derive(Clone, Debug)]
pub struct Levers {
    pub commands: mpsc::Sender<Command>,
    pub reloads: mpsc::Sender<Reload>,
    pub certificates: mpsc::Sender<certs::Wish>,
}

/// The body of a command on the control socket.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", tag = "do")]
pub enum Order {
    Auto {
        instance: String,
    },
    Drain {
        instance: String,
        service: String,
        replica: String,
    },
    Pause {
        instance: String,
    },
    Reload {
        force: bool,
    },
    Renew {
        name: String,
    },
    Resume {
        instance: String,
    },
    Start {
        instance: String,
        service: String,
    },
    Stop {
        instance: String,
        service: String,
    },
    Scale {
        instance: String,
        service: String,
        replicas: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seconds: Option<u64>,
    },
}

/// Carries out what is in the body of a request.
pub(super) async fn command(request: Request<Incoming>, levers: &Levers) -> Answer {
    let body = Limited::new(request.into_body(), LONGEST_COMMAND);
    let Ok(body) = body.collect().await else {
        return declined("the command is too long");
    };
    let order: Order = match serde_json::from_slice(&body.to_bytes()) {
        Ok(order) => order,
        Err(error) => return declined(&format!("this is no command: {error}")),
    };
    let done = match order {
        Order::Reload { force } => reload(levers, force).await,
        Order::Auto { instance } => of(&instance, levers, |instance| Wish::Auto { instance }).await,
        Order::Pause { instance } => {
            of(&instance, levers, |instance| Wish::Pause { instance }).await
        }
        Order::Drain {
            instance,
            service,
            replica,
        } => match (instance.parse(), service.parse()) {
            (Ok(instance), Ok(service)) => {
                let wish = Wish::Drain {
                    instance,
                    service,
                    replica,
                };
                obey(levers, wish).await
            }
            _ => Err(no_service(&instance, &service)),
        },
        Order::Renew { name } => renew(levers, &name).await,
        Order::Resume { instance } => {
            of(&instance, levers, |instance| Wish::Resume { instance }).await
        }
        Order::Start { instance, service } => match (instance.parse(), service.parse()) {
            (Ok(instance), Ok(service)) => obey(levers, Wish::Start { instance, service }).await,
            _ => Err(no_service(&instance, &service)),
        },
        Order::Stop { instance, service } => match (instance.parse(), service.parse()) {
            (Ok(instance), Ok(service)) => obey(levers, Wish::Stop { instance, service }).await,
            _ => Err(no_service(&instance, &service)),
        },
        Order::Scale {
            instance,
            service,
            replicas,
            seconds,
        } => match (instance.parse(), service.parse()) {
            (Ok(instance), Ok(service)) => {
                let wish = Wish::Scale {
                    instance,
                    service,
                    replicas,
                    span: seconds.map(Duration::from_secs),
                };
                obey(levers, wish).await
            }
            _ => Err(no_service(&instance, &service)),
        },
    };
    match done {
        Ok(done) => json(&done),
        Err(why) => declined(&why),
    }
}

fn no_service(instance: &str, service: &str) -> String {
    format!("`{instance}/{service}` is no service of an instance")
}

/// Asks for something that concerns one instance.
async fn of(
    instance: &str,
    levers: &Levers,
    wish: impl FnOnce(InstanceName) -> Wish,
) -> Result<Done, String> {
    match instance.parse() {
        Ok(name) => obey(levers, wish(name)).await,
        Err(error) => Err(format!("`{instance}` {error}")),
    }
}

async fn reload(levers: &Levers, force: bool) -> Result<Done, String> {
    let (reply, answer) = oneshot::channel();
    let sent = levers.reloads.send(Reload { force, reply }).await;
    let gone = "usher is stopping";
    sent.map_err(|_| gone)?;
    let Outcome { applied, lines } = answer.await.map_err(|_| gone)?;
    Ok(Done {
        done: applied,
        lines,
    })
}

async fn renew(levers: &Levers, name: &str) -> Result<Done, String> {
    let name = name
        .parse()
        .map_err(|error: NameError| format!("`{name}` {error}"))?;
    let (answer, answered) = oneshot::channel();
    let wish = certs::Wish::Renew { name, answer };
    let sent = levers.certificates.send(wish).await;
    let gone = || "usher is stopping".to_owned();
    sent.map_err(|_| gone())?;
    let line = answered.await.map_err(|_| gone())??;
    Ok(Done {
        done: true,
        lines: vec![line],
    })
}

async fn obey(levers: &Levers, wish: Wish) -> Result<Done, String> {
    let (reply, answer) = oneshot::channel();
    let sent = levers.commands.send(Command { wish, reply }).await;
    let gone = || "usher is stopping".to_owned();
    sent.map_err(|_| gone())?;
    let line = answer.await.map_err(|_| gone())??;
    Ok(Done {
        done: true,
        lines: vec![line],
    })
}
