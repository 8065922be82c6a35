//! Schemathesis makes up requests to the admin listener from its description, and holds the answers
//! against it.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;

use crate::harness::program::cached;
use crate::harness::{Edge, Origin, instance};

const PATIENCE: Duration = Duration::from_secs(300);

/// The description, which names instances that there are and one that is not.
fn described(folder: &Path) -> std::path::PathBuf {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let text = fs::read_to_string(config.join("admin.openapi.json")).expect("read");
    let mut description: Value = serde_json::from_str(&text).expect("JSON");
    let paths = description["paths"].as_object_mut().expect("paths");
    for path in paths.values_mut() {
        let parameters = path.pointer_mut("/get/parameters");
        for parameter in parameters
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            if parameter["name"] == "instance" {
                parameter["schema"] = json!({ "enum": ["congress", "assembly", "nobody"] });
            }
        }
    }
    fs::copy(
        config.join("stats.schema.json"),
        folder.join("stats.schema.json"),
    )
    .expect("copied");
    let file = folder.join("admin.openapi.json");
    fs::write(&file, description.to_string()).expect("written");
    file
}

#[tokio::test]
#[ignore = "needs schemathesis"]
async fn schemathesis_finds_no_answer_that_is_not_as_described() {
    let origin = Origin::start("one").await;
    let both = ["congress", "assembly"].map(|name| instance(name, &[origin.address]));
    let edge = Edge::start(&both.concat()).await;
    for path in ["/", "/status?code=500", "/nothing"] {
        let url = format!("https://congress.example.org{path}");
        edge.get(&url).await;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut suite = Command::new(cached("schemathesis", "schemathesis"));
    suite
        .arg("run")
        .arg(described(folder.path()))
        .args(["--url", &format!("http://{}", edge.running.admin)])
        .args(["--phases", "examples,coverage,fuzzing"])
        .args(["--max-examples", "100", "--no-color"])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(PATIENCE, suite.output()).await;
    let output = output.expect("an end in time").expect("started");
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(output.status.success(), "{}", output.status);
    assert!(said.contains("Tested: 12"), "every path was asked");
}
