//! What operators mounted into nginx-proxy means the same: passwords, the page for failures, answers
//! of other ACME programs, and a state that survives the container.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::process::Signal;

use crate::harness::claiming::{Container, answers, says, text};
use crate::harness::engine::{FakeEngine, Shared};
use crate::harness::eventually::{check, eventually};
use crate::harness::program::Program;
use crate::harness::{Answer, Edge, Front, Installed, Setup};

const BLOG: &str = "blog.example.org";
const SHOP: &str = "shop.example.org";

/// An edge in the place of nginx-proxy, with its two folders.
struct Place {
    engine: Arc<FakeEngine>,
    edge: Edge,
}

impl Place {
    /// `prepare` gets the folder that `nginx` and `html` are in.
    async fn open(prepare: impl FnOnce(&Setup)) -> Self {
        let engine = FakeEngine::new();
        let shared = Arc::new(Shared(Arc::clone(&engine)));
        let mut setup = Setup::new(&text("open", "")).engine(shared, false);
        for folder in ["nginx/htpasswd", "html/errors", WEBROOT] {
            fs::create_dir_all(setup.path(folder)).unwrap();
        }
        prepare(&setup);
        let folders = format!(
            "[compat]\nnginx = \"{}\"\nhtml = \"{}\"\n",
            setup.path("nginx").display(),
            setup.path("html").display()
        );
        setup.text(&folders);
        let edge = setup.start().await;
        Self { engine, edge }
    }

    async fn runs(&self, stack: &str, last: u8, values: &[(&str, &str)]) -> Container {
        let container = Container::new(stack, last, values).await;
        self.engine.set(stack, "web", vec![container.unit.clone()]);
        container
    }

    fn path(&self, name: &str) -> PathBuf {
        self.edge.folder.path().join(name)
    }

    fn passwords(&self, name: &str) -> PathBuf {
        self.path("nginx/htpasswd").join(name)
    }

    async fn with(&self, url: &str, name: &str, password: &str) -> Answer {
        let credentials = STANDARD.encode(format!("{name}:{password}"));
        let ask = self.edge.ask(url);
        ask.field("authorization", &format!("Basic {credentials}"))
            .send()
            .await
    }
}

const WEBROOT: &str = "html/.well-known/acme-challenge";
/// `password` and `U*U`, in the three forms of `htpasswd`.
const LINES: &str = "apache:$apr1$Xy.1/abc$hTJqbhQg1wUYxyxArgegK1\n\
     sha:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n\
     bcrypt:$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\n";

#[tokio::test]
async fn files_of_passwords_close_a_host_and_a_path_as_they_did() {
    let place = Place::open(|setup| {
        let at = |name: &str| setup.path("nginx/htpasswd").join(name);
        fs::write(at(BLOG), LINES).unwrap();
        // `printf /foo/ | sha1sum`
        let of_path = format!("{SHOP}_8d960560c82f4e6c8b1b0f03eb30a1afd00e5696");
        fs::write(at(&of_path), LINES).unwrap();
    })
    .await;
    let both = format!("{BLOG},open.example.org");
    let _blog = place.runs("blog", 1, &[("VIRTUAL_HOST", &both)]).await;
    let shop = [("VIRTUAL_HOST", SHOP)];
    let web = Container::new("web", 2, &shop).await;
    let foo = [shop[0], ("VIRTUAL_PATH", "/foo/")];
    let foo = Container::new("foo", 3, &foo).await;
    place.engine.set("shop", "web", vec![web.unit.clone()]);
    place.engine.set("shop", "foo", vec![foo.unit.clone()]);

    let url = format!("http://{BLOG}/");
    answers(&place.edge, &url, 401).await;
    let asked = place.edge.get(&url).await;
    assert!(
        asked
            .field("www-authenticate")
            .starts_with(&format!("Basic realm=\"Restricted {BLOG}\"")),
        "{asked:?}"
    );
    for (name, password, status) in [
        ("apache", "password", 200),
        ("sha", "password", 200),
        ("bcrypt", "U*U", 200),
        ("sha", "U*U", 401),
        ("nobody", "password", 401),
    ] {
        let answer = place.with(&url, name, password).await;
        assert_eq!(answer.status, status, "{name}");
    }
    // Of the same container, and with no file.
    answers(&place.edge, "http://open.example.org/", 200).await;

    let inner = format!("http://{SHOP}/foo/x");
    answers(&place.edge, &inner, 401).await;
    let asked = place.edge.get(&inner).await;
    assert!(
        asked
            .field("www-authenticate")
            .starts_with(&format!("Basic realm=\"Restricted {SHOP}/foo/\"")),
        "{asked:?}"
    );
    assert_eq!(place.with(&inner, "sha", "password").await.status, 200);
    answers(&place.edge, &format!("http://{SHOP}/"), 200).await;
    let socket = place.edge.ask(&format!("ws://{BLOG}/ws/")).websocket();
    assert!(socket.await.is_err(), "a websocket is no way around it");
}

