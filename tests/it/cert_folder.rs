//! The folder of certificates: adopted as acme-companion left it, and each tenant's own part of it
//! for the tenant.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tokio::net::TcpStream;
use usher::inventory::Volume;

use crate::harness::client::{tls, tls_over};
use crate::harness::engine::{FakeEngine, Shared, unit};
use crate::harness::eventually::{check, eventually};
use crate::harness::{Edge, Front, Installed, Origin, Pki, Setup, instance};

/// A pair as the companion lays it, under each of its names.
fn lay(pki: &Pki, certs: &Path, names: &[&str]) {
    let (chain, key) = pki.pair(names);
    let base = certs.join(names[0]);
    fs::create_dir_all(&base).unwrap();
    let (leaf, rest) = chain.split_at(chain.find("-----END CERTIFICATE-----\n").unwrap() + 26);
    for (file, content) in [
        ("cert.pem", leaf),
        ("chain.pem", rest),
        ("fullchain.pem", &chain),
        ("key.pem", &key),
        (".companion", ""),
    ] {
        fs::write(base.join(file), content).unwrap();
    }
    for name in names {
        for (ending, file) in [
            ("crt", "fullchain.pem"),
            ("key", "key.pem"),
            ("chain.pem", "chain.pem"),
        ] {
            let target = format!("./{}/{file}", names[0]);
            symlink(target, certs.join(format!("{name}.{ending}"))).unwrap();
        }
    }
}

