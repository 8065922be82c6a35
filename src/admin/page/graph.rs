//! What depends on what, as a picture: each part a box, what it needs to its right.

use std::collections::BTreeMap;

use maud::{Markup, html};

use crate::control::status::{Level, Part};

const BOX: (usize, usize) = (148, 40);
const GAP: (usize, usize) = (52, 14);
/// Of a name, so many characters fit into a box.
const LONGEST_NAME: usize = 18;

struct Placed<'p> {
    part: &'p Part,
    x: usize,
    y: usize,
}

/// The picture, and the same as a list for whoever does not see it.
pub(super) fn graph(instance: &str, level: Level, parts: &[Part]) -> Markup {
    let depths = depths(parts);
    let mut rows: BTreeMap<usize, usize> = BTreeMap::new();
    let placed: Vec<Placed<'_>> = parts
        .iter()
        .map(|part| {
            // The instance itself is the first column.
            let column = 1 + depths.get(part.name.as_str()).copied().unwrap_or_default();
            let row = rows.entry(column).or_default();
            let y = *row * (BOX.1 + GAP.1);
            *row += 1;
            Placed {
                part,
                x: column * (BOX.0 + GAP.0),
                y,
            }
        })
        .collect();
    let columns = rows.keys().copied().max().unwrap_or(0) + 1;
    let tallest = rows.values().copied().max().unwrap_or(1);
    let width = columns * (BOX.0 + GAP.0) - GAP.0;
    let height = tallest * (BOX.1 + GAP.1) - GAP.1;
    let needed: Vec<&str> = parts
        .iter()
        .flat_map(|part| part.depends_on.iter().map(String::as_str))
        .collect();
    html! {
        div.scroll tabindex="0" role="group" aria-label="Picture of the parts" {
            svg.graph width=(width + 4) height=(height + 4) viewBox={ "-2 -2 " (width + 4) " " (height + 4) } aria-hidden="true" focusable="false" {
                @for target in placed.iter().filter(|placed| !needed.contains(&placed.part.name.as_str())) {
                    (edge((0, 0), target))
                }
                @for from in &placed {
                    @for target in placed.iter().filter(|target| from.part.depends_on.contains(&target.part.name)) {
                        (edge((from.x, from.y), target))
                    }
                }
                (node(0, 0, instance, level))
                @for placed in &placed { (node(placed.x, placed.y, &placed.part.name, placed.part.status)) }
            }
        }
        ul.hidden {
            @for part in parts {
                li {
                    (part.name) ": " (part.status.word())
                    @if !part.depends_on.is_empty() { ", needs " (part.depends_on.join(", ")) }
                }
            }
        }
    }
}

fn node(x: usize, y: usize, name: &str, level: Level) -> Markup {
    let name = name.strip_prefix("service:").unwrap_or(name);
    let short: String = name.chars().take(LONGEST_NAME).collect();
    html! {
        g class={ "node " (level.word()) } transform={ "translate(" (x) " " (y) ")" } {
            title { (name) ": " (level.word()) }
            rect width=(BOX.0) height=(BOX.1) rx="6" { }
            svg.shape x="10" y="12" width="16" height="16" { use href={ "#s-" (level.word()) } { } }
            text x="34" y="18" { (short) @if short.len() < name.len() { "…" } }
            text.word x="34" y="32" { (level.word()) }
        }
    }
}

/// From the right side of a box to the left side of one that it needs.
fn edge((x, y): (usize, usize), target: &Placed<'_>) -> Markup {
    let (from_x, from_y) = (x + BOX.0, y + BOX.1 / 2);
    let (to_x, to_y) = (target.x, target.y + BOX.1 / 2);
    let bend = GAP.0 / 2;
    html! {
        path class={ "edge " (target.part.status.word()) }
            d={ "M" (from_x) " " (from_y) "C" (from_x + bend) " " (from_y) " " (to_x.saturating_sub(bend)) " " (to_y) " " (to_x) " " (to_y) } { }
    }
}

/// How many steps each part is from the instance: one more than whatever needs it.
fn depths(parts: &[Part]) -> BTreeMap<&str, usize> {
    let mut depths: BTreeMap<&str, usize> =
        parts.iter().map(|part| (part.name.as_str(), 0)).collect();
    // In a circle nobody comes to rest; as many rounds as parts are enough for all others.
    for _ in 0..parts.len() {
        let mut moved = false;
        for part in parts {
            let own = depths.get(part.name.as_str()).copied().unwrap_or_default();
            for needs in &part.depends_on {
                if let Some(depth) = depths.get_mut(needs.as_str())
                    && *depth <= own
                    && own < parts.len()
                {
                    *depth = own + 1;
                    moved = true;
                }
            }
        }
        if !moved {
            break;
        }
    }
    depths
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::moment::Moment;

    fn part(name: &str, needs: &[&str]) -> Part {
        Part {
            name: name.to_owned(),
            status: Level::Healthy,
            since: Moment(UNIX_EPOCH),
            depends_on: needs.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    #[test]
    fn what_is_needed_stands_behind_whatever_needs_it() {
        let parts = [
            part("postgres", &[]),
            part("redis", &["postgres"]),
            part("web", &["redis", "postgres"]),
            part("worker", &["redis"]),
        ];
        let depths = depths(&parts);
        let of = |name| depths.get(name).copied();
        assert_eq!(
            [of("web"), of("worker"), of("redis"), of("postgres")],
            [Some(0), Some(0), Some(1), Some(2)]
        );
    }

    #[test]
    fn a_circle_is_drawn_all_the_same() {
        let parts = [part("a", &["b"]), part("b", &["a"]), part("c", &["c"])];
        let text = graph("congress", Level::Healthy, &parts).into_string();
        assert_eq!(text.matches("class=\"node ").count(), 4, "{text}");
    }

    #[test]
    fn a_hostile_name_is_text() {
        let parts = [part("<script>alert(1)</script>", &[])];
        let text = graph("\"><img src=x>", Level::Critical, &parts).into_string();
        assert!(
            !text.contains("<script") && !text.contains("<img"),
            "{text}"
        );
    }
}
