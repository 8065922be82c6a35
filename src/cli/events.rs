//! `usher events`: what was decided and why, and with `-f` what is decided from now on.

use serde::{Deserialize, Serialize};

use super::client::{Record, ask, follow};
use super::{At, Exit, Format};

/// A decision as it is told.
#[derive(Debug, Deserialize, Serialize)]
struct Decision {
    number: u64,
    at: String,
    instance: String,
    service: String,
    from: u32,
    to: u32,
    reason: String,
}

pub(super) async fn events(at: &At, following: bool, format: Format) -> Exit {
    if !following {
        return match taken(at).await {
            Ok(decisions) => {
                match format {
                    Format::Json => println!("{}", serde_json::json!(decisions)),
                    Format::Text => decisions.iter().for_each(|taken| print(taken, format)),
                }
                Exit::Fine
            }
            Err(why) => failed(&why),
        };
    }
    let mut told = 0;
    let why = follow(at, async |record: Record| match record.event.as_str() {
        // The first record: from here on nothing is missed, so what was before is told now.
        "full" => match taken(at).await {
            Ok(decisions) => tell(&decisions, &mut told, format),
            Err(why) => eprintln!("warning: {why}"),
        },
        "decision" => {
            if let Ok(taken) = serde_json::from_str::<Decision>(&record.data) {
                tell(&[taken], &mut told, format);
            }
        }
        _ => {}
    })
    .await;
    failed(&why)
}

async fn taken(at: &At) -> Result<Vec<Decision>, String> {
    let body = ask(at, "/decisions", None).await?;
    serde_json::from_slice(&body).map_err(|error| format!("the answer is not understood: {error}"))
}

/// Those that were not told yet.
fn tell(decisions: &[Decision], told: &mut u64, format: Format) {
    for taken in decisions.iter().filter(|taken| taken.number > *told) {
        print(taken, format);
    }
    let newest = decisions.iter().map(|taken| taken.number).max();
    *told = newest.unwrap_or(0).max(*told);
}

fn print(taken: &Decision, format: Format) {
    let Decision {
        number: _,
        at,
        instance,
        service,
        from,
        to,
        reason,
    } = taken;
    match format {
        Format::Json => println!("{}", serde_json::json!(taken)),
        Format::Text => println!("{at}  {instance}/{service}  {from} → {to}  {reason}"),
    }
}

fn failed(why: &str) -> Exit {
    eprintln!("error: {why}");
    Exit::Failed
}