#[tokio::test]
async fn a_file_of_passwords_that_comes_changes_breaks_or_goes_is_followed() {
    let place = Place::open(|_| {}).await;
    let _blog = place.runs("blog", 1, &[("VIRTUAL_HOST", BLOG)]).await;
    let url = format!("http://{BLOG}/");
    answers(&place.edge, &url, 200).await;
    let socket = place.edge.ask(&format!("ws://{BLOG}/ws/")).websocket();
    let mut socket = socket.await.expect("open");

    fs::write(place.passwords(BLOG), LINES).unwrap();
    answers(&place.edge, &url, 401).await;
    assert_eq!(place.with(&url, "sha", "password").await.status, 200);

    // One line is enough, and nobody comes in by the others.
    fs::write(place.passwords(BLOG), format!("{LINES}torn\n")).unwrap();
    answers(&place.edge, &url, 503).await;
    assert_eq!(place.with(&url, "sha", "password").await.status, 503);
    says(&place.edge, &["nobody is let in", BLOG, "line 4"]).await;

    // `other`
    fs::write(
        place.passwords(BLOG),
        "sha:{SHA}0JNqMDrqQmi9tpNPdVugu2k0b8c=\n",
    )
    .unwrap();
    eventually("the new password counts", async || {
        let answer = place.with(&url, "sha", "password").await;
        check(answer.status == 401, answer.status)
    })
    .await;

    fs::remove_file(place.passwords(BLOG)).unwrap();
    answers(&place.edge, &url, 200).await;
    assert_eq!(socket.echo("still").await, "blog: still", "it cuts nobody");
}

#[tokio::test]
async fn an_entry_is_closed_by_the_file_of_its_host_whether_or_not_a_container_asks() {
    let engine = FakeEngine::new();
    let shared = Arc::new(Shared(Arc::clone(&engine)));
    let mut setup = Setup::new(&text("listed", ""))
        .engine(shared, false)
        .without_certificates();
    fs::create_dir_all(setup.path("nginx/htpasswd")).unwrap();
    fs::write(setup.path("nginx/htpasswd").join(BLOG), LINES).unwrap();
    fs::create_dir(setup.path("static")).unwrap();
    fs::write(setup.path("static/page"), "page").unwrap();
    setup.text(&format!(
        "[compat]\nnginx = \"{0}/nginx\"\n\
         [[instance]]\nname = \"blog\"\ndomains = [\"{BLOG}\"]\n\
         [instance.service.web]\nrole = \"fixed\"\n\
         [[instance.route]]\nprefix = \"/static/\"\nfiles = {{ dir = \"{0}/static\" }}\n",
        setup.path("").display()
    ));
    let edge = setup.start().await;
    let page = format!("http://{BLOG}/static/page");
    answers(&edge, &page, 401).await;
    let blog = Container::new("blog", 1, &[("VIRTUAL_HOST", BLOG)]).await;
    engine.set("blog", "web", vec![blog.unit.clone()]);
    answers(&edge, &format!("http://{BLOG}/"), 401).await;
    assert_eq!(edge.get(&page).await.status, 401);
    engine.down("blog");
    eventually("the container is gone", async || {
        let blog = edge.instance("blog").await;
        let replicas = &blog["services"][0]["replicas"];
        check(replicas.as_array().is_some_and(Vec::is_empty), blog)
    })
    .await;
    assert_eq!(edge.get(&page).await.status, 401);
}

