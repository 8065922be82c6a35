//! The binary itself: what it says, and the exit codes of the contract.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use rustix::process::{Pid, Signal, test_kill_process};

use crate::harness::docker_api::DockerApi;
use crate::harness::eventually::{check, eventually};
use crate::harness::program::{Program, origin, run};
use crate::harness::{Front, Installed, Origin, instance};

#[tokio::test]
async fn without_a_configuration_it_says_where_one_belongs_and_shows_one() {
    let folder = tempfile::tempdir().unwrap();
    let run = run(folder.path(), &["run"]).await;
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.err.contains("config/usher.toml"), "{run:?}");
    // What it shows is a configuration.
    let file = folder.path().join("shown.toml");
    fs::write(&file, &run.out).unwrap();
    let loaded = usher::config::load(&file, None);
    assert_eq!(loaded.issues, [], "{}", run.out);
    assert_eq!(loaded.config.unwrap().instances.len(), 1);
}

#[tokio::test]
async fn every_mistake_is_told_with_file_line_and_key() {
    let installed = Installed::new(
        "[[instance]]\nname = \"one\"\ndomains = [\"one.example.org\"]\ncolour = \"red\"\n\
         [instance.service.web]\nrole = \"session\"\n\
         [[instance]]\nname = \"two\"\ndomains = [\"one.example.org\"]\n\
         [instance.service.web]\nrole = \"sessions\"\n\
         [instance.service.worker]\nrole = \"ratio\"\nof = \"wbe\"\nratio = 2.0\n",
    );
    let line = |text: &str| {
        let file = fs::read_to_string(installed.file()).unwrap();
        let at = file.lines().position(|line| line == text).unwrap();
        format!("usher.toml:{}: ", at + 1)
    };

    let checked = installed.command(&["check", "--offline"]).await;

    assert_eq!(checked.code, 2, "{checked:?}");
    for (at, words) in [
        ("colour = \"red\"", ["colour", "instance"]),
        ("role = \"session\"", ["session", "sessions"]),
        ("of = \"wbe\"", ["wbe", "web"]),
    ] {
        let place = line(at);
        let told = checked.out.lines().find(|told| told.contains(&place));
        let told = told.unwrap_or_else(|| panic!("{place}: {}", checked.out));
        assert!(words.iter().all(|word| told.contains(word)), "{told}");
    }
    let json = installed
        .command(&["check", "--offline", "--format", "json"])
        .await;
    let findings: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(
        findings.as_array().unwrap().len(),
        checked.out.lines().count()
    );
}

#[tokio::test]
async fn a_domain_claimed_twice_stays_with_the_first_and_names_both() {
    let origin = Origin::start("origin").await;
    let one = instance("one", &[origin.address]);
    let thief = instance("thief", &[origin.address]).replace("thief.example", "one.example");
    let installed = Installed::new(&format!("{one}{thief}"));
    let checked = installed.command(&["check", "--offline"]).await;
    assert_eq!(checked.code, 2, "{checked:?}");
    assert!(checked.out.contains("one.example.org"), "{checked:?}");
    assert!(checked.out.contains("thief"), "{checked:?}");
    let _usher = installed.start().await;
    installed.answers("https://one.example.org/", 200).await;
}

