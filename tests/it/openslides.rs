//! The preset `openslides`: what the stack's own nginx answered, path by path.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;
use usher::inventory::{Phase, Volume};

use crate::harness::audience::service;
use crate::harness::engine::{FakeEngine, Shared, unit};
use crate::harness::eventually::check;
use crate::harness::program::origin;
use crate::harness::{Answer, Edge, Front, Origin, Setup, eventually};

const URL: &str = "https://congress.example.org";
const SECRET: &str = "what nobody may see";

struct Stack {
    edge: Edge,
    engine: Arc<FakeEngine>,
    web: Origin,
}

/// Where a stack's volume is; what is in it is the test's.
fn volume(edge: &Edge) -> PathBuf {
    edge.folder.path().join("volume")
}

fn collected(volume: &std::path::Path, version: &str) {
    let root = volume.join("var/collected-static");
    for (name, content) in [
        ("templates/index.html", "index"),
        ("templates/projector-container.html", "container"),
        ("templates/projector.html", "projector"),
        ("js/webclient-site.js", "site"),
        ("js/webclient-projector.js", "webclient projector"),
        ("css/site.css", "css"),
    ] {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{content}{version}")).unwrap();
    }
}

/// A stack as Compose leaves it: `core` has done its work, `web` and `worker` run.
async fn stack(prepare: impl FnOnce(&std::path::Path)) -> Stack {
    let web = Origin::start("web").await;
    let mut setup = Setup::new("");
    let folder = setup.path("volume");
    fs::create_dir_all(&folder).unwrap();
    prepare(&folder);
    // `openssl passwd -apr1`: password
    let line = "admin:$apr1$Xy.1/abc$hTJqbhQg1wUYxyxArgegK1\n";
    let passwords = setup.path("congress.htpasswd");
    fs::write(&passwords, line).unwrap();
    setup.text(&format!(
        "[engine]\nkind = \"docker\"\n\
         [[instance]]\nname = \"congress\"\ndomains = [\"congress.example.org\"]\npreset = \"openslides\"\n\
         [instance.scale]\nmode = \"off\"\n\
         [instance.service.web]\nport = {}\n\
         [[instance.route]]\nprefix = \"/static-backup\"\nloose = true\n\
         files = {{ volume = \"staticfiles\", path = \"backup\", listing = true }}\n\
         auth = {{ basic = \"{}\", realm = \"Restricted Content\" }}\n",
        web.address.port(),
        setup.path("{stack}.htpasswd").display(),
    ));
    let engine = FakeEngine::new();
    let local = IpAddr::from([127, 0, 0, 1]);
    engine.set("congress", "web", vec![unit("web1", 1, local)]);
    engine.set("congress", "worker", vec![unit("worker1", 1, local)]);
    let mut core = unit("core1", 1, local);
    core.phase = Phase::Exited { code: 0 };
    engine.set("congress", "core", vec![core]);
    engine.stack("congress", |stack| {
        let place = Volume::At(folder.as_path().into());
        stack.volumes.insert("staticfiles".to_owned(), place);
    });
    let shared = Arc::new(Shared(Arc::clone(&engine)));
    let edge = setup.engine(shared, false).start().await;
    let stack = Stack { edge, engine, web };
    stack.until("web is ready", "/rest/", 200).await;
    stack
}

impl Stack {
    async fn get(&self, path: &str) -> Answer {
        self.edge.get(&format!("{URL}{path}")).await
    }

    async fn as_admin(&self, path: &str, password: &str) -> Answer {
        let credentials = STANDARD.encode(format!("admin:{password}"));
        let ask = self.edge.ask(&format!("{URL}{path}"));
        let ask = ask.field("authorization", &format!("Basic {credentials}"));
        ask.send().await
    }

    async fn until(&self, what: &str, path: &str, status: u16) -> Answer {
        eventually(what, async || {
            let answer = self.get(path).await;
            check(answer.status == status, answer.status).map(|()| answer)
        })
        .await
    }
}

