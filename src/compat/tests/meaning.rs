//! What containers say means the same as in the file.

use crate::compat::fixture::{Room, host, unit};
use crate::config;
use crate::config::model::Orders;
use crate::plan::Https;

#[test]
fn open_serves_any_name_that_nobody_has() {
    let mut room = Room::new("open", "");
    room.web(
        "blog",
        &[
            ("VIRTUAL_HOST", "blog.example.org,*.blog.example.org"),
            ("VIRTUAL_PORT", "9000"),
            ("HTTPS_METHOD", "nohttp"),
            ("LETSENCRYPT_HOST", "blog.example.org"),
            ("LETSENCRYPT_EMAIL", "ops@example.org"),
            ("LETSENCRYPT_TEST", "true"),
        ],
    );
    assert_eq!(
        room.domains("blog"),
        ["blog.example.org", "*.blog.example.org"]
    );
    let blog = room.instance("blog");
    assert_eq!(blog.site.https, Https::Only);
    assert_eq!(blog.services["web"].port, Some(9000));
    assert_eq!(blog.acme_email.as_deref(), Some("ops@example.org"));
    assert!(blog.staging);
    let names = vec!["blog.example.org".parse().expect("name")];
    assert_eq!(
        blog.orders,
        Orders::Asked {
            names,
            apart: false
        }
    );
    assert_eq!(room.told("blog"), "");
}

#[test]
fn what_is_said_means_the_same_as_in_the_file() {
    let entry = "[[instance]]\nname = \"blog\"\ndomains = [\"blog.example.org\"]\n\
        https = \"both\"\nexternal-http-port = 8080\nexternal-https-port = 8448\n\
        non-get-redirect = 307\nhttp2 = false\nhsts = \"off\"\ncertificate = \"example.org\"\nacme-email = \"a@b\"\n\
        [instance.service.web]\nrole = \"fixed\"\nprobe = \"tcp\"\nport = 9000\n\
        placement = \"client\"\ntls = true\nkeep-alive = false\n\
        [[instance.route]]\nprefix = \"/app/\"\nto = \"web\"\nreplace-prefix = \"/\"\n";
    let written = Room::new("open", entry);
    let mut said = Room::new("open", "");
    said.web(
        "blog",
        &[
            ("VIRTUAL_HOST", "blog.example.org"),
            ("VIRTUAL_PORT", "9000"),
            ("VIRTUAL_PATH", "/app/"),
            ("VIRTUAL_DEST", "/"),
            ("VIRTUAL_PROTO", "https"),
            ("EXTERNAL_HTTP_PORT", "8080"),
            ("EXTERNAL_HTTPS_PORT", "8448"),
            ("HTTPS_METHOD", "noredirect"),
            ("NON_GET_REDIRECT", "307"),
            ("CERT_NAME", "example.org"),
            ("LETSENCRYPT_EMAIL", "a@b"),
            ("com.github.nginx-proxy.nginx-proxy.http2.enable", "false"),
            ("com.github.nginx-proxy.nginx-proxy.keepalive", "disabled"),
            ("com.github.nginx-proxy.nginx-proxy.loadbalance", "ip_hash;"),
        ],
    );
    let (written, said) = (&written.config.instances["blog"], said.instance("blog"));
    assert_eq!(said.site, written.site);
    assert_eq!(said.routes, written.routes);
    assert_eq!(said.certificate, written.certificate);
    assert_eq!(said.acme_email, written.acme_email);
    assert_eq!(said.services["web"].port, written.services["web"].port);
    assert_eq!(said.services["web"].probe, written.services["web"].probe);
    assert_eq!(
        said.services["web"].placement,
        written.services["web"].placement
    );
}

#[test]
fn several_ports_of_a_container_mean_the_same_as_routes_with_ports() {
    let entry = "[[instance]]\nname = \"blog\"\ndomains = [\"blog.example.org\"]\n\
        [instance.service.web]\nrole = \"fixed\"\nprobe = \"tcp\"\nport = 8000\n\
        [[instance.route]]\nprefix = \"/\"\nto = \"web\"\n\
        [[instance.route]]\nprefix = \"/admin\"\nto = \"web\"\nport = 9000\ntls = true\n\
        replace-prefix = \"/\"\n\
        [[instance.route]]\nprefix = \"~^/(a|b)/\"\nto = \"web\"\n";
    let written = Room::new("open", entry);
    let mut said = Room::new("open", "");
    let text = "blog.example.org:\n  '/': { port: 8000 }\n  '/admin': { port: 9000, proto: https, \
        dest: '/' }\n  '~^/(a|b)/': { port: 8000 }\n";
    said.web("blog", &[("VIRTUAL_HOST_MULTIPORTS", text)]);
    assert_eq!(said.told("blog"), "");
    let (written, said) = (&written.config.instances["blog"], said.instance("blog"));
    assert_eq!(said.site, written.site);
    assert_eq!(said.routes, written.routes);
    assert_eq!(said.services["web"].port, written.services["web"].port);
}

#[test]
fn patterns_are_served_where_any_name_is() {
    let mut room = Room::new("open", "");
    room.web("wild", &host("~^(a|b)\\.example\\.org$,www.example.*"));
    let site = &room.instance("wild").site;
    assert!(site.domains.is_empty());
    assert_eq!(site.patterns.len(), 2);
}

#[test]
fn a_health_check_of_the_image_stands_in_for_a_probe() {
    let mut room = Room::new("open", "");
    room.web("plain", &host("plain.example.org"));
    let probe = |room: &Room, name: &str| room.instance(name).services["web"].probe.clone();
    let tcp = config::model::Probe::Tcp { port: None };
    assert_eq!(probe(&room, "plain"), Some(tcp));
    let mut checked = unit("checked_web_1", &host("checked.example.org"));
    checked.health = Some(false);
    room.set("checked", "web", vec![checked]);
    assert_eq!(probe(&room, "checked"), None);
}
