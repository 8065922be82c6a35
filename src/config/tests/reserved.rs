//! What one replica is to have of the host at least.

use super::*;

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