#[tokio::test]
async fn every_path_is_answered_as_the_stacks_own_nginx_did() {
    let stack = stack(|volume| {
        collected(volume, "");
        fs::create_dir_all(volume.join("backup")).unwrap();
        fs::write(volume.join("backup/backup.zip"), "zip").unwrap();
    })
    .await;
    stack.until("the files are there", "/", 200).await;
    let file = |path, body| (path, 200, body);
    // A path of the application is answered by a replica, which repeats the path.
    let web = |path| (path, 200, "");
    for (path, status, body) in [
        file("/", "index"),
        file("/agenda/1", "index"),
        file("/users/5", "index"),
        file("/favicon.ico", "index"),
        file("/core/other", "index"),
        file("/motions/1", "index"),
        file("/projector", "container"),
        file("/projector/1", "container"),
        file("/Projector-foo", "container"),
        file("/real-projector", "projector"),
        file("/real-projector/1/", "projector"),
        file("/webclient/site", "site"),
        file("/webclient/site/", "site"),
        file("/webclient/projector", "webclient projector"),
        ("/webclient", 404, ""),
        ("/webclient/other", 404, ""),
        ("/webclients", 404, ""),
        file("/static/css/site.css", "css"),
        file("/STATIC/css/site.css", "css"),
        ("/static/css/none.css", 404, ""),
        ("/static/", 404, ""),
        ("/static-backup/", 401, ""),
        ("/static-backup/backup.zip", 401, ""),
        web("/rest/agenda/item/1"),
        web("/rest"),
        web("/Rest/"),
        web("/media/private/a.pdf"),
        web("/core/servertime"),
        web("/core/version/"),
        web("/users/whoami/"),
        web("/users/login/"),
        web("/users/logout/"),
        web("/users/setpassword/"),
        web("/motions/docxtemplate/"),
        web("/agenda/docxtemplate/"),
        web("/nginx"),
        web("/nginx-other"),
    ] {
        let answer = stack.get(path).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        let asked = stack.web.requests().contains(&format!("GET {path}"));
        let of_web = status == 200 && body.is_empty();
        assert_eq!(asked, of_web, "{path}: by a replica?");
        if !body.is_empty() {
            assert_eq!(answer.text(), body, "{path}");
        }
        if status != 200 {
            assert_eq!(answer.field("cache-control"), "no-store", "{path}");
        }
    }
    for path in ["/ws/site/", "/wss"] {
        let ask = stack.edge.ask(&format!("wss://congress.example.org{path}"));
        let mut socket = ask.websocket().await.expect(path);
        assert_eq!(socket.echo("hello").await, "web: hello", "{path}");
        socket.close().await;
    }

    let closed = stack.get("/static-backup/").await;
    assert_eq!(
        closed.field("www-authenticate"),
        "Basic realm=\"Restricted Content\", charset=\"UTF-8\""
    );
    let wrong = stack.as_admin("/static-backup/", "passwort").await;
    assert_eq!(wrong.status, 401);
    let listing = stack.as_admin("/static-backup/", "password").await;
    assert_eq!(listing.status, 200);
    assert!(
        listing.text().contains("./backup.zip"),
        "{}",
        listing.text()
    );
    let zip = stack
        .as_admin("/static-backup/backup.zip", "password")
        .await;
    assert_eq!((zip.status, zip.text().as_str()), (200, "zip"));

    let status = stack.get("/nginx_status").await.text();
    let words: Vec<_> = status.split_whitespace().collect();
    assert_eq!(words[..2], ["Active", "connections:"], "{status}");
    let counted: u64 = words[9].parse().expect(&status);
    assert!(counted > 40, "{status}");
    // The statistics are a second behind.
    eventually("the instance's own counts", async || {
        let own = stack.edge.instance("congress").await["requests_total"].as_u64();
        check(
            own.is_some_and(|own| own.abs_diff(counted) <= 1),
            (own, counted),
        )
    })
    .await;

    // `core` has ended, as it should.
    let instance = stack.edge.instance("congress").await;
    let reasons = instance["reasons"].to_string();
    assert!(!reasons.contains("core"), "{reasons}");
}

