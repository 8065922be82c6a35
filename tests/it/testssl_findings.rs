//! What testssl.sh says of the TLS that usher speaks.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use crate::harness::{Front, Installed, Origin, instance};

const HOST: &str = "congress.example.org";
/// It opens some thousand connections.
const PATIENCE: Duration = Duration::from_secs(900);

/// Findings about the certificate of the tests: its authority is known to nobody, answers nothing and
/// has no record in the DNS. What is served is the operator's choice, not usher's.
const OF_THE_CERTIFICATE: [&str; 7] = [
    "cert_chain_of_trust",
    "cert_crlDistributionPoints",
    "cert_expirationStatus",
    "cert_extlifeSpan",
    "cert_notAfter",
    "cert_revocation",
    "cert_validityPeriod",
];

#[tokio::test]
#[ignore = "needs testssl.sh"]
async fn protocols_ciphers_and_known_attacks_leave_nothing_of_medium_severity() {
    let origin = Origin::start("one").await;
    let installed = Installed::new(&instance("congress", &[origin.address]));
    let _usher = installed.start().await;
    installed.answers(&format!("https://{HOST}/"), 200).await;
    let found = installed.folder.path().join("findings.json");
    let mut testssl = Command::new("testssl");
    testssl
        .args(["--quiet", "--color", "0", "--warnings", "off"])
        // The protocols, the ciphers, what the server prefers and says by default, the attacks.
        .args(["--protocols", "--std", "--fs", "--server-preference"])
        .args(["--server-defaults", "--vulnerable"])
        .args(["--nodns", "min", "--ip", "127.0.0.1", "--jsonfile"])
        .arg(&found)
        .arg(format!("{HOST}:{}", installed.https().port()))
        .current_dir(installed.folder.path())
        .kill_on_drop(true);
    let ended = timeout(PATIENCE, testssl.output()).await;
    let output = ended.expect("an end in time").expect("testssl runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();

    let text = fs::read_to_string(&found).unwrap_or_else(|error| panic!("{error}: {said}"));
    let findings: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    let word = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let looked_at = |id: &str| findings.iter().any(|finding| word(finding, "id") == id);
    for id in [
        "TLS1_2",
        "TLS1_3",
        "heartbleed",
        "ROBOT",
        "LUCKY13",
        "cipherlist_NULL",
    ] {
        assert!(looked_at(id), "it has not looked at {id}: {said}");
    }
    let bad: Vec<&Value> = findings
        .iter()
        .filter(|finding| {
            let severity = word(finding, "severity");
            ["MEDIUM", "HIGH", "CRITICAL", "FATAL"].contains(&severity.as_str())
        })
        .filter(|finding| {
            let id = word(finding, "id");
            !OF_THE_CERTIFICATE.iter().any(|known| id.starts_with(known))
        })
        .collect();
    println!("{} findings, {} of them bad", findings.len(), bad.len());
    assert_eq!(bad, Vec::<&Value>::new(), "{said}");
}
