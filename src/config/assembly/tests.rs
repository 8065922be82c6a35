use super::*;
use crate::config::fixture::{Files, SMALL};

#[test]
fn a_wrong_instance_costs_itself_and_keeps_its_last_good_form() {
    let files = Files::new(&format!("{SMALL}{}", SMALL.replace("congress", "assembly")));
    let before = files.load(None).config.expect("good");
    files.write(
        "usher.toml",
        &format!(
            "{}{}",
            SMALL.replace("8000", "0"),
            SMALL.replace("congress", "assembly")
        ),
    );
    let fresh = files.load(None);
    assert_eq!(fresh.config.expect("applied").instances.len(), 1);
    let kept = files.load(Some(&before));
    let config = kept.config.expect("applied");
    assert!(Arc::ptr_eq(
        &config.instances["congress"],
        &before.instances["congress"]
    ));
    assert!(
        Arc::ptr_eq(&config.instances["assembly"], &before.instances["assembly"]),
        "unchanged"
    );
    assert_eq!(kept.kept.len(), 1);
}

#[test]
fn an_engine_that_cannot_run_a_service_is_worth_a_word() {
    let loaded = Files::new(&format!("[engine]\nkind = \"none\"\n{SMALL}")).load(None);
    assert!(loaded.config.is_some());
    assert_eq!(loaded.issues.len(), 1);
    assert_eq!(loaded.issues[0].level, Level::Warning);
    assert!(
        loaded.issues[0].text.contains("no `addresses`"),
        "{}",
        loaded.issues[0]
    );
}