#[tokio::test]
async fn only_two_folders_of_the_volume_can_be_read() {
    let stack = stack(|volume| {
        collected(volume, "");
        let root = volume.join("var/collected-static");
        for secret in [
            "settings.py",
            "var/settings.py",
            "var/media/motion.pdf",
            "var/collected-static-backup/secret",
            "backup-old/secret",
        ] {
            let path = volume.join(secret);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, SECRET).unwrap();
        }
        fs::create_dir_all(volume.join("backup")).unwrap();
        symlink("../../settings.py", root.join("link")).unwrap();
        symlink("..", root.join("up")).unwrap();
        symlink("../settings.py", volume.join("backup/link")).unwrap();
    })
    .await;
    stack.until("the files are there", "/", 200).await;
    for path in [
        "/static/../settings.py",
        "/static/%2e%2e/settings.py",
        "/static/link",
        "/static/up/settings.py",
        "/static/up/media/motion.pdf",
        "/static/../../settings.py",
        "/static-backup/../settings.py",
        "/static-backup/link",
        "/static-backup-old/secret",
        "/static-backup/secret",
        "/staticfiles/settings.py",
        "/static/settings.py",
        "/settings.py",
    ] {
        for answer in [
            stack.get(path).await,
            stack.as_admin(path, "password").await,
        ] {
            assert!(!answer.text().contains(SECRET), "{path}");
        }
    }
}

#[tokio::test]
async fn a_missing_folder_is_a_page_that_no_cache_keeps() {
    let stack = stack(|_| {}).await;
    for path in ["/", "/static/css/site.css", "/projector/1"] {
        let answer = stack.get(path).await;
        assert_eq!(answer.status, 503, "{path}");
        assert_eq!(answer.field("cache-control"), "no-store", "{path}");
        assert_ne!(answer.field("retry-after"), "", "{path}");
    }
    // `core` comes to it, and nobody has to be told.
    collected(&volume(&stack.edge), "");
    let index = stack.until("the files are there", "/", 200).await;
    assert_eq!(index.text(), "index");
}

#[tokio::test]
async fn a_backup_is_there_without_a_replica_and_whole_while_it_is_replaced() {
    let old = vec![b'o'; 4 << 20];
    let stack = stack(|volume| {
        fs::create_dir_all(volume.join("backup")).unwrap();
        fs::write(volume.join("backup/backup.zip"), &old).unwrap();
    })
    .await;
    stack.engine.set("congress", "web", Vec::new());
    eventually("no replica", async || {
        let web = service(&stack.edge, "web").await;
        check(web["replicas"] == json!([]), web)
    })
    .await;
    let file = volume(&stack.edge).join("backup/backup.zip");

    // A download that has begun ends with what it began with.
    let credentials = STANDARD.encode("admin:password");
    let tls = crate::harness::client::tls(&stack.edge, "congress.example.org", &["http/1.1"]);
    let mut stream = tls.await.expect("connected");
    let head = format!(
        "GET /static-backup/backup.zip HTTP/1.1\r\nhost: congress.example.org\r\n\
         authorization: Basic {credentials}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut begun = vec![0; 1024];
    stream.read_exact(&mut begun).await.expect("begun");
    let fresh = file.with_extension("new");
    fs::write(&fresh, vec![b'n'; 4 << 20]).unwrap();
    renameat_with(CWD, &fresh, CWD, &file, RenameFlags::empty()).unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.expect("whole");
    begun.extend(rest);
    let body = begun
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap()
        + 4;
    assert_eq!(begun.len() - body, old.len());
    assert!(
        begun[body..].iter().all(|byte| *byte == b'o'),
        "old bytes only"
    );
    eventually("the new one", async || {
        let answer = stack
            .as_admin("/static-backup/backup.zip", "password")
            .await;
        check(
            answer.status == 200 && answer.body.first() == Some(&b'n'),
            answer.status,
        )
    })
    .await;

    // Nobody is let in without a file of passwords, and the log says so.
    let passwords = stack.edge.folder.path().join("congress.htpasswd");
    fs::write(&passwords, "admin:password\n").unwrap();
    eventually("closed", async || {
        let answer = stack.as_admin("/static-backup/", "password").await;
        check(answer.status == 503, answer.status)
    })
    .await;
    let posted = stack.edge.ask(&format!("{URL}/static-backup/"));
    assert_eq!(posted.method(Method::POST).send().await.status, 503);
}

#[tokio::test]
async fn a_download_of_a_backup_wakes_nobody() {
    let mut setup = Setup::new("");
    let folder = setup.path("");
    fs::write(folder.join("backup.zip"), "zip").unwrap();
    fs::write(
        folder.join("htpasswd"),
        "admin:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n",
    )
    .unwrap();
    let program = origin().display().to_string();
    setup.text(&format!(
        "[engine]\nkind = \"processes\"\n\
         [[instance]]\nname = \"congress\"\ndomains = [\"congress.example.org\"]\npreset = \"openslides\"\n\
         [instance.scale]\ndown-after = \"1s\"\nidle-to-zero = \"1s\"\n\
         [instance.service.web]\ncommand = [\"{program}\"]\n\
         [instance.service.worker]\ncommand = [\"env\", \"ROLE=idle\", \"{program}\"]\nratio = 1.0\n\
         [[instance.route]]\nprefix = \"/static-backup\"\nloose = true\nfiles = {{ dir = \"{0}\" }}\n\
         auth = {{ basic = \"{0}/htpasswd\" }}\n",
        folder.display(),
    ));
    let edge = setup.start().await;
    eventually("it is asleep", async || {
        let own = edge.instance("congress").await;
        check(own["asleep"] == true, own)
    })
    .await;
    let ask = edge.ask(&format!("{URL}/static-backup/backup.zip"));
    let credentials = STANDARD.encode("admin:password");
    let ask = ask.field("authorization", &format!("Basic {credentials}"));
    let answer = ask
        .field("user-agent", "Mozilla/5.0 Firefox/140.0")
        .send()
        .await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "zip"));
    // Longer than any signal takes.
    sleep(Duration::from_millis(1_500)).await;
    assert_eq!(service(&edge, "web").await["replicas"], json!([]));
}

