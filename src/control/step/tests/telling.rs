//! What the status says, and what is handed on unchanged.

use super::*;

#[tokio::test]
async fn only_what_the_operator_wrote_gets_a_certificate_of_this_machine() {
    let hall = CONFIG
        .replace(
            "congress.example.org",
            "hall.test\", \"hall\", \"hall.example.org",
        )
        .replace("congress", "hall");
    // The stack `congress` runs, and nobody has written that name.
    let any = CONFIG
        .replace("congress.example.org", "{stack}.test")
        .replace("name = \"congress\"", "name = \"*\"");
    let local = |text: &str| {
        let mut edge = Edge::new(text);
        edge.units = Edge::running().units;
        edge.list();
        let wanted = edge.controller.certificates();
        wanted
            .all()
            .map(|wanted| {
                let names: Vec<String> = wanted.local.iter().map(ToString::to_string).collect();
                (wanted.instance.to_string(), names.join(" "))
            })
            .collect::<BTreeMap<_, _>>()
    };
    let both = format!("{hall}{any}");
    let found = local(&both);
    assert_eq!(found["hall"], "hall.test hall");
    assert_eq!(found["congress"], "");
    // Without the preflight an authority is asked for what could be in somebody's DNS.
    let found = local(&format!("[acme]\npreflight = false\n{both}"));
    assert_eq!(found["hall"], "hall");
}

#[tokio::test]
async fn an_unchanged_instance_keeps_its_allocation_from_plan_to_plan() {
    let text = format!("{CONFIG}{}", CONFIG.replace("congress", "assembly"));
    let mut edge = Edge::new(&text);
    edge.units
        .insert("web", vec![unit("web_1", Origin::Declared { number: 1 })]);
    edge.list();
    edge.settle();
    let before = Arc::clone(&edge.controller.plan);
    edge.probe("web_1", true);
    edge.settle();
    let after = Arc::clone(&edge.controller.plan);
    assert!(after.generation > before.generation);
    assert!(Arc::ptr_eq(
        &before.instances["assembly"],
        &after.instances["assembly"]
    ));
    assert!(!Arc::ptr_eq(
        &before.instances["congress"],
        &after.instances["congress"]
    ));
    edge.settle();
    assert_eq!(
        edge.controller.plan.generation, after.generation,
        "nothing changed, no plan"
    );
}

#[tokio::test]
async fn a_volume_that_is_not_there_is_said_and_answers_503() {
    let text = format!(
        "{CONFIG}\n[[instance.route]]\nprefix = \"/static/\"\nfiles = {{ volume = \"staticfiles\" }}\n"
    );
    let mut edge = Edge::new(&text);
    let mut inventory = Edge::running().inventory();
    edge.list_this(Some(inventory.clone()), None);
    edge.settle();
    let missing = |edge: &Edge| {
        edge.controller.plan.instances["congress"]
            .routes
            .iter()
            .any(|route| {
                matches!(
                    &route.target,
                    Target::Files(crate::plan::FileRoot::Missing(_), _)
                )
            })
    };
    assert!(missing(&edge));
    let status = edge.controller.status(edge.now);
    let reasons = &status.instances[0].reasons;
    assert!(
        reasons
            .iter()
            .any(|r| r.text.contains("no volume `staticfiles`")),
        "{reasons:?}"
    );
    let stack = inventory.stacks.change("congress".parse().expect("name"));
    stack
        .volumes
        .insert("staticfiles".into(), Volume::At("/volumes/x".into()));
    edge.list_this(Some(inventory), None);
    edge.settle();
    assert!(!missing(&edge));
}

#[tokio::test]
async fn a_cause_is_told_once_with_its_consequences_under_it() {
    let text = format!(
        "{CONFIG}\n[instance.service.redis]\nrole = \"fixed\"\nprobe = \"tcp:6379\"\n[instance.depends]\nweb = [\"redis\"]\nworker = [\"redis\"]\n"
    );
    let mut edge = Edge::new(&text);
    edge.units = Edge::running().units;
    edge.units.get_mut("web").expect("web")[0].health = None;
    edge.list();
    edge.probe("web_1", true);
    for _ in 0..3 {
        edge.probe("web_1", false);
    }
    edge.settle();
    let status = edge.controller.status(edge.now);
    let congress = &status.instances[0];
    assert_eq!(congress.status, Level::Critical);
    let first = &congress.reasons[0];
    assert_eq!(
        (first.part.as_str(), first.text.as_str()),
        ("service:redis", "the stack has no service redis")
    );
    assert_eq!(
        first.also,
        ["no replica of web is ready: web_1 does not answer its probe: refused"]
    );
}
