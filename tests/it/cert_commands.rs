//! `usher cert`, as an operator types it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::harness::client::tls;
use crate::harness::eventually::{check, eventually};
use crate::harness::{Installed, Origin, instance};

#[tokio::test]
async fn the_list_tells_of_each_certificate_and_of_what_is_missing() {
    let origin = Origin::start("origin").await;
    let text = instance("congress", &[origin.address]) + &instance("party", &[origin.address]);
    let installed = Installed::new(&text);
    fs::write(installed.certs().join("party.example.org.key"), "torn").unwrap();
    let _usher = installed.start().await;
    let list = eventually("both are listed", async || {
        let list = installed.command(&["cert", "list"]).await;
        check(list.out.lines().count() == 3, list.out.clone()).map(|()| list.out)
    })
    .await;
    let line = |name: &str| list.lines().find(|line| line.starts_with(name)).unwrap();
    assert!(
        line("NAMES").ends_with("STATE    SOURCE  DAYS    NEXT RENEWAL  LAST ERROR"),
        "{list}"
    );
    assert!(line("congress.example.org").contains("valid"), "{list}");
    let party = line("party.example.org");
    assert!(
        party.contains("missing") && party.contains("party.example.org.key holds no key"),
        "{list}"
    );

    let json = installed
        .command(&["cert", "list", "--format", "json"])
        .await;
    let listed: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(listed[0]["instance"], "congress");
    assert_eq!(listed[0]["names"][0], "congress.example.org");
    assert_eq!(listed[0]["state"], "valid");
}

#[tokio::test]
async fn pairs_are_imported_into_a_running_usher_and_told_name_by_name() {
    let origin = Origin::start("origin").await;
    let installed = Installed::new("");
    installed.write(&instance("congress", &[origin.address]));
    let _usher = installed.start().await;
    let from = installed.folder.path().join("companion");
    installed.pki.write_pair(&from, &["congress.example.org"]);
    installed.pki.write_pair(&from, &["torn.example.org"]);
    fs::write(from.join("torn.example.org.key"), "torn").unwrap();

    let import = installed.command(&["cert", "import", "companion"]).await;
    assert_eq!(import.code, 1, "one was left out: {import:?}");
    assert!(
        import.out.contains("congress.example.org: taken, ends on "),
        "{import:?}"
    );
    assert!(
        import.out.contains("torn.example.org: left out: "),
        "{import:?}"
    );
    eventually("it is served", async || {
        tls(&installed, "congress.example.org", &["http/1.1"])
            .await
            .map_err(|error| error.to_string())
    })
    .await;

    fs::remove_file(from.join("torn.example.org.key")).unwrap();
    fs::remove_file(from.join("torn.example.org.crt")).unwrap();
    let again = ["cert", "import", "companion", "--format", "json"];
    let again = installed.command(&again).await;
    assert_eq!(again.code, 0, "{again:?}");
    let told: Value = serde_json::from_str(&again.out).unwrap();
    assert_eq!(told[0]["name"], "congress.example.org");
    assert_eq!(told[0]["outcome"], "kept");

    let nothing = installed.command(&["cert", "import", "nowhere"]).await;
    assert_eq!(nothing.code, 1, "{nothing:?}");
    assert!(
        nothing.err.contains("cannot read the folder nowhere"),
        "{nothing:?}"
    );
}

#[tokio::test]
async fn a_pair_is_exported_and_the_key_only_where_it_is_asked_for() {
    let installed = Installed::new(&instance("congress", &[([127, 0, 0, 1], 1).into()]));
    let chain = fs::read_to_string(installed.certs().join("congress.example.org.crt")).unwrap();
    let key = fs::read_to_string(installed.certs().join("congress.example.org.key")).unwrap();
    let export = async |rest: &[&str]| {
        let all = [&["cert", "export", "congress.example.org"], rest].concat();
        installed.command(&all).await
    };
    assert_eq!(export(&[]).await.out, chain);
    assert_eq!(export(&["--key"]).await.out, format!("{chain}{key}"));
    let written = export(&["--dir", "out"]).await;
    assert_eq!(written.code, 0, "{written:?}");
    let out = installed.folder.path().join("out");
    for (file, content, mode) in [("crt", chain, 0o644), ("key", key, 0o600)] {
        let path = out.join(format!("congress.example.org.{file}"));
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            mode
        );
    }
    let unknown = installed
        .command(&["cert", "export", "party.example.org"])
        .await;
    assert_eq!(unknown.code, 1, "{unknown:?}");
    assert!(
        unknown.err.contains("no pair for party.example.org"),
        "{unknown:?}"
    );
    let nonsense = installed.command(&["cert", "export", "-.-"]).await;
    assert_eq!(nonsense.code, 2, "{nonsense:?}");
}

#[tokio::test]
async fn a_list_without_a_running_usher_says_where_it_asked() {
    let installed = Installed::new("");
    for command in [&["cert", "list"][..], &["cert", "renew", "a.example.org"]] {
        let run = installed.command(command).await;
        assert_eq!(run.code, 1, "{run:?}");
        assert!(run.err.contains("control.sock"), "{run:?}");
    }
}

#[tokio::test]
async fn the_root_of_the_local_authority_is_printed_once_there_is_one() {
    let origin = Origin::start("origin").await;
    let installed = Installed::new("");
    installed.write(&instance("congress", &[origin.address]).replace("example.org", "localhost"));
    let none = installed.command(&["cert", "root"]).await;
    assert_eq!(none.code, 1, "{none:?}");
    assert!(none.err.contains("no local authority"), "{none:?}");
    let _usher = installed.start().await;
    let root = eventually("a root", async || {
        let root = installed.command(&["cert", "root"]).await;
        check(root.code == 0, root.err).map(|()| root.out)
    })
    .await;
    assert!(root.starts_with("-----BEGIN CERTIFICATE"), "{root}");
    assert!(!root.contains("PRIVATE"), "{root}");
    let list = eventually("its certificate", async || {
        let list = installed.command(&["cert", "list"]).await;
        check(list.out.contains("congress.localhost"), list.err).map(|()| list.out)
    })
    .await;
    let line = list.lines().nth(1).unwrap();
    assert!(line.contains("valid") && line.contains("local"), "{list}");
}
