//! The run, from the empty machine to the figures.

use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tokio::time::{Instant, timeout};

use super::audience::{Audience, Door};
use super::figures::{Figures, counts};
use super::harness::pebble::Pebble;
use super::harness::program::Program;
use super::harness::{Front, Installed};
use super::needs;
use super::observer::{Admin, Observer};
use super::proofs::check;
use super::stack::{self, REDIS, Stack, WEB, WORKER};
use super::storm::storm;
use super::wait::{Outcome, ensure, say, until};

const HOST: &str = "congress.example.org";
const INSTANCE: &str = "congress";

pub const PER_REPLICA: usize = 90;
/// More than one replica holds.
const FIRST: usize = 100;
/// As many replicas as everybody needs.
const SECOND: usize = 180;
/// They come when all replicas are there.
const LAST: usize = 20;
pub const EVERYBODY: usize = FIRST + SECOND + LAST;
/// The first to come, and the last to go: through all of the shrinking.
const FAITHFUL: usize = 20;
pub const PEAK: usize = EVERYBODY.div_ceil(PER_REPLICA);

/// The probe of `web` is a page, and not `tcp`: the page comes through redis and a worker, so
/// ready means that the whole chain answers. Where no worker runs, such a page takes two minutes to
/// fail, and the probe gives up after five seconds each time; that is why workers have a `min`, and
/// why nothing here ever takes the last one away.
fn tables(stack: &Stack, pebble: &Pebble) -> String {
    format!(
        "{acme}\
         [engine]\nkind = \"docker\"\n\
         [[instance]]\nname = \"{INSTANCE}\"\nstack = \"{stack}\"\ndomains = [\"{HOST}\"]\n\
         [instance.scale]\nsessions-per-replica = {PER_REPLICA}\ndown-after = \"5s\"\n\
         [instance.limits]\nreplica-drain = \"20s\"\nreplica-stop = \"10s\"\n\
         [instance.service.{WEB}]\nrole = \"sessions\"\nport = 8000\nprobe = \"/\"\nmin = 1\nmax = 6\n\
         [instance.service.{WORKER}]\nrole = \"ratio\"\nof = \"{WEB}\"\nratio = 1.0\nmin = 1\nmax = 6\n\
         [instance.service.{REDIS}]\nrole = \"fixed\"\nprobe = \"tcp:6379\"\n\
         [instance.depends]\n{WEB} = [\"{REDIS}\"]\n{WORKER} = [\"{REDIS}\"]\n",
        acme = pebble.tables(),
        stack = stack.name(),
    )
}

/// Everything that runs. Dropped from the top: usher goes before what it would replace.
pub struct Scene {
    pub observer: Observer,
    pub usher: Program,
    installed: Installed,
    pebble: Pebble,
    pub stack: Stack,
}

pub async fn run() -> Outcome<Figures> {
    needs::check()?;
    let mut scene = begin().await?;
    let project = scene.stack.name().to_owned();
    let outcome = scene.play().await;
    if outcome.is_err() {
        eprintln!("{}", scene.evidence().await);
    }
    drop(scene);
    let left = stack::leftovers(&project);
    let figures = outcome?;
    ensure(left.is_empty(), || format!("{project} left {left:?}"))?;
    Ok(figures)
}

async fn begin() -> Outcome<Scene> {
    let stack = Stack::new();
    let began = Instant::now();
    stack.up().await?;
    let took = began.elapsed().as_secs_f64();
    say(format_args!("{} is up, after {took:.1} s", stack.name()));
    let installed = Installed::new("");
    let pebble = Pebble::start(installed.http().port()).await;
    installed.write(&tables(&stack, &pebble));
    let usher = installed.start().await;
    let admin = Admin {
        address: installed.admin(),
    };
    Ok(Scene {
        observer: Observer::start(admin, INSTANCE),
        usher,
        installed,
        pebble,
        stack,
    })
}

impl Scene {
    pub fn admin(&self) -> Admin {
        Admin {
            address: self.installed.admin(),
        }
    }

    async fn play(&mut self) -> Outcome<Figures> {
        let originals = self.stack.all_running();
        let door = Arc::new(self.door().await);
        self.first_page(&door).await?;

        let mut audience = Audience::new(Arc::clone(&door), format!("wss://{HOST}/ws/"));
        audience.come(FIRST).await?;
        self.replicas_grow_to(2).await?;
        audience.broadcast(FAITHFUL + 1).await?;
        audience.come(SECOND).await?;
        self.replicas_grow_to(PEAK).await?;
        audience.come(LAST).await?;
        audience.broadcast(0).await?;
        audience.talk(2).await?;

        let growth = self.growth(&audience, &originals[WEB])?;
        let sessions = self.sessions_everywhere().await?;
        let requests = self.requests_everywhere(&door).await?;
        let work = self.work_everywhere().await?;
        audience.broadcast(EVERYBODY - 1).await?;

        let peak = [WEB, WORKER].map(|service| self.observer.peak(service));
        audience.leave(FAITHFUL).await?;
        let down = self.only_originals(&originals).await?;
        audience.talk(1).await?;
        audience.broadcast(1).await?;
        self.page(&door).await?;
        let after = [WEB, WORKER].map(|service| self.observer.service(service).ready);
        audience.leave(0).await?;

        let endings = self.endings().await?;
        let storm = storm(&door, &format!("wss://{HOST}/ws/")).await?;
        let spent = self.spent().await?;
        self.stop().await?;
        audience.all_well()?;
        let tally = audience.tally();
        check(&tally)?;
        Ok(Figures {
            tally,
            peak,
            after,
            growth,
            down,
            sessions,
            requests,
            work,
            endings,
            storm,
            spent,
            warnings: self.warnings(),
        })
    }

