use std::path::PathBuf;

use super::*;
use crate::config::fixture::{good, instance};
use crate::config::model::{FileSource, Probe, RouteTarget};

#[test]
fn every_preset_can_be_read() {
    for (name, _, _) in ALL {
        // In tests a preset with any issue panics in `find`.
        assert!(find(name).is_some(), "{name}");
    }
}

#[test]
fn the_preset_of_openslides_is_complete() {
    let config = good(
        "[[instance]]\nname = \"congress\"\ndomains = [\"a.example.org\"]\npreset = \"openslides\"\n",
    );
    let congress = instance(&config, "congress");
    assert_eq!(congress.site.close_code, 1000);
    let services: Vec<_> = congress.services.keys().map(|name| name.as_str()).collect();
    assert_eq!(services, ["postgres", "redis", "web", "worker"]);
    assert_eq!(
        congress.services["redis"].probe,
        Some(Probe::Tcp { port: Some(6379) })
    );
    assert!(congress.services.values().all(|service| !service.expected));
    let backup = congress
        .routes
        .iter()
        .find(|route| route.prefix == "/static-backup");
    let auth = backup
        .and_then(|route| route.auth.as_ref())
        .expect("closed");
    assert_eq!(auth.file, PathBuf::from("/etc/usher/congress.htpasswd"));
    assert_eq!(auth.realm, "Restricted Content");
    let last = congress
        .routes
        .iter()
        .find(|route| route.prefix == "/")
        .expect("a fallback");
    assert!(
        matches!(&last.target, RouteTarget::File(FileSource::Volume { volume, .. }) if volume == "staticfiles")
    );
}

#[test]
fn an_instance_overrides_its_preset_key_by_key() {
    let config = good(
        r#"
[limits]
close-code = 1001
websocket-idle = "1m"
[[instance]]
name = "congress"
domains = ["a.example.org"]
preset = "openslides"
[instance.service.web]
max = 3
[[instance.route]]
prefix = "/static"
files = { dir = "/srv/{stack}/static" }
"#,
    );
    let congress = instance(&config, "congress");
    let web = &congress.services["web"];
    assert_eq!(web.bounds().expect("scaled").max, 3);
    assert_eq!(web.port, Some(8000));
    // The preset is nearer than the defaults of the file.
    assert_eq!(congress.site.close_code, 1000);
    assert_eq!(congress.site.limits.websocket_idle.as_secs(), 60);
    let statics: Vec<_> = congress
        .routes
        .iter()
        .filter(|route| route.prefix == "/static")
        .collect();
    assert_eq!(statics.len(), 1);
    assert!(matches!(&statics[0].target,
        RouteTarget::Files(FileSource::Dir { dir, .. }, _) if dir == &PathBuf::from("/srv/congress/static")));
}
