use std::fs;

use super::*;

const ALL: &str = "0123456789abcdef-all";
const ONE: &str = "0123456789abcdef-one";

struct Desk {
    access: Access,
    _folder: tempfile::TempDir,
}

impl Desk {
    fn new(tokens: bool, allow: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tokens");
        fs::write(&path, format!("{ALL}\n{ONE} instance=congress\n")).expect("written");
        let admin = Admin {
            listen: SocketAddr::from(([127, 0, 0, 1], 9900)),
            socket: "control.sock".into(),
            allow: allow
                .iter()
                .map(|net| net.parse().expect("a network"))
                .collect(),
            certificate: None,
            token_file: tokens.then_some(path),
            client_ca: None,
        };
        Self {
            access: Access::new(&admin, folder.path()),
            _folder: folder,
        }
    }

    fn ask(&self, fields: &[(&'static str, &str)]) -> Result<Scope, StatusCode> {
        self.ask_from("127.0.0.1:50000", false, fields)
    }

    fn ask_from(
        &self,
        peer: &str,
        certified: bool,
        fields: &[(&'static str, &str)],
    ) -> Result<Scope, StatusCode> {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(*name, value.parse().expect("a value"));
        }
        let visitor = Visitor::Remote {
            peer: peer.parse().expect("an address"),
            local: "127.0.0.1:9900".parse().expect("an address"),
            certified,
        };
        let admitted = self.access.admit(&map, visitor);
        admitted.map_err(|refusal| {
            let answer = refusal.answer();
            use hyper::body::Body;
            assert!(answer.body().is_end_stream(), "a refusal says nothing");
            answer.status()
        })
    }
}

#[test]
fn on_loopback_the_host_is_ours_by_address_or_localhost() {
    let desk = Desk::new(false, &[]);
    for good in [
        "localhost",
        "localhost:9900",
        "127.0.0.1:9900",
        "127.0.0.53",
        "[::1]:9900",
    ] {
        assert_eq!(desk.ask(&[("host", good)]), Ok(Scope::All), "{good}");
    }
    for bad in [
        "evil.example.net",
        "localhost.evil.net",
        "127.0.0.1.evil.net:9900",
        "127.0.0.1:80",
        "10.0.0.1:9900",
        "localhost:9900:9900",
        "[::1",
        "",
    ] {
        let refused = Err(StatusCode::FORBIDDEN);
        assert_eq!(desk.ask(&[("host", bad)]), refused, "{bad}");
    }
    assert_eq!(desk.ask(&[]), Err(StatusCode::FORBIDDEN));
    let twice = [("host", "localhost"), ("host", "evil.example.net")];
    assert_eq!(desk.ask(&twice), Err(StatusCode::FORBIDDEN));
}

#[test]
fn a_page_of_another_site_is_refused_with_a_token_too() {
    let bearer = format!("Bearer {ALL}");
    for (desk, host) in [
        (Desk::new(false, &[]), "localhost:9900"),
        (Desk::new(true, &[]), "ops.example.org:9900"),
    ] {
        let ask = |origin: &str| {
            desk.ask(&[
                ("host", host),
                ("authorization", &bearer),
                ("origin", origin),
            ])
        };
        assert_eq!(ask(&format!("http://{host}")), Ok(Scope::All));
        for foreign in [
            "https://evil.example.net",
            "null",
            "http://localhost:8080",
            "",
        ] {
            assert_eq!(ask(foreign), Err(StatusCode::FORBIDDEN), "{foreign}");
        }
    }
}

#[test]
fn a_token_opens_as_bearer_or_as_password_and_nothing_else_does() {
    let desk = Desk::new(true, &[]);
    let ask = |value: &str| desk.ask(&[("host", "ops.example.org"), ("authorization", value)]);
    let basic = |user: &str| format!("Basic {}", STANDARD.encode(user));
    let congress = Ok(Scope::Instance("congress".into()));
    assert_eq!(ask(&format!("Bearer {ALL}")), Ok(Scope::All));
    assert_eq!(ask(&format!("bearer {ONE}")), congress);
    assert_eq!(ask(&basic(&format!("anybody:{ALL}"))), Ok(Scope::All));
    assert_eq!(ask(&basic(&format!(":{ONE}"))), congress);
    let refused = Err(StatusCode::UNAUTHORIZED);
    for wrong in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer 0123456789abcdef",
        &format!("Bearer {ALL}x"),
        &format!("Bearer {}", &ALL[1..]),
        &format!("Digest {ALL}"),
        &basic(ALL),
        "Basic !!!",
        ALL,
    ] {
        assert_eq!(ask(wrong), refused, "{wrong}");
    }
    assert_eq!(desk.ask(&[("host", "localhost")]), refused);
}

#[test]
fn a_certificate_of_a_client_opens_everything() {
    let desk = Desk::new(true, &[]);
    let fields = [("host", "ops.example.org")];
    let admitted = desk.ask_from("192.0.2.7:50000", true, &fields);
    assert_eq!(admitted, Ok(Scope::All));
}

#[test]
fn the_list_of_networks_comes_before_everything() {
    let desk = Desk::new(true, &["192.0.2.0/24"]);
    let bearer = format!("Bearer {ALL}");
    let fields = [("host", "ops"), ("authorization", bearer.as_str())];
    let ask = |peer| desk.ask_from(peer, false, &fields);
    assert_eq!(ask("192.0.2.7:50000"), Ok(Scope::All));
    assert_eq!(ask("[::ffff:192.0.2.7]:50000"), Ok(Scope::All));
    assert_eq!(ask("198.51.100.7:50000"), Err(StatusCode::FORBIDDEN));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_taken_back_is_not_good_any_more() {
    let desk = Desk::new(true, &[]);
    let bearer = format!("Bearer {ALL}");
    let fields = [("host", "ops"), ("authorization", bearer.as_str())];
    assert_eq!(desk.ask(&fields), Ok(Scope::All));
    let path = desk._folder.path().join("tokens");
    fs::write(&path, format!("{ONE} instance=congress\n")).expect("written");
    tokio::time::advance(std::time::Duration::from_secs(2)).await;
    assert_eq!(desk.ask(&fields), Err(StatusCode::UNAUTHORIZED));
    fs::write(&path, format!("{ALL}\n# and no other\n")).expect("written");
    tokio::time::advance(std::time::Duration::from_secs(2)).await;
    assert_eq!(desk.ask(&fields), Ok(Scope::All));
    fs::remove_file(&path).expect("removed");
    tokio::time::advance(std::time::Duration::from_secs(2)).await;
    assert_eq!(desk.ask(&fields), Err(StatusCode::UNAUTHORIZED));
}
