//! The cases of the Autobahn test suite (RFC 6455, RFC 7692), against one server: directly and
//! through usher. What a relay adds or takes away shows as another verdict.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::{Instant, timeout};

use crate::harness::eventually::{check, eventually};
use crate::harness::program::{Program, cached};
use crate::harness::{Edge, Front, Setup};

/// Of compression, with each set of parameters, the five cases with the smallest messages. The others
/// keep Python busy for a quarter of an hour with the same frames, only longer; frames of up to
/// 16 MiB are in chapter 9, which is run as a whole.
const OF_EACH: u32 = 5;
const OF_COMPRESSION: u32 = 18;
/// The chapters on compression, and how many sets of parameters each has.
const COMPRESSION: [(u32, u32); 2] = [(12, 5), (13, 7)];

const PATIENCE: Duration = Duration::from_secs(600);
/// The suite gives an answer a second, which a busy machine may take by itself. A difference that is
/// usher's is there every time.
const AGAIN: u32 = 2;

/// The suite's own server that echoes, on a port that the system chooses. Left to itself it wants to
/// see that port in `Host`, where clients of a proxy name the proxy's.
const SERVER: &str = r#"
import sys
from twisted.internet import reactor
from autobahntestsuite.testee import TesteeServerFactory

factory = TesteeServerFactory("ws://localhost")
factory.externalPort = None
print reactor.listenTCP(0, factory, interface="127.0.0.1").getHost().port
sys.stdout.flush()
reactor.run()
"#;

/// What the suite says of a case: the behaviour, and the one at the close.
type Verdicts = BTreeMap<String, [String; 2]>;

fn left_out() -> Vec<String> {
    let sets = COMPRESSION
        .iter()
        .flat_map(|(chapter, sets)| (1..=*sets).map(move |set| (chapter, set)));
    sets.flat_map(|(chapter, set)| {
        (OF_EACH + 1..=OF_COMPRESSION).map(move |case| format!("{chapter}.{set}.{case}"))
    })
    .collect()
}

/// A way to the server, and the folder for what is found there.
struct Way<'a> {
    name: &'static str,
    url: String,
    folder: &'a Path,
}

impl Way<'_> {
    /// Runs these cases to their end, one after the other as the suite does it.
    async fn run(&self, cases: &[String], left_out: &[String]) -> Verdicts {
        let reports = self.folder.join(self.name);
        let _ = fs::remove_dir_all(&reports);
        let spec = json!({
            "outdir": reports,
            // The hostname is what the suite says in the handshake and wants to see certified.
            "servers": [{"agent": self.name, "url": self.url, "hostname": "localhost"}],
            "cases": cases,
            "exclude-cases": left_out,
            "exclude-agent-cases": {},
        });
        let file = self.folder.join(format!("{}.json", self.name));
        fs::write(&file, spec.to_string()).unwrap();
        let mut suite = Command::new(cached("autobahn", "wstest"));
        suite
            .args(["-m", "fuzzingclient", "-u", "0", "-s"])
            .arg(&file)
            .env("SSL_CERT_FILE", self.folder.join("root.pem"))
            .current_dir(self.folder)
            .kill_on_drop(true);
        let output = timeout(PATIENCE, suite.output()).await;
        let output = output.expect("an end in time").unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = said + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", self.name);
        let index = fs::read_to_string(reports.join("index.json"));
        let index = index.unwrap_or_else(|error| panic!("{error}: {said}"));
        let index: Value = serde_json::from_str(&index).unwrap();
        let Some(found) = index[self.name].as_object() else {
            panic!("no case was run: {said}");
        };
        let word = |case: &Value, key: &str| case[key].as_str().unwrap().to_owned();
        found
            .iter()
            .map(|(id, case)| {
                let verdict = [word(case, "behavior"), word(case, "behaviorClose")];
                (id.clone(), verdict)
            })
            .collect()
    }
}

/// The cases in which they are not the same, one that was not run included.
fn differences(one: &Verdicts, other: &Verdicts) -> Vec<String> {
    let all: std::collections::BTreeSet<_> = one.keys().chain(other.keys()).collect();
    all.into_iter()
        .filter(|id| one.get(*id) != other.get(*id))
        .cloned()
        .collect()
}

fn counted(verdicts: &Verdicts) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for [behavior, _] in verdicts.values() {
        *counts.entry(behavior.as_str()).or_default() += 1;
    }
    counts
}

#[tokio::test]
#[ignore = "takes minutes, needs the Autobahn test suite"]
async fn every_case_has_the_same_verdict_through_usher_as_without_it() {
    let mut server = Command::new(cached("autobahn", "python"));
    server.args(["-c", SERVER]);
    let server = Program::spawn(server);
    let port: u16 = eventually("the server listens", async || {
        let out = server.out();
        // Twisted has something to say before that.
        let last = out.lines().last().unwrap_or_default();
        last.parse().map_err(|_| (out, server.err()))
    })
    .await;
    let text = format!(
        "[[instance]]\nname = \"autobahn\"\ndomains = [\"localhost\"]\nhttps = \"both\"\n\
         [instance.service.web]\nrole = \"sessions\"\nprobe = \"tcp\"\naddresses = [\"127.0.0.1:{port}\"]\n"
    );
    let edge: Edge = Setup::new(&text).start().await;
    edge.all_ready().await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("root.pem"), edge.pki.root_pem()).unwrap();
    let way = |name, url| Way {
        name,
        url,
        folder: folder.path(),
    };
    let direct = way("direct", format!("ws://localhost:{port}"));
    let plain = way("plain", format!("ws://localhost:{}", edge.http().port()));
    let secure = way("secure", format!("wss://localhost:{}", edge.https().port()));

    let began = Instant::now();
    let (all, left_out) = (["*".to_owned()], left_out());
    let (without, over_http, over_tls) = tokio::join!(
        direct.run(&all, &left_out),
        plain.run(&all, &left_out),
        secure.run(&all, &left_out)
    );
    println!(
        "{} cases, directly and through usher over HTTP and TLS, in {:.0?}; {} of compression left out; \
         without usher {:?}, over HTTP {:?}, over TLS {:?}",
        without.len(),
        began.elapsed(),
        left_out.len(),
        counted(&without),
        counted(&over_http),
        counted(&over_tls)
    );
    assert!(without.len() >= 350, "{}", without.len());

    for (through, verdicts) in [(&plain, over_http), (&secure, over_tls)] {
        let mut cases = differences(&without, &verdicts);
        for _ in 0..AGAIN {
            if cases.is_empty() {
                break;
            }
            let some = &cases[..cases.len().min(20)];
            let count = cases.len();
            println!(
                "{}: {count} differ and are run again: {some:?}",
                through.name
            );
            let without = direct.run(&cases, &[]).await;
            let with = through.run(&cases, &[]).await;
            cases = differences(&without, &with);
        }
        assert!(cases.is_empty(), "{}: {cases:?}", through.name);
    }
    // All of it went through usher, and nothing is left of it.
    eventually("every websocket is closed", async || {
        let instance = edge.instance("autobahn").await;
        let came = instance["requests_total"].as_u64() >= Some(2 * without.len() as u64);
        check(came && instance["websockets"] == 0, instance)
    })
    .await;
}
