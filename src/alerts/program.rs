//! Alerts for a program of the operator's.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

const WITHIN: Duration = Duration::from_secs(30);
/// Of what the program complains, for the reason.
const SAID_AT_MOST: u64 = 400;

/// Runs a program with the text on its standard input, without a shell and with nothing of usher's
/// environment but `PATH`.
///
/// # Errors
/// It does not run, fails, or takes longer than [`WITHIN`]; then it is killed with all it began.
pub(super) async fn run(command: &[String], text: &[u8]) -> Result<(), String> {
    let [program, arguments @ ..] = command else {
        unreachable!("a command is never empty");
    };
    let path = std::env::var_os("PATH").map(|path| ("PATH", path));
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(path)
        .process_group(0)
        .kill_on_drop(true)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{program} cannot be run: {error}"))?;
    let group = child.id();
    let Ok(ended) = timeout(WITHIN, converse(&mut child, text)).await else {
        let group = group.and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(group) = group {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let seconds = WITHIN.as_secs();
        return Err(format!("{program} did not end within {seconds} s"));
    };
    match ended {
        Ok((status, _)) if status.success() => Ok(()),
        Ok((status, said)) => Err(format!("{program} ended with {status}{}", quoted(&said))),
        Err(error) => Err(format!("{program} was lost: {error}")),
    }
}

async fn converse(child: &mut Child, text: &[u8]) -> std::io::Result<(ExitStatus, Vec<u8>)> {
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let tell = async {
        if let Some(mut stdin) = stdin {
            // One that does not want to know may still have done what it is for.
            let _ = stdin.write_all(text).await;
        }
    };
    let listen = async {
        let mut said = Vec::new();
        if let Some(mut stderr) = stderr {
            let _ = (&mut stderr)
                .take(SAID_AT_MOST)
                .read_to_end(&mut said)
                .await;
            // It must not wait because nobody reads.
            let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
        }
        said
    };
    let (status, said, ()) = tokio::join!(child.wait(), listen, tell);
    Ok((status?, said))
}

fn quoted(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said.trim_ascii());
    if text.is_empty() {
        String::new()
    } else {
        format!(": {}", text.replace(char::is_control, " "))
    }
}