#[tokio::test]
async fn a_good_configuration_has_nothing_wrong() {
    let origin = Origin::start("origin").await;
    let installed = Installed::new(&instance("one", &[origin.address]));
    let checked = installed.command(&["check", "--offline"]).await;
    assert_eq!(
        (checked.code, checked.out.as_str()),
        (0, "usher.toml: nothing is wrong\n")
    );
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_and_the_exit_code_is_three() {
    let installed = Installed::new("");
    let _taken = TcpListener::bind(installed.https()).unwrap();
    let run = installed.command(&["run"]).await;
    assert_eq!(run.code, 3, "{run:?}");
    assert!(run.err.contains(&installed.https().to_string()), "{run:?}");
    assert!(run.err.contains("ss -ltnp"), "{run:?}");
}

#[tokio::test]
async fn a_state_folder_has_one_user() {
    let installed = Installed::new("");
    let _first = installed.start().await;
    let second = installed.command(&["run"]).await;
    assert_eq!(second.code, 1, "{second:?}");
    assert!(
        second.err.contains("another usher uses the state folder"),
        "{second:?}"
    );
}

#[tokio::test]
async fn an_engine_that_does_not_answer_ends_only_a_start_that_requires_it() {
    let origin = Origin::start("origin").await;
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("nobody.sock");
    let text = format!(
        "[engine]\nkind = \"docker\"\nendpoint = \"unix://{}\"\n{}",
        socket.display(),
        instance("fixed", &[origin.address]),
    );
    let installed = Installed::new(&text);

    let run = installed.command(&["run", "--require-engine"]).await;
    assert_eq!(run.code, 4, "{run:?}");
    assert!(run.err.contains("nobody.sock"), "{run:?}");

    let _usher = installed.start().await;
    installed.answers("https://fixed.example.org/", 200).await;
    let stats = installed.stats().await;
    assert_eq!(stats["engine"]["connected"], false);
    assert!(
        stats["reasons"].to_string().contains("nobody.sock"),
        "{}",
        stats["reasons"]
    );
}

#[tokio::test]
async fn commands_without_a_running_usher_say_where_they_asked() {
    let installed = Installed::new("");
    for command in [&["status"][..], &["reload"], &["auto", "congress"]] {
        let run = installed.command(command).await;
        assert_eq!(run.code, 1, "{run:?}");
        assert!(run.err.contains("control.sock"), "{run:?}");
        assert!(run.err.contains("is it running"), "{run:?}");
    }
}

#[tokio::test]
async fn status_is_one_line_per_instance_and_the_reasons() {
    let origin = Origin::start("origin").await;
    let dead = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    let text = instance("good", &[origin.address]) + &instance("bad", &[dead]);
    let installed = Installed::new(&text);
    let _usher = installed.start().await;
    installed.answers("https://good.example.org/", 200).await;
    eventually("both are judged", async || {
        let status = installed.command(&["status"]).await;
        let line = |name: &str| {
            status
                .out
                .lines()
                .find(|line| line.starts_with(name))
                .map(str::to_owned)
        };
        let judged = line("good").is_some_and(|line| line.contains("healthy"))
            && line("bad").is_some_and(|line| line.contains("warning"))
            && status
                .out
                .contains("warning: instance:bad: web is starting");
        check(judged, status)
    })
    .await;
    let json = installed.command(&["status", "--format", "json"]).await;
    let stats: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(stats["instances"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn after_a_kill_the_next_start_ends_the_orphans_and_nobody_else() {
    let program = origin().display().to_string();
    let text = format!(
        "[engine]\nkind = \"processes\"\n\
         [[instance]]\nname = \"congress\"\ndomains = [\"congress.example.org\"]\n\
         [instance.service.web]\nrole = \"sessions\"\ncommand = [\"{program}\"]\nprobe = \"/\"\nmin = 2\n"
    );
    let installed = Installed::new(&text);
    // A process of the same program that usher did not start.
    let stranger = std::process::Command::new(&program)
        .env("ROLE", "idle")
        .spawn();
    let mut stranger = stranger.unwrap();
    let mut usher = installed.start().await;
    let url = "https://congress.example.org/";
    installed.answers(url, 200).await;
    eventually("two replicas", async || {
        let web = installed.stats().await["instances"][0]["services"][0].clone();
        check(web["ready"] == 2, web)
    })
    .await;
    let replicas = installed.stats().await["instances"][0]["services"][0]["replicas"].clone();
    let orphans: Vec<Pid> = replicas
        .as_array()
        .unwrap()
        .iter()
        .map(|replica| {
            let id = replica["id"].as_str().unwrap();
            Pid::from_raw(id.split('@').next().unwrap().parse().unwrap()).unwrap()
        })
        .collect();
    usher.signal(Signal::KILL);
    usher.ended().await;
    assert!(
        orphans
            .iter()
            .all(|orphan| test_kill_process(*orphan).is_ok()),
        "they outlive it"
    );

    let mut usher = installed.start().await;

    eventually("the orphans have ended", async || {
        let left: Vec<_> = orphans.iter().filter(|orphan| runs(**orphan)).collect();
        check(left.is_empty(), left)
    })
    .await;
    assert!(
        stranger.try_wait().unwrap().is_none(),
        "the stranger runs on"
    );
    installed.answers(url, 200).await;
    usher.signal(Signal::TERM);
    usher.ended().await;
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

/// Whether it is there, and more than an entry that nobody has collected.
fn runs(process: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero()));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test]
async fn what_an_operator_asked_for_outlives_a_kill() {
    let origin = Origin::start("origin").await;
    let installed = Installed::new(&instance("congress", &[origin.address]));
    let mut usher = installed.start().await;
    let paused = installed.command(&["pause", "congress"]).await;
    assert_eq!(paused.code, 0, "{paused:?}");
    let kept = installed.folder.path().join("state/control.json");
    eventually("it is kept", async || {
        let text = fs::read_to_string(&kept).unwrap_or_default();
        check(text.contains("\"paused\":true"), text)
    })
    .await;
    usher.signal(Signal::KILL);
    usher.ended().await;

    let mut usher = installed.start().await;
    let paused = async |wanted: bool| {
        eventually("what the statistics say", async || {
            let stats = installed.stats().await;
            check(stats["instances"][0]["paused"] == wanted, stats)
        })
        .await;
    };
    paused(true).await;
    usher.signal(Signal::KILL);
    usher.ended().await;

    // A file that a crash tore costs what it held and nothing else.
    fs::write(&kept, "{\"instances\":").unwrap();
    let usher = installed.start().await;
    paused(false).await;
    assert!(usher.err().contains("is forgotten"), "{}", usher.err());
    assert!(kept.with_file_name("control.json.unusable-1").exists());
}

/// A demo whose folder is in this one: those of other tests would clean up after it.
fn demo(folder: &Path, arguments: &[&str]) -> Program {
    Program::start_with(folder, arguments, &[("TMPDIR", folder.as_os_str())])
}

#[tokio::test]
async fn two_demos_run_side_by_side_and_leave_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["demo", "--for", "8s", "--attendees", "40"];
    let demos = [0, 1].map(|_| demo(folder.path(), &arguments));
    for mut demo in demos {
        let id = demo.id();
        assert!(demo.ended().await.success(), "{}", demo.err());
        let out = demo.out();
        println!("{out}");
        assert!(out.contains("https://congress.localhost:"), "{out}");
        assert!(out.contains("attendees"), "{out}");
        assert!(out.contains(" messages answered; 0 refused, "), "{out}");
        assert!(out.contains(", 0 lost"), "{out}");
        let left = fs::read_dir(folder.path()).unwrap().flatten();
        let left: Vec<_> = left
            .filter(|entry| {
                let name = entry.file_name();
                name.to_string_lossy()
                    .starts_with(&format!("usher-demo-{id}-"))
            })
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[tokio::test]
async fn what_a_killed_demo_left_is_ended_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let mut killed = demo(folder.path(), &["demo", "--attendees", "4"]);
    let left = eventually("its folder", async || {
        let out = killed.out();
        let line = out.lines().find_map(|line| line.split_once("--socket "));
        let socket = line.map(|(_, socket)| std::path::PathBuf::from(socket));
        socket
            .and_then(|socket| socket.parent().map(ToOwned::to_owned))
            .ok_or(out)
    })
    .await;
    let record = left.join("state/processes.json");
    let replicas = eventually("four replicas in its record", async || {
        let text = fs::read_to_string(&record).unwrap_or_default();
        let known: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let ids: Vec<Pid> = known
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|known| Pid::from_raw(known["pid"].as_i64()?.try_into().ok()?))
            .collect();
        if ids.len() >= 4 { Ok(ids) } else { Err(text) }
    })
    .await;
    killed.signal(Signal::KILL);
    killed.ended().await;
    // Those that have something to say end with the pipe they say it to.
    assert!(replicas.iter().any(|id| runs(*id)), "they outlive it");

    let mut next = demo(folder.path(), &["demo", "--for", "1s"]);
    assert!(next.ended().await.success(), "{}", next.err());

    assert!(!left.exists(), "{}", left.display());
    eventually("its replicas have ended", async || {
        let left: Vec<_> = replicas.iter().filter(|id| runs(**id)).collect();
        check(left.is_empty(), left)
    })
    .await;
}

#[tokio::test]
async fn a_look_at_names_of_this_machine_makes_no_authority() {
    let installed = Installed::new("");
    installed.write(
        "[[instance]]\nname = \"one\"\ndomains = [\"localhost\"]\n\
         [instance.service.web]\nrole = \"sessions\"\naddresses = [\"127.0.0.1:9\"]\n",
    );
    let checked = installed.command(&["check", "--offline"]).await;
    assert_eq!(checked.code, 0, "{checked:?}");
    assert!(!checked.out.contains("certificate"), "{checked:?}");
    let state = installed.folder.path().join("state");
    assert!(
        !state.exists(),
        "{:?}",
        fs::read_dir(state).unwrap().count()
    );
}

#[tokio::test]
async fn check_says_what_containers_claim_and_what_of_it_they_would_not_get() {
    let api = DockerApi::start();
    api.compose_with(
        "blog",
        "web",
        1,
        &["VIRTUAL_HOST=blog.test,one.example.org"],
    )
    .await;
    api.compose_with(
        "shop",
        "web",
        1,
        &["VIRTUAL_HOST=shop.test", "VIRTUAL_PORT=http"],
    )
    .await;
    let engine = |names: &str| {
        format!(
            "[engine]\nkind = \"docker\"\nendpoint = \"unix://{}\"\n{names}\n\
             [[instance]]\nname = \"one\"\ndomains = [\"one.example.org\"]\n\
             [instance.service.web]\nrole = \"fixed\"\n",
            api.socket().display()
        )
    };
    let installed = Installed::new(&engine("names-from-containers = \"open\""));
    let checked = installed.command(&["check"]).await;
    assert_eq!(checked.code, 0, "{checked:?}");
    for words in [
        "note: instance blog: containers claim blog.test",
        "container blog_web_1 claims `one.example.org` in vain: it belongs to the instance one",
        "stack shop: container shop_web_1: VIRTUAL_PORT `http`",
    ] {
        assert!(checked.out.contains(words), "{words}: {}", checked.out);
    }
    installed.write(&engine(""));
    let checked = installed.command(&["check"]).await;
    assert!(!checked.out.contains("claim"), "{}", checked.out);
    let unheard = "what container blog_web_1 of the service web says";
    assert!(checked.out.contains(unheard), "{}", checked.out);
    // What the image says is not the container's word, whether or not that is followed.
    assert_eq!(api.calls("GET /images").len(), 2, "once for each check");
}

#[tokio::test]
async fn the_mode_of_the_command_line_holds_where_the_file_says_nothing() {
    let api = DockerApi::start();
    api.compose_with("blog", "web", 1, &["VIRTUAL_HOST=blog.example.org"])
        .await;
    let engine = format!(
        "[engine]\nkind = \"docker\"\nendpoint = \"unix://{}\"\n",
        api.socket().display()
    );
    let installed = Installed::new(&engine);
    let mode = ["run", "--names-from-containers"];
    let wrong = installed.command(&[&mode[..], &["any"]].concat()).await;
    assert_eq!(wrong.code, 2, "{wrong:?}");
    assert!(wrong.err.contains("\"listed\""), "{wrong:?}");
    let open = [&mode[..], &["open", "--config", "usher.toml"]].concat();
    let mut usher = Program::start(installed.folder.path(), &open);
    usher.says("\"serving\"").await;
    installed.answers("http://blog.example.org/", 200).await;

    // A file that was named has to be there.
    fs::remove_file(installed.file()).unwrap();
    let without = installed.command(&[&mode[..], &["open"]].concat()).await;
    assert_eq!(without.code, 2, "{without:?}");
}

#[tokio::test]
async fn check_says_when_the_engine_has_too_few_addresses_for_the_stacks() {
    let api = DockerApi::start();
    let tables: Vec<String> = ["one", "two"]
        .iter()
        .map(|name| {
            format!(
                "[[instance]]\nname = \"{name}\"\ndomains = [\"{name}.test\"]\n\
                 [instance.service.web]\nrole = \"fixed\"\n"
            )
        })
        .collect();
    let installed = Installed::new(&format!(
        "[engine]\nkind = \"docker\"\nendpoint = \"unix://{}\"\n{}",
        api.socket().display(),
        tables.concat()
    ));
    api.room_for(2);
    let checked = installed.command(&["check"]).await;
    assert!(!checked.out.contains("addresses for"), "{checked:?}");
    api.room_for(1);
    let checked = installed.command(&["check"]).await;
    let words = "addresses for 1 more networks, and 2 of the stacks";
    assert!(checked.out.contains(words), "{checked:?}");
    assert_eq!(checked.code, 0, "a warning: {checked:?}");
}

#[tokio::test]
async fn check_says_when_the_host_is_too_small_for_all_floors() {
    let api = DockerApi::start();
    api.compose("one", "web", 1).await;
    let with = |bounds: &str| {
        format!(
            "[engine]\nkind = \"docker\"\nendpoint = \"unix://{}\"\n\
             [[instance]]\nname = \"one\"\ndomains = [\"one.test\"]\n\
             [instance.service.web]\nrole = \"sessions\"\nport = 8000\n{bounds}\n",
            api.socket().display()
        )
    };
    let installed = Installed::new(&with("min = 100000\nmax = 100000"));
    let checked = installed.command(&["check"]).await;
    let told = checked
        .out
        .lines()
        .find(|line| line.contains("`min` of all instances"));
    let told = told.unwrap_or_else(|| panic!("{checked:?}"));
    assert!(
        told.starts_with("warning: the host has memory for "),
        "{told}"
    );
    assert!(
        told.contains("comes to 100000: no more than fit are started"),
        "{told}"
    );
    assert_eq!(checked.code, 0, "a warning: {checked:?}");
    installed.write(&with("max = 100000"));
    let checked = installed.command(&["check"]).await;
    assert!(
        checked.out.contains("note: the host has memory for "),
        "{checked:?}"
    );
    installed.write(&with("max = 1"));
    let checked = installed.command(&["check"]).await;
    assert!(!checked.out.contains("the host has memory"), "{checked:?}");
}

#[tokio::test]
async fn a_recommendation_is_in_the_log_of_the_running_program_and_nothing_is_done() {
    let api = DockerApi::start();
    api.compose("one", "web", 1).await;
    let installed = Installed::new(&format!(
        "[engine]\nkind = \"docker\"\nendpoint = \"unix://{}\"\n\
         [scale]\nmode = \"recommend\"\n\
         [[instance]]\nname = \"one\"\ndomains = [\"one.test\"]\n\
         [instance.service.web]\nrole = \"sessions\"\nport = 8000\nprobe = \"/\"\nmin = 3\n",
        api.socket().display()
    ));
    let mut usher = installed.start().await;
    let line = usher.says("\"recommends\"").await;
    assert!(line.contains("recommended and not done"), "{line}");
    let own = installed.stats().await["instances"][0].clone();
    let last = &own["services"][0]["last_decision"];
    assert_eq!(
        (&last["from"], &last["to"]),
        (&1.into(), &3.into()),
        "{own}"
    );
    assert_eq!(api.calls("POST /containers/create").len(), 0);
}