#[tokio::test]
async fn while_core_collects_anew_the_last_complete_set_is_served_and_never_a_mixed_one() {
    let stack = stack(|volume| collected(volume, " 1")).await;
    stack.until("the files are there", "/", 200).await;
    let volume = volume(&stack.edge);
    let root = volume.join("var/collected-static");
    let copies = stack.edge.folder.path().join("state/editions/congress");
    eventually("a copy is kept", async || {
        let shelf = fs::read_dir(&copies).ok().and_then(|mut all| all.next());
        let shelf = shelf.and_then(Result::ok).map(|shelf| shelf.path());
        let kept = shelf.and_then(|shelf| fs::read_dir(shelf).ok());
        let names: Vec<_> = kept.into_iter().flatten().flatten().collect();
        let whole = names.iter().any(|name| name.file_name() != "unfinished");
        check(whole && names.len() == 1, format!("{names:?}"))
    })
    .await;
    let versions = async || {
        let mut seen = Vec::new();
        for path in ["/", "/static/css/site.css", "/projector", "/webclient/site"] {
            let answer = stack.get(path).await;
            assert_eq!(answer.status, 200, "{path}");
            seen.push(answer.text().rsplit(' ').next().unwrap().to_owned());
        }
        seen
    };
    // Old files go, and after a while new ones come, one after the other.
    fs::remove_dir_all(&root).unwrap();
    for _ in 0..5 {
        assert_eq!(versions().await, ["1"; 4], "the last complete set");
        sleep(Duration::from_millis(300)).await;
    }
    fs::create_dir_all(root.join("templates")).unwrap();
    fs::write(root.join("templates/index.html"), "index 2").unwrap();
    for _ in 0..5 {
        assert_eq!(versions().await, ["1"; 4], "nothing of the next one yet");
        sleep(Duration::from_millis(300)).await;
    }
    collected(&volume, " 2");
    let mut turns = 0;
    eventually("the next set", async || {
        let seen = versions().await;
        turns += 1;
        let first = seen.first().cloned();
        let mixed = seen.iter().any(|version| Some(version) != first.as_ref());
        // One look may fall on either side of the change.
        assert!(!mixed || seen.is_sorted(), "{seen:?}");
        check(seen == ["2"; 4], seen)
    })
    .await;
    println!("{turns} looks");
}
