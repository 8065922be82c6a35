use crate::config::fixture::{Files, SMALL};

#[test]
fn a_domain_belongs_to_one_instance_and_the_live_owner_keeps_it() {
    let files = Files::new(&SMALL.replace("\"congress\"", "\"zulu\""));
    let before = files.load(None).config.expect("good");
    let claimant = SMALL.replace("\"congress\"", "\"alpha\"");
    files.write(
        "usher.toml",
        &format!("{claimant}{}", SMALL.replace("\"congress\"", "\"zulu\"")),
    );

    let live = files.load(Some(&before));
    let text = live.issues[0].to_string();
    assert!(
        text.contains(
            "instance.alpha.domains: `congress.example.org` belongs to the instance `zulu`"
        ),
        "{text}"
    );
    let config = live.config.expect("applied");
    assert_eq!(
        config
            .instances
            .keys()
            .map(|name| name.as_str())
            .collect::<Vec<_>>(),
        ["zulu"]
    );

    let first = files.load(None).config.expect("applied");
    assert_eq!(first.instances.len(), 1);
}

#[test]
fn a_stack_belongs_to_one_instance() {
    let second = SMALL
        .replace("\"congress\"", "\"other\"\nstack = \"congress\"")
        .replace("congress.example.org", "other.example.org");
    let files = Files::new(&format!("{SMALL}{second}"));
    let loaded = files.load(None);
    let text = loaded.issues[0].to_string();
    assert!(
        text.contains(
            "instance.other.stack: the stack `congress` belongs to the instance `congress`"
        ),
        "{text}"
    );
    assert_eq!(loaded.config.expect("applied").instances.len(), 1);
}
