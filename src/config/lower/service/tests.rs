use crate::config::fixture::{good, instance, issues};

#[test]
fn bounds_ratios_and_spans_are_checked() {
    let service = |text: &str| {
        issues(&format!(
            "[[instance]]\nname = \"c\"\ndomains = [\"c.example.org\"]\n[instance.service.web]\nrole = \"sessions\"\n{text}"
        ))
        .join("\n")
    };
    assert!(service("min = 5\nmax = 2").contains("`max` (2) must be at least `min` (5)"));
    assert!(service("port = 0").contains("between 1 and 65535"));
    assert!(service("probe = \"http\"").contains("is no probe"));
    assert!(service("ratio = 2.0").contains("role ratio"));
    let ratio = |text: &str| {
        service(&format!(
            "[instance.service.worker]\nrole = \"ratio\"\n{text}"
        ))
    };
    assert!(ratio("of = \"web\"\nratio = 0.0").contains("above 0"));
    assert!(ratio("of = \"postgres\"").contains("no service with the role sessions"));
    assert!(ratio("").contains("needs `of`"));
    assert!(service("[instance.limits]\nclose-code = 1006").contains("no code"));
    assert!(
        service("[instance.limits]\nreplica-drain = \"2h\"\nreplica-drain-max = \"1h\"")
            .contains("at least `replica-drain`")
    );
}

const WEB: &str = "[[instance]]\nname = \"congress\"\ndomains = [\"congress.example.org\"]\n\
                   [instance.service.web]\nrole = \"sessions\"\nport = 8000\n";

#[test]
fn memory_and_processors_of_a_replica_are_read_in_bytes_and_thousandths() {
    let config = good(&format!("{WEB}memory = \"300MiB\"\ncpus = 0.25\n"));
    let reserved = instance(&config, "congress").services["web"].reserved;
    assert_eq!(
        (reserved.memory, reserved.processor),
        (Some(300 << 20), Some(250))
    );
}

#[test]
fn nothing_and_everything_are_no_reservation_and_what_is_not_scaled_has_none() {
    let fixed = WEB.replace("\"sessions\"", "\"fixed\"");
    for (text, why) in [
        (
            format!("{WEB}memory = \"unlimited\"\n"),
            "must be the memory that one replica needs",
        ),
        (
            format!("{WEB}memory = \"0MiB\"\n"),
            "must be the memory that one replica needs",
        ),
        (
            format!("{WEB}cpus = 0.0\n"),
            "must be above 0 and at most 1000",
        ),
        (
            format!("{fixed}cpus = 1.0\n"),
            "only for a service that is scaled",
        ),
        (
            format!("{fixed}memory = \"1GiB\"\n"),
            "only for a service that is scaled",
        ),
    ] {
        let issues = issues(&text);
        assert_eq!(issues.len(), 1, "{issues:?}");
        assert!(issues[0].contains(why), "{issues:?}");
    }
}
