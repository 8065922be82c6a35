//! `usher init`: what usher needs in the place of nginx-proxy and its companion.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::timeout;

use super::{Exit, HERE, SYSTEM};
use crate::app;
use crate::cause::chain;
use crate::config::model::{NamesFromContainers, Networks};
use crate::engine::DockerHost;
use crate::engine::setup::Proxy;

mod compose_file;
mod entry;
mod starter;

const ENGINE_WITHIN: Duration = Duration::from_secs(10);
/// What Compose looks for, in its order.
const COMPOSE_FILES: [&str; 4] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
];
const EDITED: &str = "docker-compose.usher.yml";

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Where the configuration is written; `-` prints it [default: config/usher.toml where there is
    /// a folder config, else /etc/usher/usher.toml]
    #[arg(long, conflicts_with = "compose")]
    config: Option<PathBuf>,
    /// The folder of a stack: writes docker-compose.usher.yml beside its Compose file, without its
    /// proxy, the proxy's companion and published ports of databases
    #[arg(long, value_name = "DIR")]
    compose: Option<PathBuf>,
}

pub(super) async fn init(arguments: Arguments) -> Exit {
    let Arguments { config, compose } = arguments;
    match compose {
        Some(folder) => edit(&folder),
        None => start(config).await,
    }
}

async fn start(named: Option<PathBuf>) -> Exit {
    let docker_host = DockerHost::told(|name| std::env::var(name).ok());
    let engine = app::docker_for(
        None,
        Networks::Reach,
        NamesFromContainers::Open,
        docker_host,
    );
    let seen = match timeout(ENGINE_WITHIN, engine.seen()).await {
        Ok(Ok(seen)) => seen,
        Ok(Err(error)) => {
            eprintln!(
                "error: {}; is Docker running, and may this user use its socket?",
                chain(&error)
            );
            return Exit::NoEngine;
        }
        Err(_) => {
            let seconds = ENGINE_WITHIN.as_secs();
            eprintln!("error: the engine did not answer within {seconds} s");
            return Exit::NoEngine;
        }
    };
    let text = starter::text(&seen);
    for proxy in seen.proxies.iter().filter(|proxy| proxy.alive) {
        let Proxy { name, image, .. } = proxy;
        match &proxy.place {
            Some((stack, service)) => {
                let folder = proxy.folder.as_deref().unwrap_or("DIR");
                eprintln!(
                    "warning: stack {stack}: its service {service} ({image}) does what usher does; when \
                     usher is to take over, `usher init --compose {folder}` writes its Compose file \
                     without it"
                );
            }
            None => eprintln!(
                "warning: container {name} ({image}) does what usher does; when usher is to take over, \
                 `docker rm -f {name}`"
            ),
        }
    }
    match named {
        Some(path) if path.as_os_str() == "-" => {
            print!("{text}");
            Exit::Fine
        }
        named => {
            let path = named.unwrap_or_else(|| {
                let here = Path::new(HERE);
                let folder = here.parent().is_some_and(Path::is_dir);
                PathBuf::from(if folder { HERE } else { SYSTEM })
            });
            write_new(&path, &text, "look through it, then `usher check`")
        }
    }
}

fn edit(folder: &Path) -> Exit {
    let found = COMPOSE_FILES
        .map(|name| folder.join(name))
        .into_iter()
        .find(|path| path.is_file());
    let Some(path) = found else {
        eprintln!(
            "error: {} has no Compose file; looked for {}",
            folder.display(),
            COMPOSE_FILES.join(", ")
        );
        return Exit::BadUsage;
    };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("error: {} cannot be read: {error}", path.display());
            return Exit::Failed;
        }
    };
    match compose_file::without_proxy(&text) {
        Ok(edited) if edited.removed.is_empty() => {
            println!("{}: nothing is to be removed", path.display());
            Exit::Fine
        }
        Ok(edited) => {
            for what in &edited.removed {
                eprintln!("without {what}");
            }
            let next = format!("in that folder: docker-compose -f {EDITED} up -d --remove-orphans");
            write_new(&folder.join(EDITED), &edited.text, &next)
        }
        Err(error) => {
            eprintln!("error: {}:{error}", path.display());
            Exit::BadUsage
        }
    }
}

/// Never over what somebody has written.
fn write_new(path: &Path, text: &str, next: &str) -> Exit {
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    match file.and_then(|mut file| file.write_all(text.as_bytes())) {
        Ok(()) => {
            println!("wrote {}; {next}", path.display());
            Exit::Fine
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            eprintln!(
                "error: {} is there already and is left as it is; move it away first",
                path.display()
            );
            Exit::BadUsage
        }
        Err(error) => {
            eprintln!("error: {} cannot be written: {error}", path.display());
            Exit::Failed
        }
    }
}
