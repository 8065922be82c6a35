//! Variables of nginx-proxy, as the process is started with them.

use std::ffi::OsStr;

use serde_json::Value;

use crate::harness::docker_api::DockerApi;
use crate::harness::eventually::{check, eventually};
use crate::harness::program::{Program, run_with};
use crate::harness::{Front, Installed, client};

/// The keys of nginx-proxy's `LOG_JSON`, in its order.
const KEYS: [&str; 12] = [
    "time_local",
    "client_ip",
    "remote_addr",
    "request",
    "status",
    "body_bytes_sent",
    "request_time",
    "upstream_response_time",
    "upstream_addr",
    "http_referrer",
    "http_user_agent",
    "request_id",
];

fn tables(api: &DockerApi) -> String {
    format!(
        "[engine]\nkind = \"docker\"\nendpoint = \"unix://{}\"\n\
         [acme]\ndirectories = []\n\
         [[instance]]\nname = \"congress\"\ndomains = [\"congress.example.org\"]\n\
         [instance.service.web]\nrole = \"fixed\"\nport = 8000\n",
        api.socket().display()
    )
}

/// As the image runs, beside a file that was mounted.
fn start(installed: &Installed, variables: &[(&str, &str)]) -> Program {
    let arguments = ["run", "--names-from-containers", "open"];
    let arguments = [&arguments[..], &["--config", "usher.toml"]].concat();
    let variables: Vec<(&str, &OsStr)> = variables
        .iter()
        .map(|(name, value)| (*name, OsStr::new(*value)))
        .collect();
    Program::start_with(installed.folder.path(), &arguments, &variables)
}

#[tokio::test]
async fn what_is_said_for_the_proxy_as_a_whole_holds_where_the_file_is_silent() {
    let api = DockerApi::start();
    let claim = ["VIRTUAL_HOST=blog.example.org", "VIRTUAL_PATH=/app"];
    api.compose_with("blog", "web", 1, &claim).await;
    api.compose("congress", "web", 1).await;
    let installed = Installed::new(&tables(&api));
    let set = [
        ("DEFAULT_HOST", "blog.example.org"),
        ("DEFAULT_ROOT", "418"),
        ("ENABLE_HTTP2", "false"),
        ("HSTS", "max-age=77"),
        ("HTTPS_METHOD", "nohttp"),
        ("LOG_JSON", "true"),
        ("LOG_FORMAT", "$host"),
        ("FILES_UID", "1000"),
        ("FOLDERS_PERMS", "750"),
        ("SSL_POLICY", "Mozilla-Old"),
    ];
    let mut usher = start(&installed, &set);
    usher.says("Watching docker events").await;

    let secure = "https://congress.example.org/page";
    installed.answers(secure, 200).await;
    let answer = installed.ask(secure).send().await;
    assert_eq!(answer.field("strict-transport-security"), "max-age=77");
    assert!(installed.ask(secure).http2().try_send().await.is_err());
    // `nohttp`, and there is a certificate.
    installed.answers("http://congress.example.org/", 503).await;
    installed.answers("http://blog.example.org/app", 200).await;
    installed
        .answers("http://nobody.example.org/app", 200)
        .await;
    installed
        .answers("http://blog.example.org/other", 418)
        .await;

    let errors = usher.err();
    for words in [
        "SSL_POLICY",
        "Mozilla-Intermediate holds",
        "LOG_FORMAT",
        "FILES_UID",
        "FOLDERS_PERMS",
    ] {
        assert!(errors.contains(words), "{words}: {errors}");
    }
    assert!(!errors.contains("DEFAULT_ROOT"), "it is followed: {errors}");
}

