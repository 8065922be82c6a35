//! The order of the files within a room: what one takes from another, that one does not take back, nor
//! by way of others. So a room can be read from the ground up.

use std::collections::{BTreeMap, BTreeSet};

use crate::layering::files;

/// A module by its path from the crate's root: `control::status` is `["control", "status"]`.
type Module = Vec<String>;

/// The modules of these files, each with its code; those of tests are none.
fn modules(files: BTreeMap<String, String>) -> BTreeMap<Module, String> {
    let mut tests: Vec<Module> = Vec::new();
    let mut modules = BTreeMap::new();
    for (file, text) in files {
        let path = file.trim_end_matches(".rs").split('/');
        let mut module: Module = path.map(str::to_owned).collect();
        module.pop_if(|last| matches!(last.as_str(), "lib" | "main" | "mod"));
        let mut code = text.as_str();
        for (at, marked) in text.match_indices("#[cfg(test)]") {
            let item = text[at + marked.len()..].trim_start();
            let Some((visibility, declared)) = item.split_once("mod ") else {
                continue;
            };
            let is_module = visibility.is_empty() || visibility.starts_with("pub");
            if !is_module || visibility.contains('\n') {
                continue;
            }
            tests.push([&module[..], &[word(declared).to_owned()]].concat());
            // Nothing follows the tests that a file has in itself.
            if declared[word(declared).len()..]
                .trim_start()
                .starts_with('{')
            {
                code = &text[..at];
                break;
            }
        }
        modules.insert(module, code.to_owned());
    }
    modules.retain(|module, _| !tests.iter().any(|test| module.starts_with(test)));
    modules
}

/// The word that a text begins with; empty where it begins with anything else.
fn word(text: &str) -> &str {
    let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
    &text[..end.unwrap_or(text.len())]
}

/// Every path that a module names: from the root, from itself, from above, or to what is below it.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for (end, _) in code.match_indices("::") {
        let before = code[..end].rfind(|letter: char| !letter.is_alphanumeric() && letter != '_');
        let head = &code[before.map_or(0, |before| before + 1)..end];
        let ahead = &code[..end - head.len()];
        // Of a path only its head is looked at, and `$crate` is another thing.
        if !ahead.ends_with("::") && !ahead.ends_with('$') {
            spell_out(&code[end - head.len()..], Vec::new(), &mut paths);
        }
    }
    paths
}

/// What a module hands on under its own name, by that name.
fn handed_on(code: &str) -> BTreeMap<String, Vec<String>> {
    let lines = code.match_indices("use ").filter(|(at, _)| {
        let line = code[..*at].rsplit('\n').next().unwrap_or_default();
        line.starts_with("pub")
    });
    let paths = lines.flat_map(|(at, found)| {
        let mut paths = Vec::new();
        spell_out(&code[at + found.len()..], Vec::new(), &mut paths);
        paths
    });
    paths
        .filter_map(|path| Some((path.last()?.clone(), path)))
        .collect()
}

/// The module that has what a path names, seen from a module.
fn home(from: &Module, path: &[String], modules: &BTreeMap<Module, String>) -> Option<Module> {
    let mut at = match path.first()?.as_str() {
        "crate" => Vec::new(),
        _ => from.clone(),
    };
    for (index, name) in path.iter().enumerate() {
        let below = [&at[..], std::slice::from_ref(name)].concat();
        match name.as_str() {
            "crate" | "self" => {}
            "super" => drop(at.pop()),
            _ if modules.contains_key(&below) => at = below,
            // Neither a room of ours nor one of its files.
            _ if index == 0 => return None,
            // A type or a function: of that file, unless it only hands it on.
            _ => match handed_on(modules.get(&at)?).get(name) {
                Some(path) if at != *from => return home(&at, path, modules),
                _ => break,
            },
        }
    }
    Some(at)
}

/// The files that one takes from. Those above and below it are left out: the first file of a room hands on
/// what is in the others, and has what all of them share.
fn named<'m>(
    module: &Module,
    code: &str,
    modules: &'m BTreeMap<Module, String>,
) -> BTreeSet<&'m Module> {
    let paths = paths(code);
    let homes = paths.iter().filter_map(|path| home(module, path, modules));
    homes
        .filter(|home| !home.starts_with(module) && !module.starts_with(home))
        .filter_map(|home| Some(modules.get_key_value(&home)?.0))
        .collect()
}