    async fn door(&self) -> Door {
        Door {
            http: self.installed.http(),
            https: self.installed.https(),
            trust: self.pebble.trusting().await,
        }
    }

    /// A certificate from pebble, and a page from Django behind it.
    async fn first_page(&self, door: &Door) -> Outcome<()> {
        until(
            Duration::from_secs(20),
            "a page behind a certificate from pebble",
            async || self.page(door).await,
        )
        .await?;
        until(
            Duration::from_secs(20),
            "one web and one worker replica",
            async || self.replicas(1),
        )
        .await?;
        let answer = get(door, "/whoami").await?;
        let seen: Value = serde_json::from_str(&answer).map_err(|error| error.to_string())?;
        say(format_args!("Django sees {seen}"));
        for (field, value) in [
            ("Host", HOST),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-For", "127.0.0.1"),
        ] {
            ensure(seen[field] == value, || format!("{field} is not {value}"))?;
        }
        Ok(())
    }

    pub async fn page(&self, door: &Door) -> Outcome<()> {
        let text = get(door, "/").await?;
        ensure(text == "ok", || format!("the page is {text:?}"))
    }

    pub fn replicas(&self, count: usize) -> Outcome<()> {
        let good = [WEB, WORKER]
            .iter()
            .all(|service| self.observer.service(service).is(count));
        ensure(good, || self.observer.seen())
    }

    async fn replicas_grow_to(&self, count: usize) -> Outcome<()> {
        let what = format!("{count} web and {count} worker replicas ready");
        let expected = Duration::from_secs(30);
        until(expected, &what, async || {
            let good = [WEB, WORKER]
                .iter()
                .all(|service| self.observer.service(service).ready >= count);
            ensure(good, || self.observer.seen())
        })
        .await?;
        Ok(())
    }

    /// Replica-hours: those that ran, and those of the most that ever did, all the time.
    async fn spent(&self) -> Outcome<[f64; 2]> {
        let stats = self.installed.stats().await;
        let savings = &stats["instances"][0]["savings"];
        let hours = |name: &str| {
            let hours = savings[name].as_f64();
            hours.ok_or_else(|| format!("no {name} in {savings}"))
        };
        Ok([hours("replica_hours")?, hours("always_on_hours")?])
    }

    async fn stop(&mut self) -> Outcome<()> {
        let began = Instant::now();
        self.usher.signal(Signal::TERM);
        let status = timeout(Duration::from_secs(15), self.usher.ended()).await;
        let status = status.map_err(|_| "usher does not end after SIGTERM".to_owned())?;
        let took = began.elapsed().as_secs_f64();
        say(format_args!("usher ended: {status}, after {took:.1} s"));
        ensure(status.code() == Some(0), || {
            format!("usher ended: {status}")
        })
    }

    /// usher's log of more than information, printed and counted.
    fn warnings(&self) -> usize {
        let err = self.usher.err();
        let warnings = err.lines().filter(|line| {
            line.contains("\"level\":\"WARN\"") || line.contains("\"level\":\"ERROR\"")
        });
        warnings
            .inspect(|line| say(format_args!("usher's log: {line}")))
            .count()
    }

    /// All that helps to understand a failure.
    async fn evidence(&self) -> String {
        let endings = self.admin().endings().await;
        let endings = endings.map_or_else(|why| why, |endings| counts(&endings));
        let err = self.usher.err();
        let lines: Vec<&str> = err.lines().collect();
        let tail = lines[lines.len().saturating_sub(80)..].join("\n");
        format!(
            "--- replicas\n{}\n--- sessions closed, as usher counts\n{endings}\n\
             --- usher\n{tail}\n{}",
            self.observer.seen(),
            self.stack.logs()
        )
    }
}

async fn get(door: &Door, path: &str) -> Outcome<String> {
    let url = format!("https://{HOST}{path}");
    let answer = timeout(Duration::from_secs(20), door.ask(&url).try_send())
        .await
        .map_err(|_| format!("{path}: no answer"))?
        .map_err(|error| format!("{path}: {error}"))?;
    ensure(answer.status == 200, || {
        format!("{path}: {} {}", answer.status, answer.text())
    })?;
    Ok(answer.text())
}
