use super::*;
use crate::config::fixture::{good, issues};

#[test]
fn alerts_go_to_alertmanager_by_its_path_and_elsewhere_as_plain_json() {
    let text = r#"
        [[alert]]
        url = "http://127.0.0.1:9093/prefix/api/v2/alerts"
        [[alert]]
        url = "https://hooks.example.org/T0/secret?token=x"
        min-status = "critical"
        [[alert]]
        url = "https://proxy.example.org/am"
        format = "alertmanager"
        [[alert]]
        command = ["/usr/local/bin/page", "--quiet"]
    "#;
    let config = good(text);
    let seen: Vec<_> = config
        .alerts
        .iter()
        .map(|alert| {
            let kind = match alert.to {
                AlertTarget::Alertmanager { .. } => "alertmanager",
                AlertTarget::Command(_) => "command",
                AlertTarget::Json { .. } => "json",
            };
            (kind, alert.to.name(), alert.min_status)
        })
        .collect();
    let expected = [
        ("alertmanager", "http://127.0.0.1:9093", MinStatus::Warning),
        ("json", "https://hooks.example.org", MinStatus::Critical),
        (
            "alertmanager",
            "https://proxy.example.org",
            MinStatus::Warning,
        ),
        ("command", "/usr/local/bin/page", MinStatus::Warning),
    ];
    let expected = expected.map(|(kind, name, least)| (kind, name.to_owned(), least));
    assert_eq!(seen, expected);
}

#[test]
fn an_alert_that_could_reach_nobody_is_refused() {
    for (text, why) in [
        ("min-status = \"warning\"", "needs a `url` or a `command`"),
        (
            "url = \"127.0.0.1:9093\"",
            "is no URL that can be posted to",
        ),
        (
            "url = \"ftp://example.org/\"",
            "is no URL that can be posted to",
        ),
        ("url = \"http://a b/\"", "is no URL"),
        (
            "url = \"http://me:secret@example.org/\"",
            "must not hold a password",
        ),
        ("command = [\"page\"]", "needs the whole path"),
        ("command = []", "names no program"),
        (
            "command = [\"/bin/page\"]\nformat = \"json\"",
            "is about a `url`",
        ),
        (
            "command = [\"/bin/page\"]\nurl = \"http://a/\"",
            "stands beside a `url`",
        ),
        (
            "url = \"http://a/\"\n[[alert]]\nurl = \"http://a/\"",
            "second time",
        ),
        (
            "url = \"http://a/\"\nmin-status = \"bad\"",
            "unknown variant",
        ),
        (
            "url = \"http://a/\"\nmin-statsu = \"warning\"",
            "did you mean `min-status`",
        ),
    ] {
        let found = issues(&format!("[[alert]]\n{text}\n"));
        assert!(
            found.iter().any(|issue| issue.contains(why)),
            "{text}: {found:?}"
        );
        assert!(!found.concat().contains("secret"), "{found:?}");
    }
}