/// The paths that a text begins with: several where it has a list in braces.
fn spell_out(text: &str, mut path: Vec<String>, into: &mut Vec<Vec<String>>) {
    if let Some(list) = text.strip_prefix('{') {
        let (mut depth, mut start) = (0, 0);
        for (at, letter) in list.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                ',' | '}' if depth == 0 => {
                    spell_out(list[start..at].trim_start(), path.clone(), into);
                    start = at + 1;
                    if letter == '}' {
                        return;
                    }
                }
                _ => {}
            }
        }
        return;
    }
    let name = word(text);
    path.push(name.to_owned());
    match text[name.len()..].strip_prefix("::") {
        Some(rest) => spell_out(rest, path, into),
        None => into.push(path),
    }
}

/// Files that name each other in a ring, each ring with every name that goes on in it.
fn rings(files: BTreeMap<String, String>) -> Vec<String> {
    let modules = modules(files);
    let names: BTreeMap<&Module, BTreeSet<&Module>> = modules
        .iter()
        .map(|(module, code)| (module, named(module, code, &modules)))
        .collect();
    // Whom each leads to, by whatever way.
    let mut leads: BTreeMap<&Module, BTreeSet<&Module>> = BTreeMap::new();
    for module in modules.keys() {
        let mut reached = BTreeSet::new();
        let mut next: Vec<&Module> = names[module].iter().copied().collect();
        while let Some(one) = next.pop() {
            if reached.insert(one) {
                next.extend(&names[one]);
            }
        }
        leads.insert(module, reached);
    }
    let mut found = Vec::new();
    for (module, reached) in &leads {
        let ring = |other: &&Module| leads[*other].contains(*module);
        let ring: BTreeSet<&Module> = reached.iter().copied().filter(ring).collect();
        // Told once, with the first of them.
        if ring.first() != Some(module) {
            continue;
        }
        let steps = ring.iter().flat_map(|one| {
            let within = names[*one].iter().filter(|other| ring.contains(*other));
            within.map(|other| format!("{} -> {}", one.join("::"), other.join("::")))
        });
        found.push(steps.collect::<Vec<_>>().join(", "));
    }
    found
}

#[test]
fn no_files_of_a_room_name_each_other_in_a_ring() {
    assert_eq!(rings(files()), Vec::<String>::new());
}

fn found(files: &[(&str, &str)]) -> Vec<String> {
    let owned = |(file, code): &(&str, &str)| ((*file).to_owned(), (*code).to_owned());
    rings(files.iter().map(owned).collect())
}

#[test]
fn a_ring_is_found_however_it_is_written() {
    let ring = vec!["room::a -> room::b, room::b -> room::a".to_owned()];
    let back = ("room/b.rs", "use super::a::A;");
    for (file, code) in [
        ("room/a.rs", "use crate::room::b::B;"),
        (
            "room/a.rs",
            "use super::{\n    c::C,\n    b::{B, self as other},\n};",
        ),
        ("room/a.rs", "fn f() -> u8 { 1 + super::b::f() }"),
        ("room/a/mod.rs", "use super::b;"),
    ] {
        assert_eq!(
            found(&[("room/mod.rs", ""), (file, code), back]),
            ring,
            "{code}"
        );
    }
    let longer = [
        ("room/mod.rs", "mod a;\npub use self::a::A;"),
        ("room/a.rs", "use super::b::B;"),
        ("room/b.rs", "use super::c::C;"),
        ("room/c.rs", "use super::A;"),
    ];
    assert_eq!(
        found(&longer),
        ["room::a -> room::b, room::b -> room::c, room::c -> room::a"]
    );
}

#[test]
fn one_way_is_no_ring_and_neither_is_what_a_room_shares_nor_a_test() {
    for code in [
        "use super::c::C;",
        "use super::Shared;",
        "use std::room::b::B;",
        "#[cfg(test)]\nmod tests {\n    use super::super::b::B;\n}",
        "#[cfg(test)]\npub(super) mod tests;",
    ] {
        let files = [
            ("room/mod.rs", "mod a; use self::a::A; pub struct Shared;"),
            ("room/a.rs", code),
            ("room/a/tests.rs", "use super::super::b::B;"),
            ("room/b.rs", "use super::a::A;"),
            ("room/c.rs", ""),
        ];
        assert_eq!(found(&files), Vec::<String>::new(), "{code}");
    }
}
