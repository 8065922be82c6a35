use crate::config::fixture::Files;
use crate::names::ServiceName;

#[test]
fn an_entry_for_many_makes_instances_of_stacks() {
    let loaded = Files::new(
        r#"
[[instance]]
name = "*"
match = { services = ["web", "worker"] }
except = ["portainer"]
domains = ["{stack}.slides.example.org"]
preset = "openslides"
rental = { from = 2026-12-01, until = 2026-12-31 }
[instance.service.web]
max = 4

[[instance]]
name = "named"
domains = ["named.example.org"]
"#,
    )
    .load(None);
    // Not every machine that runs tests knows its time zone, which is worth a warning.
    let config = loaded.config.expect("applied");
    let services: Vec<_> = ["web", "worker", "redis"]
        .map(|name| name.parse().expect("name"))
        .into();
    let made = |stack: &str, services: &[ServiceName]| {
        config.instance_by_pattern(&stack.parse().expect("stack"), services.iter())
    };
    let instance = made("saal_1", &services).expect("fits").expect("good");
    assert_eq!(
        instance.site.domains[0].to_string(),
        "saal-1.slides.example.org"
    );
    assert_eq!(instance.services["web"].bounds().expect("scaled").max, 4);
    assert!(instance.rental.is_some());
    assert!(made("portainer", &services).is_none());
    assert!(made("other", &services[..1]).is_none(), "without a worker");
    assert!(
        made("named", &services).is_none(),
        "has an entry of its own"
    );
    let upper = made("Saal", &services)
        .expect("fits")
        .expect_err("no DNS label");
    assert!(
        upper[0].text.contains("is not filled from the stack name"),
        "{upper:?}"
    );
    // A named entry takes what it does not say from the pattern.
    let named = &config.instances["named"];
    assert_eq!(named.services["web"].bounds().expect("scaled").max, 4);
    assert_eq!(named.site.close_code, 1000);
}
