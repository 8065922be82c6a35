//! `usher simulate`: what the autoscaler would do, over synthetic and recorded audiences.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;

use tokio::time::Instant;

use super::{Exit, Format};
use crate::simulate::{self, NAMES, Row, Trace};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// ramp, morning, storm, heavy, outage, glitches, lunch, flash, diurnal, noisy, or a file
    /// {"every": SECONDS, "sessions": [...], "losses": [{"at", "share", "for"}],
    /// "events": [{"from", "until", "sessions"}]} [default: the first ten]
    #[arg(value_name = "TRACE")]
    traces: Vec<String>,
    /// How many variations of each synthetic trace; the first is as described
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    seeds: u64,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// One run that is still to be done.
struct Job {
    trace: String,
    seed: u64,
    recorded: Option<Trace>,
}

pub(super) fn simulate(arguments: &Arguments) -> Exit {
    let jobs = match jobs(arguments) {
        Ok(jobs) => jobs,
        Err(why) => {
            eprintln!("error: {why}");
            return Exit::BadUsage;
        }
    };
    let rows = run(&jobs, now());
    match arguments.format {
        Format::Json => match serde_json::to_string_pretty(&rows) {
            Ok(text) => println!("{text}"),
            Err(error) => {
                eprintln!("error: {error}");
                return Exit::Failed;
            }
        },
        Format::Text => print!("{}", table(&rows, arguments.seeds)),
    }
    Exit::Fine
}

#[expect(clippy::disallowed_methods, reason = "any moment is a beginning")]
fn now() -> Instant {
    Instant::now()
}

fn jobs(arguments: &Arguments) -> Result<Vec<Job>, String> {
    let all: Vec<String> = NAMES.iter().map(ToString::to_string).collect();
    let wanted = if arguments.traces.is_empty() {
        &all
    } else {
        &arguments.traces
    };
    let mut jobs = Vec::new();
    for trace in wanted {
        if NAMES.contains(&trace.as_str()) {
            jobs.extend((1..=arguments.seeds).map(|seed| Job {
                trace: trace.clone(),
                seed,
                recorded: None,
            }));
            continue;
        }
        if !Path::new(trace).exists() {
            return Err(format!(
                "`{trace}` is neither a file nor one of {}",
                NAMES.join(", ")
            ));
        }
        let text = std::fs::read_to_string(trace).map_err(|error| format!("{trace}: {error}"))?;
        let name = Path::new(trace).file_stem().unwrap_or_default();
        let recorded = Trace::recorded(&name.to_string_lossy(), &text)
            .map_err(|error| format!("{trace}: {error}"))?;
        // A recording is what it is, whatever the seed.
        jobs.push(Job {
            trace: trace.clone(),
            seed: 1,
            recorded: Some(recorded),
        });
    }
    Ok(jobs)
}

/// Every job, on all processors, in the order they were given.
fn run(jobs: &[Job], start: Instant) -> Vec<Row> {
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let mut results: Vec<(usize, Vec<Row>)> = thread::scope(|scope| {
        let tasks: Vec<_> = (0..workers)
            .map(|worker| {
                scope.spawn(move || {
                    let mine = jobs.iter().enumerate().skip(worker).step_by(workers);
                    mine.filter_map(|(index, job)| {
                        let trace = match &job.recorded {
                            Some(trace) => trace.clone(),
                            None => simulate::named(&job.trace, job.seed)?,
                        };
                        Some((index, simulate::compare(&trace, job.seed, start)))
                    })
                    .collect::<Vec<_>>()
                })
            })
            .collect();
        let done = tasks.into_iter().map(|task| {
            task.join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        done.flatten().collect()
    });
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().flat_map(|(_, rows)| rows).collect()
}

/// The mean of all seeds, and the worst of what must not be.
fn table(rows: &[Row], seeds: u64) -> String {
    let mut order: Vec<(&str, &str)> = Vec::new();
    let mut groups: BTreeMap<(&str, &str), Vec<&Row>> = BTreeMap::new();
    for row in rows {
        let key = (row.trace.as_str(), row.rule);
        if !order.contains(&key) {
            order.push(key);
        }
        groups.entry(key).or_default().push(row);
    }
    let mut text = format!(
        "{:12} {:15} {:>12} {:>8} {:>8} {:>9} {:>6} {:>12}\n",
        "TRACE", "RULE", "UNSERVED", "COST", "DROPPED", "MIGRATED", "FLAPS", "HTTP WAIT"
    );
    for key in order {
        let rows = groups.get(&key).map_or(&[][..], Vec::as_slice);
        let count = f64::from(u32::try_from(rows.len()).unwrap_or(u32::MAX).max(1));
        let mean = |of: fn(&Row) -> f64| rows.iter().map(|row| of(row)).sum::<f64>() / count;
        let most = |of: fn(&Row) -> f64| rows.iter().map(|row| of(row)).fold(0.0, f64::max);
        let line = format!(
            "{:12} {:15} {:>10.0} s {:>7.2}x {:>8.0} {:>9.0} {:>6.0} {:>10.1} s\n",
            key.0,
            key.1,
            mean(|row| row.merit.unserved),
            mean(|row| row.merit.cost),
            most(|row| row.merit.dropped),
            mean(|row| row.merit.migrated),
            most(|row| f64::from(row.merit.flaps)),
            most(|row| row.merit.http_wait_max),
        );
        text.push_str(&line);
    }
    text.push_str(
        "\nUNSERVED: seconds that people waited to be connected, beyond what no rule can help. \
         COST: replicas, beside\nwhat somebody who knows the next second would run. DROPPED: \
         sessions cut by a removed replica. MIGRATED: asked to\ncome back after a drain. \
         FLAPS: changes of direction within ten minutes. HTTP WAIT: the longest of a request.\n",
    );
    if seeds > 1 {
        text.push_str(&format!(
            "Means of {seeds} variations; DROPPED, FLAPS and HTTP WAIT are the worst of them.\n"
        ));
    }
    text
}