/// An authority that nobody must ask: whoever connects is counted.
fn forbidden_authority() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/directory", listener.local_addr().unwrap());
    let asked: Arc<AtomicUsize> = Arc::default();
    let count = Arc::clone(&asked);
    thread::spawn(move || {
        for _ in listener.incoming() {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let tables = format!(
        "[acme]\ndirectories = [\"company\"]\npreflight = false\n\
         [acme.directory.company]\nurl = \"{url}\"\n"
    );
    (tables, asked)
}

#[tokio::test]
async fn two_hundred_pairs_of_the_companion_are_served_at_once_and_cost_no_order() {
    const PAIRS: usize = 200;
    let (acme, asked) = forbidden_authority();
    let name = |at: usize| format!("c{at}.example.org");
    let mut text = acme;
    for at in 0..PAIRS {
        let own = instance(&format!("c{at}"), &[([127, 0, 0, 1], 1).into()]);
        let both = format!("\"{0}\", \"www.{0}\"", name(at));
        text.push_str(&own.replace(&format!("\"{}\"", name(at)), &both));
    }
    let installed = Installed::new("");
    installed.write(&text);
    let certs = installed.certs();
    for at in 0..PAIRS {
        let www = format!("www.{}", name(at));
        lay(&installed.pki, &certs, &[&name(at), &www]);
    }

    let _usher = installed.start_with(&[]);
    // The first that gets through is answered: what is there was read before the port was bound.
    let stream = eventually("the port", async || {
        TcpStream::connect(installed.https()).await
    })
    .await;
    tls_over(&installed, stream, &name(0), &["http/1.1"])
        .await
        .expect("the first handshake of all");
    for at in (0..PAIRS).step_by(13) {
        for name in [name(at), format!("www.{}", name(at))] {
            tls(&installed, &name, &["http/1.1"]).await.expect(&name);
        }
    }

    let all = eventually("the report about each", async || {
        let stats = installed.stats().await;
        let instances = stats["instances"].as_array().cloned().unwrap_or_default();
        let all: Vec<_> = instances
            .iter()
            .flat_map(|instance| {
                instance["certificates"]
                    .as_array()
                    .cloned()
                    .unwrap_or_default()
            })
            .collect();
        if all.len() == PAIRS {
            Ok(all)
        } else {
            Err(all.len())
        }
    })
    .await;
    for certificate in &all {
        assert_eq!(certificate["state"], "valid", "{certificate}");
        assert_eq!(certificate["source"], "acme", "{certificate}");
        assert_eq!(
            certificate["names"].as_array().unwrap().len(),
            2,
            "{certificate}"
        );
        // It is known when each is due, and none is now.
        assert!(certificate["next_renewal"].is_string(), "{certificate}");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0, "the authority was asked");
}

#[tokio::test]
async fn a_certificate_goes_into_the_volume_of_its_own_stack_and_follows_each_change() {
    let engine = FakeEngine::new();
    let text = "[engine]\nkind = \"docker\"\n".to_owned()
        + &["congress", "party"]
            .map(|name| {
                format!(
                    "[[instance]]\nname = \"{name}\"\ndomains = [\"{name}.example.org\"]\n\
                     export-certificate = {{ volume = \"certs\" }}\n\
                     [instance.service.web]\nrole = \"sessions\"\n"
                )
            })
            .concat();
    let setup = Setup::new(&text).engine(Arc::new(Shared(Arc::clone(&engine))), false);
    let volume = setup.path("volume");
    fs::create_dir(&volume).unwrap();
    let certs = setup.path("certs");
    let edge = setup.start().await;
    engine.stack("congress", |stack| {
        let place = Volume::At(volume.as_path().into());
        stack.volumes.insert("certs".to_owned(), place);
    });
    engine.stack("party", |stack| {
        let why = "it is not mounted into usher's container".to_owned();
        stack
            .volumes
            .insert("certs".to_owned(), Volume::Invisible { why });
    });

    let exported = async |what: &str| {
        eventually(what, async || {
            let read = |name: &str| fs::read(volume.join(name)).unwrap_or_default();
            let mine = |name: &str| fs::read(certs.join(name)).unwrap();
            let pair = ["congress.example.org.crt", "congress.example.org.key"];
            check(
                pair.iter().all(|name| read(name) == mine(name)),
                fs::read_dir(&volume),
            )
        })
        .await;
    };
    exported("the pair in the volume").await;
    let key = fs::metadata(volume.join("congress.example.org/key.pem")).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
    edge.pki.write_pair(&certs, &["congress.example.org"]);
    exported("the newer pair in the volume").await;
    // What was there before goes once what is new has its place.
    eventually("nothing else is left", async || {
        let names: Vec<_> = fs::read_dir(&volume).unwrap().flatten().collect();
        let mut names = names.iter().map(|name| name.file_name());
        let own = names.all(|name| name.to_string_lossy().starts_with("congress"));
        check(
            own,
            fs::read_dir(&volume).unwrap().flatten().collect::<Vec<_>>(),
        )
    })
    .await;

    eventually("a warning about the other volume", async || {
        let party = edge.instance("party").await;
        let told = party["reasons"].to_string();
        let named = told.contains("the volume `certs`") && told.contains("not mounted into usher");
        check(named, told)
    })
    .await;
    let congress = edge.instance("congress").await;
    assert!(
        !congress["reasons"].to_string().contains("volume"),
        "{congress}"
    );
}

#[tokio::test]
async fn a_container_that_mounts_the_folder_of_all_keys_is_told_and_works_on() {
    let engine = FakeEngine::new();
    let text = "[engine]\nkind = \"docker\"\n".to_owned()
        + &["congress", "party"]
            .map(|name| {
                format!(
                    "[[instance]]\nname = \"{name}\"\ndomains = [\"{name}.example.org\"]\n\
                     [instance.service.web]\nrole = \"sessions\"\n"
                )
            })
            .concat();
    let setup = Setup::new(&text).engine(Arc::new(Shared(Arc::clone(&engine))), false);
    let certs = setup.path("certs");
    let edge = setup.start().await;
    let mut postfix = unit("congress_postfix_1", 1, [127, 0, 0, 1].into());
    postfix.mounts = vec![certs.clone()];
    engine.set("congress", "postfix", vec![postfix]);
    engine.set(
        "party",
        "web",
        vec![unit("party_web_1", 1, [127, 0, 0, 1].into())],
    );
    eventually("a warning that names container and folder", async || {
        let told = edge.instance("congress").await["reasons"].to_string();
        let named = told.contains("congress_postfix_1")
            && told.contains(certs.to_str().unwrap())
            && told.contains("export-certificate");
        check(named, told)
    })
    .await;
    let party = edge.instance("party").await;
    assert!(!party["reasons"].to_string().contains("mounts"), "{party}");
}

#[tokio::test]
async fn one_instances_wildcard_answers_for_no_name_of_another() {
    let origin = Origin::start("one").await;
    let text = instance("congress", &[origin.address])
        + &instance("party", &[origin.address])
            .replace("[\"party.example.org\"]", "[\"*.example.org\"]");
    let setup = Setup::new(&text).without_certificates();
    let pki = Pki::new();
    fs::create_dir_all(setup.path("certs")).unwrap();
    lay(
        &pki,
        &setup.path("certs"),
        &["wildcard_example.org", "*.example.org"],
    );
    let mut edge: Edge = setup.start().await;
    edge.pki = pki;
    edge.all_ready().await;
    tls(&edge, "any.example.org", &["http/1.1"])
        .await
        .expect("the wildcard's own");
    let error = tls(&edge, "congress.example.org", &["http/1.1"])
        .await
        .unwrap_err();
    assert!(error.to_string().contains("UnrecognisedName"), "{error}");
    eventually("why it has none", async || {
        let told = edge.instance("congress").await["certificates"].to_string();
        check(told.contains("belongs to the instance party"), told)
    })
    .await;
}