#[tokio::test]
async fn clients_are_told_to_come_by_tls_only_where_the_method_that_holds_leads_there() {
    let api = DockerApi::start();
    let redirect = ["VIRTUAL_HOST=redirect.example.org", "HTTPS_METHOD=redirect"];
    let both = ["VIRTUAL_HOST=both.example.org", "HSTS=max-age=5"];
    api.compose_with("redirect", "web", 1, &redirect).await;
    api.compose_with("both", "web", 1, &both).await;
    api.compose("congress", "web", 1).await;
    let file = tables(&api).replacen("domains", "hsts = \"max-age=9\"\ndomains", 1);
    let installed = Installed::new(&file);
    for name in ["redirect.example.org", "both.example.org"] {
        installed.pki.write_pair(&installed.certs(), &[name]);
    }
    let mut usher = start(&installed, &[("HTTPS_METHOD", "noredirect")]);
    usher.says("Watching docker events").await;
    for (name, expected) in [
        ("redirect", "max-age=31536000"),
        ("both", ""),
        ("congress", "max-age=9"),
    ] {
        let url = format!("https://{name}.example.org/");
        installed.answers(&url, 200).await;
        let answer = installed.ask(&url).send().await;
        let told = answer.field("strict-transport-security");
        assert_eq!(told, expected, "{name}");
    }
}

#[tokio::test]
async fn whoever_has_no_certificate_is_served_by_plain_http_only_where_that_is_said() {
    let api = DockerApi::start();
    let silent = ["VIRTUAL_HOST=silent.example.org"];
    let plain = [
        "VIRTUAL_HOST=plain.example.org",
        "ENABLE_HTTP_ON_MISSING_CERT=T",
    ];
    api.compose_with("silent", "web", 1, &silent).await;
    api.compose_with("plain", "web", 1, &plain).await;
    let installed = Installed::new(&tables(&api));
    let mut usher = start(&installed, &[("ENABLE_HTTP_ON_MISSING_CERT", "false")]);
    usher.says("Watching docker events").await;
    installed.answers("http://plain.example.org/", 200).await;
    installed.answers("http://silent.example.org/", 301).await;
}

#[tokio::test]
async fn a_container_of_a_single_run_is_never_served() {
    let api = DockerApi::start();
    let host = ["VIRTUAL_HOST=blog.example.org"];
    api.one_off("blog", "web", &host).await;
    let other = ["VIRTUAL_HOST=other.example.org"];
    api.compose_with("other", "web", 1, &other).await;
    let installed = Installed::new(&tables(&api));
    let _usher = start(&installed, &[]);
    installed.answers("http://other.example.org/", 200).await;
    let answer = installed.ask("http://blog.example.org/").send().await;
    assert_eq!(answer.status, 503);
    api.compose_with("blog", "web", 1, &host).await;
    installed.answers("http://blog.example.org/", 200).await;
}

#[tokio::test]
async fn networks_logs_and_trust_are_of_the_proxy_as_a_whole_where_nobody_says_else() {
    let api = DockerApi::start();
    api.compose("congress", "web", 1).await;
    let installed = Installed::new(&tables(&api));
    let set = [
        ("DISABLE_ACCESS_LOGS", "true"),
        ("ENABLE_PROXY_PROTOCOL", "true"),
        ("HTTPS_METHOD", "nohttps"),
        ("NETWORK_ACCESS", "internal"),
        ("TRUST_DOWNSTREAM_PROXY", "true"),
    ];
    let mut usher = start(&installed, &set);
    usher.says("Watching docker events").await;
    let ask = async |from: &str| {
        let http = installed.http();
        let stream = tokio::net::TcpStream::connect(http).await.unwrap();
        let request = format!(
            "PROXY TCP4 {from} 192.0.2.1 4000 80\r\n\
             GET /headers HTTP/1.1\r\nhost: congress.example.org\r\n\
             x-forwarded-for: 198.51.100.7\r\nx-forwarded-proto: https\r\n\
             connection: close\r\n\r\n"
        );
        client::raw(stream, request.as_bytes()).await
    };
    let served = eventually("served inside", async || {
        let answer = ask("10.1.2.3").await;
        check(answer.contains("200 OK"), answer.clone()).map(|()| answer)
    })
    .await;
    for words in ["198.51.100.7", "\"https\""] {
        assert!(served.contains(words), "{words} is believed: {served}");
    }
    let outside = ask("203.0.113.9").await;
    assert!(outside.contains("403 Forbidden"), "{outside}");
    assert_eq!(usher.out(), "", "nothing is logged");
}