#[tokio::test]
async fn a_page_of_the_operators_stands_for_what_cannot_be_answered() {
    let place = Place::open(|setup| {
        fs::write(setup.path("html/errors/50x.html"), "<p>back soon</p>").unwrap();
    })
    .await;
    let unknown = "http://unknown.example.org/";
    let answer = place.edge.get(unknown).await;
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (503, "<p>back soon</p>")
    );
    assert_eq!(answer.field("cache-control"), "no-store");
    assert!(!answer.field("retry-after").is_empty());
    let blog = place.runs("blog", 1, &[("VIRTUAL_HOST", BLOG)]).await;
    let url = format!("http://{BLOG}/");
    answers(&place.edge, &url, 200).await;
    // Nobody is there any more, and the container is still known.
    let address = blog.origin.address;
    drop(blog);
    eventually("nobody answers", async || {
        let answer = place.edge.get(&url).await;
        let is_page = answer.status >= 500 && answer.text() == "<p>back soon</p>";
        check(is_page, (address, answer))
    })
    .await;
    // What is not found is none of its business.
    let reserved = format!("http://{BLOG}/.well-known/acme-challenge/none");
    let answer = place.edge.get(&reserved).await;
    assert_eq!(answer.status, 404);
    assert!(!answer.text().contains("back soon"));

    let page = place.path("html/errors/50x.html");
    let until = async |words: &str| {
        eventually(&format!("a page with {words}"), async || {
            let text = place.edge.get(unknown).await.text();
            check(text.contains(words), text)
        })
        .await;
    };
    fs::write(&page, "<p>in an hour</p>").unwrap();
    until("in an hour").await;
    fs::write(&page, vec![b'x'; (256 << 10) + 1]).unwrap();
    until("Not available right now").await;
    fs::write(&page, "<p>again</p>").unwrap();
    until("again").await;
    fs::remove_file(&page).unwrap();
    until("Not available right now").await;
}

#[tokio::test]
async fn an_instance_has_a_page_of_its_own_and_one_that_is_not_there_costs_nothing() {
    let mut setup = Setup::new("");
    let page = setup.path("sorry.html");
    fs::write(&page, "<p>sorry</p>").unwrap();
    for (name, page) in [("congress", page.clone()), ("other", setup.path("none"))] {
        setup.text(&format!(
            "[[instance]]\nname = \"{name}\"\ndomains = [\"{name}.example.org\"]\n\
             https = \"off\"\nerror-page = \"{}\"\n[instance.service.web]\nrole = \"fixed\"\n",
            page.display()
        ));
    }
    let edge = setup.start().await;
    let answer = edge.get("http://congress.example.org/").await;
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (503, "<p>sorry</p>")
    );
    let other = edge.get("http://other.example.org/").await;
    assert_eq!(other.status, 503);
    assert!(other.text().contains("<html"), "{}", other.text());
    let unknown = edge.get("http://unknown.example.org/").await;
    assert!(!unknown.text().contains("sorry"));
    fs::write(&page, "<p>very sorry</p>").unwrap();
    eventually("the new page", async || {
        let text = edge.get("http://congress.example.org/").await.text();
        check(text.contains("very"), text)
    })
    .await;
}

#[tokio::test]
async fn answers_of_other_acme_programs_are_served_on_port_80_and_nothing_else_of_the_folder() {
    let place = Place::open(|setup| {
        let at = |name: &str| setup.path(WEBROOT).join(name);
        fs::write(at("token_of-Certbot"), "token_of-Certbot.thumbprint").unwrap();
        fs::write(at("dotted.txt"), "dotted").unwrap();
        fs::write(at("large"), vec![b'x'; 5000]).unwrap();
        fs::create_dir(at("folder")).unwrap();
        fs::write(setup.path("secret"), "secret").unwrap();
        symlink(setup.path("secret"), at("out")).unwrap();
        setup.write_pair(&[BLOG]);
    })
    .await;
    let _blog = place.runs("blog", 1, &[("VIRTUAL_HOST", BLOG)]).await;
    let below = |name: &str| format!("http://{BLOG}/.well-known/acme-challenge/{name}");
    // Where everything else is led to TLS.
    answers(&place.edge, &format!("http://{BLOG}/"), 301).await;
    let answer = place.edge.get(&below("token_of-Certbot")).await;
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (200, "token_of-Certbot.thumbprint")
    );
    assert_eq!(answer.field("content-type"), "text/plain");
    for name in [
        "none",
        "dotted.txt",
        "large",
        "folder",
        "folder/",
        "out",
        "",
        "..%2f..%2fsecret",
        "../../errors/50x.html",
    ] {
        let answer = place.edge.get(&below(name)).await;
        assert!(matches!(answer.status, 400 | 404), "{name}: {answer:?}");
    }
    let elsewhere = "http://unknown.example.org/.well-known/acme-challenge/token_of-Certbot";
    assert_eq!(place.edge.get(elsewhere).await.status, 503);
    let secure = below("token_of-Certbot").replace("http://", "https://");
    assert_eq!(place.edge.get(&secure).await.status, 404);
}

