use super::fixture::{Room, host, unit};
use super::*;

mod changes;
mod grants;
mod meaning;
mod orders;
mod services;

#[test]
fn off_ignores_what_containers_claim() {
    let mut room = Room::new("off", "");
    room.web("blog", &host("blog.example.org"));
    assert!(room.names().is_empty());
    assert!(room.ruling.refused.is_empty());
}

#[test]
fn patterns_of_all_containers_together_are_bounded_and_a_prefix_is_still_had() {
    let mut room = Room::new("open", "");
    for number in 0..33 {
        let paths: String = (0..8)
            .map(|path| format!("  '~^/{path}$': {{}}\n"))
            .collect();
        let text = format!("s{number:02}.example.org:\n{paths}");
        room.web(
            &format!("s{number:02}"),
            &[("VIRTUAL_HOST_MULTIPORTS", &text)],
        );
    }
    room.web("plain", &host("plain.example.org"));
    assert_eq!(room.names().len(), 33, "{:?}", room.names());
    let refused = room.ruling.refused.values();
    let refused: Vec<_> = refused.flat_map(|told| told.iter()).collect();
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused[0].contains("256 patterns already"), "{refused:?}");
    assert_eq!(room.domains("plain"), ["plain.example.org"]);
}

#[test]
fn a_name_that_was_not_changed_is_not_made_anew_whatever_a_neighbour_says() {
    let mut room = Room::new("open", "");
    room.web("shop", &host("shop.example.org"));
    let before = Arc::clone(room.instance("shop"));
    for round in 0..300 {
        let noise: Vec<(String, String)> = (0..30)
            .map(|at| (format!("VIRTUAL_{at}"), format!("{round}\u{0}~((((,;*..")))
            .collect();
        let mut values = vec![("VIRTUAL_HOST", "shop.example.org,~((,*.*,..,shop")];
        values.extend(
            noise
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_str())),
        );
        room.web("hostile", &values);
        assert!(Arc::ptr_eq(&before, room.instance("shop")), "{round}");
    }
}

#[test]
fn of_many_stacks_only_the_one_that_changed_is_made_anew() {
    const MANY: usize = 2_000;
    let mut room = Room::new("open", "");
    for number in 0..MANY {
        let name = format!("host-{number}.example.org");
        let web = unit(&format!("{number}"), &[("VIRTUAL_HOST", &name)]);
        let services = BTreeMap::from([("web".parse().expect("name"), vec![web])]);
        let stack = format!("stack-{number}").parse().expect("name");
        let volumes = BTreeMap::new();
        room.inventory.stacks.insert(
            stack,
            Arc::new(Stack {
                services,
                volumes,
                ..Stack::default()
            }),
        );
    }
    room.settle();
    let before = room.ruling.instances.clone();
    assert_eq!(before.len(), MANY);
    room.web("stack-7", &host("other.example.org"));
    let after = &room.ruling.instances;
    let same = |(name, old): &(&InstanceName, &Arc<Instance>)| Arc::ptr_eq(old, &after[*name]);
    assert_eq!(before.iter().filter(same).count(), MANY - 1);
    assert_eq!(room.domains("stack-7"), ["other.example.org"]);
}
