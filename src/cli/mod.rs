//! The command line. Each command is a file; what they print is for people, or JSON on request.

// A command line writes to its terminal; nothing else does.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the command line prints"
)]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

mod cert;
mod check;
mod client;
mod colour;
mod demo;
mod drain;
mod environment;
mod events;
mod hash_password;
mod init;
mod logs;
mod run;
mod show;
mod simulate;
mod status;
mod table;

use crate::admin::Order;
use crate::config::model::NamesFromContainers;

/// Edge proxy for live events on Docker.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serves
    Run {
        /// [default: config/usher.toml if it exists, else /etc/usher/usher.toml]
        #[arg(long)]
        config: Option<PathBuf>,
        /// End with exit code 4 when the engine does not answer at the start
        #[arg(long)]
        require_engine: bool,
        /// Whether VIRTUAL_HOST of a container claims a name, where the file does not say: off,
        /// listed or open. No file is needed then
        #[arg(long, value_name = "MODE")]
        names_from_containers: Option<NamesFromContainers>,
    },
    /// Says everything that is wrong with a configuration, without serving
    Check {
        /// [default: config/usher.toml if it exists, else /etc/usher/usher.toml]
        #[arg(long)]
        config: Option<PathBuf>,
        /// Ask neither the engine nor DNS
        #[arg(long)]
        offline: bool,
        /// As for `run`: for a container of the image, whose command has it
        #[arg(long, value_name = "MODE")]
        names_from_containers: Option<NamesFromContainers>,
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Writes a configuration for the stacks that run now; or, with --compose, a stack's Compose
    /// file without the proxy of its own
    Init(init::Arguments),
    /// What a configuration comes to: every key with its value, and where that was said
    Show {
        /// [default: config/usher.toml if it exists, else /etc/usher/usher.toml]
        #[arg(long)]
        config: Option<PathBuf>,
        /// As for `run`, with which the variables of nginx-proxy count: for a container of the image,
        /// whose command has it
        #[arg(long, value_name = "MODE")]
        names_from_containers: Option<NamesFromContainers>,
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// What certificates there are, and what may be done with them
    #[command(subcommand)]
    Cert(cert::CertVerb),
    /// The whole product on loopback: two instances, simulated attendees, real scaling
    Demo(demo::Arguments),
    /// One line per instance
    Status {
        #[command(flatten)]
        at: At,
        /// Again every second, until Ctrl-C
        #[arg(short, long)]
        watch: bool,
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// The log of decisions, with their reasons
    Events {
        #[command(flatten)]
        at: At,
        /// Go on with what is decided from now on, until Ctrl-C
        #[arg(short, long)]
        follow: bool,
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// What the replicas of an instance print, merged, each line with its replica and stream
    Logs(logs::Arguments),
    /// Reads the configuration again; prints what changed, or why nothing did
    Reload {
        #[command(flatten)]
        at: At,
        /// Apply even what would stop serving most names
        #[arg(long)]
        force: bool,
    },
    /// Starts what rests of a service that is not scaled, such as a database
    Start {
        #[command(flatten)]
        at: At,
        /// INSTANCE/SERVICE
        target: String,
    },
    /// Stops a service that is not scaled, when nobody is inside any more
    Stop {
        #[command(flatten)]
        at: At,
        /// INSTANCE/SERVICE
        target: String,
    },
    /// Sets the number of replicas of a service, until `usher auto` or for a while
    Scale {
        #[command(flatten)]
        at: At,
        /// INSTANCE/SERVICE
        target: String,
        replicas: u32,
        /// For example 90s, 15m, 2h
        #[arg(long = "for", value_parser = crate::config::parse_span)]
        span: Option<Duration>,
    },
    /// Lets the autoscaler decide again
    Auto {
        #[command(flatten)]
        at: At,
        instance: String,
    },
    /// Lets one replica take nothing new and leave when it is empty; another takes its place where
    /// the demand is for it
    Drain(drain::Arguments),
    /// Lets nothing new through to an instance: it waits a little, then a page says that the site
    /// is being maintained. What is open goes on
    Pause {
        #[command(flatten)]
        at: At,
        instance: String,
    },
    /// Ends a pause
    Resume {
        #[command(flatten)]
        at: At,
        instance: String,
    },
    /// Runs the autoscaler over synthetic or recorded audiences, and says what it is worth
    Simulate(simulate::Arguments),
    /// The bcrypt hash of a password, read from standard input, or typed twice and not shown
    HashPassword {
        /// Print NAME:HASH, as a line of a file of passwords has it
        name: Option<String>,
    },
    /// Prints what a shell needs to complete these commands
    Completions { shell: Shell },
    /// A replica of the demo that holds websockets
    #[command(hide = true)]
    DemoWeb {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        name: String,
    },
    /// A replica of the demo that works
    #[command(hide = true)]
    DemoWorker,
}

/// Which usher is meant.
#[derive(Clone, Debug, clap::Args)]
struct At {
    /// The control socket [default: the one the configuration names]
    #[arg(long)]
    socket: Option<PathBuf>,
    /// [default: config/usher.toml if it exists, else /etc/usher/usher.toml]
    #[arg(long)]
    config: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Format {
    Json,
    #[default]
    Text,
}

/// How a command ended, as a number for scripts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Exit {
    Fine = 0,
    Failed = 1,
    BadUsage = 2,
    CannotBind = 3,
    NoEngine = 4,
}

impl Cli {
    /// Carries the command out. `panics` counts those of the process.
    ///
    /// Returns the exit code.
    pub async fn execute(self, panics: &'static AtomicU64) -> u8 {
        let exit = match self.command {
            Verb::Run {
                config,
                require_engine,
                names_from_containers,
            } => run::run(config, names_from_containers, require_engine, panics).await,
            Verb::Check {
                config,
                offline,
                names_from_containers,
                format,
            } => check::check(config, names_from_containers, offline, format).await,
            Verb::Init(arguments) => init::init(arguments).await,
            Verb::Show {
                config,
                names_from_containers,
                format,
            } => show::show(config, names_from_containers, format),
            Verb::Cert(verb) => verb.execute().await,
            Verb::Demo(arguments) => demo::run(arguments, panics).await,
            Verb::Status { at, watch, format } => status::status(&at, format, watch).await,
            Verb::Events { at, follow, format } => events::events(&at, follow, format).await,
            Verb::Logs(arguments) => logs::logs(arguments).await,
            Verb::Reload { at, force } => client::command(&at, &Order::Reload { force }).await,
            Verb::Start { at, target } => {
                let order = |instance, service| Order::Start { instance, service };
                of_service(&at, &target, order).await
            }
            Verb::Stop { at, target } => {
                let order = |instance, service| Order::Stop { instance, service };
                of_service(&at, &target, order).await
            }
            Verb::Scale {
                at,
                target,
                replicas,
                span,
            } => {
                let order = |instance, service| Order::Scale {
                    instance,
                    service,
                    replicas,
                    seconds: span.map(|span| span.as_secs()),
                };
                of_service(&at, &target, order).await
            }
            Verb::Auto { at, instance } => client::command(&at, &Order::Auto { instance }).await,
            Verb::Pause { at, instance } => client::command(&at, &Order::Pause { instance }).await,
            Verb::Resume { at, instance } => {
                client::command(&at, &Order::Resume { instance }).await
            }
            Verb::Drain(arguments) => drain::drain(arguments).await,
            Verb::Simulate(arguments) => simulate::simulate(&arguments),
            Verb::HashPassword { name } => hash_password::hash_password(name.as_deref()),
            Verb::Completions { shell } => {
                let mut command = Self::command();
                clap_complete::generate(shell, &mut command, "usher", &mut std::io::stdout());
                Exit::Fine
            }
            Verb::DemoWeb { listen, name } => demo::web(listen, &name).await,
            Verb::DemoWorker => demo::worker().await,
        };
        exit as u8
    }
}

const HERE: &str = "config/usher.toml";
const SYSTEM: &str = "/etc/usher/usher.toml";

/// The configuration to use: the one that was named, or the first of the usual ones that exists.
fn config_file(named: Option<PathBuf>) -> Option<PathBuf> {
    named.or_else(|| {
        [HERE, SYSTEM]
            .into_iter()
            .map(PathBuf::from)
            .find(|path| path.exists())
    })
}

/// Where a configuration may appear while usher runs without one.
fn future_config_file() -> PathBuf {
    let folder = Path::new(HERE).parent().filter(|folder| folder.exists());
    PathBuf::from(if folder.is_some() { HERE } else { SYSTEM })
}

/// Says where a configuration belongs, and with what it may begin.
fn no_config() -> Exit {
    eprintln!("error: there is no configuration; put one like this at {HERE} or {SYSTEM}:\n");
    println!("{}", include_str!("../../config/starter.toml"));
    Exit::BadUsage
}

fn print_issues(path: &Path, issues: &[crate::config::Issue]) {
    for issue in issues {
        eprintln!("{}: {issue}", issue.level.word());
    }
    let errors = issues
        .iter()
        .filter(|issue| issue.level == crate::config::Level::Error)
        .count();
    if errors > 0 {
        let s = if errors == 1 { "" } else { "s" };
        eprintln!("{errors} error{s} in {}", path.display());
    }
}

/// Asks for something that concerns one service, `INSTANCE/SERVICE`.
async fn of_service(at: &At, target: &str, order: impl FnOnce(String, String) -> Order) -> Exit {
    let Some((instance, service)) = target.split_once('/') else {
        eprintln!("error: `{target}` is not INSTANCE/SERVICE, for example congress/web");
        return Exit::BadUsage;
    };
    client::command(at, &order(instance.to_owned(), service.to_owned())).await
}