#[tokio::test]
async fn passwords_of_an_expression_are_in_the_file_of_its_hash_and_the_realm_names_no_host() {
    let place = Place::open(|setup| {
        // `printf %s '~^blog-\d+\.example\.org$' | sha1sum`
        let file = setup.path("nginx/htpasswd/db2a78cc11b77372e74af0f467bf2204c30dcb81");
        fs::write(file, LINES).unwrap();
    })
    .await;
    let shape = [("VIRTUAL_HOST", r"~^blog-\d+\.example\.org$")];
    let _blog = place.runs("blog", 1, &shape).await;
    let url = "http://blog-7.example.org/";
    answers(&place.edge, url, 401).await;
    let asked = place.edge.get(url).await;
    let realm = asked.field("www-authenticate");
    assert!(
        realm.starts_with("Basic realm=\"Restricted access\""),
        "{realm}"
    );
    assert_eq!(place.with(url, "sha", "password").await.status, 200);
}

/// usher as the image starts it, with its folders below `nginx` and ports of its own.
fn in_its_place(installed: &Installed) -> Program {
    let arguments = [
        "run",
        "--names-from-containers",
        "open",
        "--config",
        "usher.toml",
    ];
    Program::start(installed.folder.path(), &arguments)
}

#[tokio::test]
async fn files_that_only_nginx_understands_are_named_with_what_to_write_instead() {
    let installed = Installed::new("");
    let nginx = installed.folder.path().join("nginx");
    fs::create_dir_all(nginx.join("vhost.d")).unwrap();
    fs::write(nginx.join("vhost.d/default_location"), "").unwrap();
    let files = [
        "nginx/network_internal.conf",
        "app/nginx.tmpl",
        "app/letsencrypt_user_data",
    ];
    let app = installed.folder.path().join("app");
    fs::create_dir_all(&app).unwrap();
    for file in files {
        fs::write(installed.folder.path().join(file), "").unwrap();
    }
    installed.write(&format!(
        "[compat]\nnginx = \"{}\"\napp = \"{}\"\n",
        nginx.display(),
        app.display()
    ));
    let mut usher = in_its_place(&installed);
    usher.says("\"serving\"").await;
    for file in files {
        let said = usher.says(&format!("{file} is not followed; write")).await;
        assert!(said.contains("warn") || said.contains("WARN"), "{said}");
    }
    let said = usher.says("vhost.d").await;
    assert!(said.contains("default_location"), "{said}");
    assert!(said.contains("[[instance.route]]"), "{said}");
}

#[tokio::test]
async fn without_a_volume_for_the_state_it_is_kept_beside_the_certificates() {
    let installed = Installed::new("");
    let folder = installed.folder.path();
    installed.write(&format!(
        "[state]\n[certs]\n[compat]\nnginx = \"{}\"\n",
        folder.join("nginx").display()
    ));
    let _ = fs::remove_dir_all(folder.join("certs"));
    let certs = folder.join("nginx/certs");
    fs::create_dir_all(&certs).unwrap();
    installed.pki.write_pair(&certs, &["default.example.org"]);

    let mut usher = in_its_place(&installed);
    usher.says("\"serving\"").await;
    let said = usher.says("state.dir").await;
    assert!(said.contains("nginx/certs/.usher"), "{said}");
    assert!(certs.join(".usher/lock").exists());
    assert!(!folder.join("state").exists());
    usher.signal(Signal::TERM);
    usher.ended().await;
    assert!(certs.join("default.example.org.crt").exists());

    // With a folder of its own it is used, and nothing is said.
    fs::create_dir(folder.join("state")).unwrap();
    let mut usher = in_its_place(&installed);
    usher.says("\"serving\"").await;
    assert!(folder.join("state/lock").exists());
    assert!(!usher.err().contains("state.dir"), "{}", usher.err());
}
