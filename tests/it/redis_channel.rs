//! A stack as Django Channels 1 has it: webs that answer nothing by themselves, workers that do, and
//! a real Redis between them.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::process::Command;
use tokio::time::Instant;

use crate::harness::Setup;
use crate::harness::audience::{closed_by_usher, replicas};
use crate::harness::channel::Redis;
use crate::harness::eventually::eventually;
use crate::harness::hall::seats;
use crate::harness::program::{Program, free_port, origin};

const HALL: usize = 500;
/// What one worker is busy with each of them.
const WORK_MS: u64 = 10;

/// A Redis of its own, in memory.
async fn redis() -> (Program, SocketAddr) {
    let port = free_port();
    let mut command = Command::new("redis-server");
    let port_text = port.to_string();
    command.args(["--bind", "127.0.0.1", "--port", &port_text]);
    command.args(["--save", "", "--appendonly", "no"]);
    let program = Program::spawn(command);
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    eventually("Redis answers", async || {
        let mut redis = Redis::connect(address).await?;
        redis.call(&["PING"]).await
    })
    .await;
    (program, address)
}

fn configuration(redis: SocketAddr) -> String {
    let program = origin().display().to_string();
    format!(
        "[engine]\nkind = \"processes\"\n\
         [[instance]]\nname = \"congress\"\ndomains = [\"congress.example.org\"]\n\
         [instance.scale]\nsessions-per-replica = 250\ndown-after = \"1s\"\n\
         [instance.limits]\nsessions-hard = 400\n\
         [instance.service.web]\nrole = \"sessions\"\nmax = 2\nprobe = \"/\"\n\
         command = [\"env\", \"REDIS={redis}\", \"{program}\"]\n\
         [instance.service.worker]\nrole = \"ratio\"\nof = \"web\"\nratio = 2.0\nmax = 4\n\
         command = [\"env\", \"ROLE=worker\", \"REDIS={redis}\", \"WORK_MS={WORK_MS}\", \"{program}\"]\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis"]
async fn five_hundred_come_at_once_and_leave_workers_follow_and_nobody_is_cut() {
    let (_redis, address) = redis().await;
    let edge = Setup::new(&configuration(address)).start().await;
    replicas(&edge, "worker", 1).await;
    // The probe is answered by a worker.
    replicas(&edge, "web", 1).await;

    let began = Instant::now();
    let mut hall = seats(&edge, "congress.example.org", HALL, HALL).await;
    let seated = began.elapsed();
    let webs = replicas(&edge, "web", 2).await;
    let workers = replicas(&edge, "worker", 4).await;
    for some in hall.chunks_mut(100) {
        let said = join_all(some.iter_mut().map(|socket| socket.echo("here"))).await;
        assert!(said.iter().all(|text| text.ends_with(": here")), "{said:?}");
    }
    let metrics = edge.admin("/metrics").await.text();
    let pushed = |line: &&str| line.starts_with("usher_backpressure_total{");
    assert!(
        metrics
            .lines()
            .filter(pushed)
            .all(|line| line.ends_with(" 0")),
        "{metrics}"
    );

    join_all(hall.into_iter().map(|socket| socket.close())).await;
    let left = Instant::now();
    replicas(&edge, "web", 1).await;
    replicas(&edge, "worker", 1).await;
    println!(
        "{HALL} seated after {seated:?}; two webs {webs:?} later, four workers {workers:?} after \
         that; one of each {:?} after the last had left",
        left.elapsed()
    );
    assert!(seated < Duration::from_secs(18), "{seated:?}");
    assert_eq!(closed_by_usher(&edge).await, Vec::<String>::new());
    edge.running.stop().await;
}