#[tokio::test]
async fn the_log_of_nginx_proxy_has_its_twelve_keys_and_one_line_for_a_websocket() {
    let api = DockerApi::start();
    api.compose("congress", "web", 1).await;
    let installed = Installed::new(&tables(&api));
    let usher = start(&installed, &[("LOG_JSON", "1")]);
    installed
        .answers("https://congress.example.org/", 200)
        .await;
    installed
        .ask("https://congress.example.org/page?token=secret")
        .field("user-agent", "a \"browser\"")
        .field("referer", "https://congress.example.org/from?token=secret")
        .field("x-forwarded-for", "198.51.100.7")
        .send()
        .await;
    let mut socket = installed
        .ask("wss://congress.example.org/ws/")
        .websocket()
        .await
        .expect("open");
    socket.echo("hello").await;
    socket.close().await;

    let lines = eventually("the lines are written", async || {
        let out = usher.out();
        let wanted = out.contains("GET /page") && out.contains("GET /ws/");
        check(wanted, out.clone()).map(|()| out)
    })
    .await;
    assert!(!lines.contains("secret"), "{lines}");
    let line = |part: &str| -> (String, Value) {
        let mut found = lines.lines().filter(|line| line.contains(part));
        let line = found.next().expect("a line").to_owned();
        assert_eq!(found.count(), 0, "{lines}");
        let value = serde_json::from_str(&line).expect("JSON");
        (line, value)
    };
    let (text, page) = line("GET /page");
    let mut at = 0;
    for key in KEYS {
        let place = text.find(&format!("\"{key}\":")).expect(key);
        assert!(place >= at, "{key}: {text}");
        at = place;
        assert!(page[key].is_string(), "{key}: {text}");
    }
    assert_eq!(
        page.as_object().map(serde_json::Map::len),
        Some(12),
        "{text}"
    );
    assert_eq!(page["request"], "GET /page HTTP/1.1");
    assert_eq!(page["status"], "200");
    assert_eq!(page["client_ip"], "198.51.100.7");
    assert_eq!(page["remote_addr"], "127.0.0.1");
    assert_eq!(page["http_user_agent"], "a \"browser\"");
    assert_eq!(page["http_referrer"], "https://congress.example.org/from");
    assert!(
        page["upstream_addr"].as_str().unwrap().ends_with(":8000"),
        "{text}"
    );
    assert_eq!(
        page["request_id"].as_str().map(str::len),
        Some(32),
        "{text}"
    );
    let seconds: f64 = page["upstream_response_time"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(seconds < 20.0, "{text}");
    let (_, socket) = line("GET /ws/");
    assert_eq!(socket["status"], "101");
}

#[tokio::test]
async fn with_a_proxy_header_on_every_connection_nobody_names_himself_without_one() {
    let api = DockerApi::start();
    api.compose("congress", "web", 1).await;
    let installed = Installed::new(&tables(&api));
    let set = [
        ("ENABLE_PROXY_PROTOCOL", "true"),
        ("HTTPS_METHOD", "noredirect"),
    ];
    let mut usher = start(&installed, &set);
    usher.says("Watching docker events").await;
    let ask = async |before: &str| {
        let stream = tokio::net::TcpStream::connect(installed.http())
            .await
            .unwrap();
        let request = "GET /headers HTTP/1.1\r\nhost: congress.example.org\r\n\
                       x-forwarded-for: 192.0.2.66\r\nconnection: close\r\n\r\n";
        client::raw(stream, format!("{before}{request}").as_bytes()).await
    };
    let header = "PROXY TCP4 203.0.113.9 192.0.2.1 4000 80\r\n";
    eventually("served behind a header", async || {
        let answer = ask(header).await;
        check(answer.contains("200 OK"), answer)
    })
    .await;
    let answer = ask(header).await;
    assert!(answer.contains("203.0.113.9"), "{answer}");
    assert!(!answer.contains("192.0.2.66"), "its own word: {answer}");
    assert_eq!(ask("").await, "", "closed without a header");
}

#[tokio::test]
async fn check_says_what_of_the_variables_is_not_followed() {
    let api = DockerApi::start();
    let installed = Installed::new(&tables(&api));
    let set = [
        ("HTTP_PORT", "http"),
        ("HSTS", "off"),
        ("RESOLVERS", "192.0.2.1"),
    ];
    let set = set.map(|(name, value)| (name, OsStr::new(value)));
    let mode = ["--names-from-containers", "open"];
    let check = ["check", "--offline", "--config", "usher.toml"];
    let folder = installed.folder.path();
    let checked = run_with(folder, &[&check[..], &mode].concat(), &set).await;
    assert_eq!(checked.code, 0, "{checked:?}");
    for words in [
        "HTTP_PORT: `http` is ignored",
        "RESOLVERS is set and has no effect",
    ] {
        assert!(checked.out.contains(words), "{words}: {checked:?}");
    }
    assert!(!checked.out.contains("HSTS"), "it is followed: {checked:?}");
    let alone = run_with(folder, &check, &set).await;
    assert!(
        alone.out.contains("HSTS is set and has no effect"),
        "{alone:?}"
    );
}

#[tokio::test]
async fn what_is_in_force_is_shown_with_the_variable_that_said_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = "[listen]\nhttp = [\"127.0.0.1:8080\"]\n[[instance]]\nname = \"congress\"\n\
                domains = [\"congress.example.org\"]\n[instance.service.web]\nrole = \"fixed\"\n";
    std::fs::write(folder.path().join("usher.toml"), file).expect("written");
    let set = [
        ("ACME_CA_URI", "https://ca.test/dir"),
        ("DOCKER_HOST", "unix:///srv/docker.sock"),
        ("ENABLE_HTTP2", "false"),
        ("HTTPS_METHOD", "noredirect"),
        ("HTTPS_PORT", "8443"),
        ("HTTP_PORT", "81"),
    ];
    let set = set.map(|(name, value)| (name, OsStr::new(value)));
    let show = ["show", "--config", "usher.toml"];
    let open = ["--names-from-containers", "open"];
    let shown = run_with(folder.path(), &[&show[..], &open].concat(), &set).await;
    assert_eq!(shown.code, 0, "{}", shown.err);
    let says = |key: &str, value: &str, origin: &str| {
        let line = format!("{key} = {value}");
        let mut lines = shown.out.lines();
        let found = lines.any(|text| text.starts_with(&line) && text.ends_with(origin));
        assert!(found, "{line} {origin}: {}", shown.out);
    };
    says("http", "[\"127.0.0.1:8080\"]", "# usher.toml:2");
    says("https", "[\"0.0.0.0:8443\"]", "# environment: HTTPS_PORT");
    says("http2", "false", "# environment: ENABLE_HTTP2");
    says("names-from-containers", "\"open\"", "# command line");
    says(
        "endpoint",
        "\"unix:///srv/docker.sock\"",
        "# environment: DOCKER_HOST",
    );
    says(
        "directories",
        "[\"environment\"]",
        "# environment: ACME_CA_URI",
    );
    says(
        "url",
        "\"https://ca.test/dir\"",
        "# environment: ACME_CA_URI",
    );
    // Of the instance, and of those that containers ask for.
    says("https", "\"both\"", "# environment: HTTPS_METHOD");
    says("# https", "\"both\"", "# environment: HTTPS_METHOD");
    says(
        "unknown-name",
        "\"default\"",
        "# default in the place of nginx-proxy",
    );
    says("max-connections", "", "# default");
    assert!(
        shown.out.contains("[acme.directory.environment]"),
        "{}",
        shown.out
    );
    // It is a configuration itself.
    std::fs::write(folder.path().join("again.toml"), &shown.out).expect("written");
    let again = ["check", "--offline", "--config", "again.toml"];
    let checked = run_with(folder.path(), &again, &[]).await;
    assert_eq!(checked.code, 0, "{}{}", checked.out, checked.err);

    // Without that option none of them counts but the engine's, and that is said.
    let shown = run_with(folder.path(), &show, &set).await;
    assert!(
        shown.err.contains("HTTPS_PORT is set and has no effect"),
        "{}",
        shown.err
    );
    assert!(!shown.out.contains("8443"), "{}", shown.out);
    assert!(
        shown.out.contains("unix:///srv/docker.sock"),
        "{}",
        shown.out
    );
}
