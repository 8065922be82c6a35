//! What stacks ask for by labels is not given, and they are told.

use super::*;

#[tokio::test]
async fn labels_that_nobody_reads_are_one_reason_of_their_stack_until_they_are_gone() {
    let mut edge = Edge::running();
    let with = |edge: &mut Edge, labels: &[&str]| {
        let mut inventory = edge.inventory();
        let stack = inventory.stacks.change("congress".parse().expect("name"));
        stack.unknown_labels = labels.iter().map(ToString::to_string).collect();
        edge.list_this(Some(inventory), None);
        let own = edge.controller.status(edge.now).instances[0].clone();
        let reasons = own
            .reasons
            .iter()
            .filter(|reason| reason.part == "labels")
            .cloned();
        reasons
            .map(|reason| (reason.status, reason.text))
            .collect::<Vec<_>>()
    };
    let told = with(&mut edge, &["usher.max", "usher.cpus"]);
    let [(Level::Warning, text)] = told.as_slice() else {
        panic!("{told:?}");
    };
    assert!(
        text.contains("are ignored (`usher.cpus`; `usher.max`)"),
        "{text}"
    );
    assert_eq!(with(&mut edge, &[]), []);
}
