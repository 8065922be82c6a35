use crate::config::fixture::{good, issues};

#[test]
fn a_directory_that_is_not_declared_is_named() {
    let found = issues("[acme]\ndirectories = [\"company\"]\n");
    assert!(
        found[0].contains("declare it as [acme.directory.company]"),
        "{found:?}"
    );
    let config = good(
        "[acme]\ndirectories = [\"company\", \"letsencrypt\"]\n[acme.directory.company]\nurl = \"https://ca.example.org/dir\"\n",
    );
    let names: Vec<_> = config
        .acme
        .expect("acme")
        .directories
        .into_iter()
        .map(|dir| dir.name)
        .collect();
    assert_eq!(names, ["company", "letsencrypt"]);
}

#[test]
fn a_key_of_an_authority_is_in_a_file_or_in_a_variable() {
    let directory = |eab: &str| {
        format!("[acme.directory.own]\nurl = \"https://ca.test/\"\neab = {{ kid = \"k\"{eab} }}\n")
    };
    let config = good(&directory(", key-variable = \"EAB_KEY\""));
    assert!(config.acme.is_some());
    for wrong in ["", ", key-file = \"/dev/null\", key-variable = \"EAB_KEY\""] {
        let told = issues(&directory(wrong)).join("");
        assert!(
            told.contains("either `key-file` or `key-variable`"),
            "{told}"
        );
    }
}
