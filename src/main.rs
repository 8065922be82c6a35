//! Arguments in, exit code out; and what a process may have only one of.

use std::process::ExitCode;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use clap::Parser;
use usher::app;
use usher::cli::Cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Panics of the whole process. Each cost one connection or task and nothing else.
static PANICS: AtomicU64 = AtomicU64::new(0);

/// For calls into the file system that nobody waits for any more.
const LAST_CALLS: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    // One provider for the whole tree: it has the post-quantum key exchange.
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        unreachable!("main runs once, and nothing before it installs a provider");
    }
    app::count_panics(&PANICS);
    let cli = Cli::parse();
    match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => {
            let code = ExitCode::from(runtime.block_on(cli.execute(&PANICS)));
            // Everything that has to end has ended. What still runs is a call into a volume that
            // hangs, or a file that is being compressed; neither may hold the process.
            runtime.shutdown_timeout(LAST_CALLS);
            code
        }
        Err(error) => {
            tracing::error!(%error, "no runtime");
            ExitCode::FAILURE
        }
    }
}
