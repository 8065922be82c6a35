//! A stack's Compose file without its own proxy, the rest of it untouched to the last blank.
//!
//! Works on lines and not on YAML: what is not removed keeps its comments, its order and its
//! quotes. It understands the block style that Compose files are written in, and refuses what it
//! does not understand.

use crate::engine::setup::is_superseded;

/// Images of databases, whose ports are nobody's business outside.
const DATABASES: [&str; 8] = [
    "mariadb",
    "memcached",
    "mongo",
    "mysql",
    "postgres",
    "postgresql",
    "redis",
    "valkey",
];

#[derive(Debug)]
pub(super) struct Edited {
    pub(super) text: String,
    /// In words, for the operator.
    pub(super) removed: Vec<String>,
}

/// What is not understood, and where.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("{line}: {why}")]
pub(super) struct EditError {
    line: usize,
    why: String,
}

/// One service: its lines, the key included.
#[derive(Debug)]
struct Block {
    name: String,
    first: usize,
    /// One behind the last.
    end: usize,
    image: String,
}

pub(super) fn without_proxy(text: &str) -> Result<Edited, EditError> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let blocks = services(&lines)?;
    let mut gone = vec![false; lines.len()];
    let mut removed = Vec::new();
    let (proxies, others): (Vec<&Block>, Vec<&Block>) =
        blocks.iter().partition(|block| is_superseded(&block.image));
    if others.is_empty() && !proxies.is_empty() {
        return Err(wrong(proxies[0].first, "no service would be left"));
    }
    for block in &proxies {
        check_anchors(&lines, block)?;
        gone[block.first..block.end].fill(true);
        removed.push(format!("the service {} ({})", block.name, block.image));
    }
    let names: Vec<&str> = proxies.iter().map(|block| block.name.as_str()).collect();
    for block in others {
        for key in ["depends_on", "links"] {
            unlink(&lines, block, key, &names, &mut gone)?;
        }
        if is_database(block)
            && let Some((first, end)) = key(&lines, block, "ports")?
        {
            gone[first..end].fill(true);
            removed.push(format!("the published ports of {}", block.name));
        }
    }
    let kept = lines.iter().zip(&gone).filter(|(_, gone)| !**gone);
    Ok(Edited {
        text: kept.map(|(line, _)| *line).collect(),
        removed,
    })
}

fn wrong(line: usize, why: impl Into<String>) -> EditError {
    EditError {
        line: line + 1,
        why: why.into(),
    }
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// Blank lines and comments belong to nobody.
fn says_something(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with('#')
}

/// The key of a line `key:` or `key: value`, and the value without its comment.
fn pair(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    let (key, value) = line.split_once(':')?;
    if !value.is_empty() && !value.starts_with(' ') {
        return None;
    }
    let value = value.split(" #").next().unwrap_or_default().trim();
    Some((unquoted(key.trim()), value))
}

fn unquoted(text: &str) -> &str {
    let inside = |quote| text.strip_prefix(quote)?.strip_suffix(quote);
    inside('"').or_else(|| inside('\'')).unwrap_or(text)
}

/// Where what hangs below a line ends. Blank lines and comments before the next key are the next
/// one's.
fn end_of(lines: &[&str], first: usize, end: usize) -> usize {
    let depth = indent(lines[first]);
    let mut last = first;
    for (at, line) in lines.iter().enumerate().take(end).skip(first + 1) {
        if !says_something(line) {
            continue;
        }
        let deeper = indent(line) > depth;
        // A list may stand right below its key, no deeper than it.
        let item = indent(line) == depth
            && line.trim_start().starts_with('-')
            && !lines[first].trim_start().starts_with('-');
        if !deeper && !item {
            break;
        }
        last = at;
    }
    last + 1
}

fn services(lines: &[&str]) -> Result<Vec<Block>, EditError> {
    if let Some(at) = lines.iter().position(|line| {
        let blank = line.len() - line.trim_start().len();
        line[..blank].contains('\t') && says_something(line)
    }) {
        return Err(wrong(at, "is indented with a tab, which YAML forbids"));
    }
    let top = lines
        .iter()
        .position(|line| indent(line) == 0 && pair(line).is_some_and(|(key, _)| key == "services"));
    let Some(top) = top else {
        return Err(wrong(
            0,
            "there are no `services:`; files of version 1 are not edited",
        ));
    };
    if pair(lines[top]).is_some_and(|(_, value)| !value.is_empty()) {
        return Err(wrong(top, "`services` on one line is not edited"));
    }
    let end = end_of(lines, top, lines.len());
    let mut blocks = Vec::new();
    let mut at = top + 1;
    let mut depth = None;
    while at < end {
        let line = lines[at];
        if !says_something(line) {
            at += 1;
            continue;
        }
        let name =
            pair(line).filter(|_| *depth.get_or_insert_with(|| indent(line)) == indent(line));
        let Some((name, value)) = name else {
            return Err(wrong(at, "is not understood as the name of a service"));
        };
        if !value.is_empty() && !value.starts_with('&') {
            return Err(wrong(at, "a service on one line is not edited"));
        }
        let mut block = Block {
            name: name.to_owned(),
            first: at,
            end: end_of(lines, at, end),
            image: String::new(),
        };
        if let Some((image, _)) = key(lines, &block, "image")? {
            let value = pair(lines[image]).map(|(_, value)| unquoted(value));
            block.image = value.unwrap_or_default().to_owned();
        }
        at = block.end;
        blocks.push(block);
    }
    Ok(blocks)
}

/// The lines of a key directly below a service.
fn key(lines: &[&str], block: &Block, wanted: &str) -> Result<Option<(usize, usize)>, EditError> {
    let inside = block.first + 1..block.end;
    let mut says = inside.clone().filter(|at| says_something(lines[*at]));
    let Some(depth) = says.next().map(|at| indent(lines[at])) else {
        return Ok(None);
    };
    let found = inside
        .filter(|at| indent(lines[*at]) == depth && says_something(lines[*at]))
        .find(|at| pair(lines[*at]).is_some_and(|(key, _)| key == wanted));
    let Some(first) = found else {
        return Ok(None);
    };
    let value = pair(lines[first]).map_or("", |(_, value)| value);
    let opens = value.starts_with(['[', '{']) && !value.ends_with([']', '}']);
    if opens || value.starts_with(['|', '>']) {
        return Err(wrong(
            first,
            format!("`{wanted}` over several lines in brackets is not edited"),
        ));
    }
    Ok(Some((first, end_of(lines, first, block.end))))
}

/// Takes services out of a list or a table of names; nothing is left of one that has no others.
fn unlink(
    lines: &[&str],
    block: &Block,
    wanted: &str,
    names: &[&str],
    gone: &mut [bool],
) -> Result<(), EditError> {
    let Some((first, end)) = key(lines, block, wanted)? else {
        return Ok(());
    };
    let value = pair(lines[first]).map_or("", |(_, value)| value);
    // `nginx`, `"nginx"`, `nginx:alias`
    let is_named = |word: &str| {
        let word = unquoted(word.trim());
        names.contains(&word.split(':').next().unwrap_or_default())
    };
    if !value.is_empty() {
        let words = value.trim_matches(['[', ']', '{', '}']).split(',');
        let (named, other): (Vec<&str>, Vec<&str>) = words.partition(|word| is_named(word));
        return match (named.is_empty(), other.is_empty()) {
            (true, _) => Ok(()),
            (false, true) => {
                gone[first] = true;
                Ok(())
            }
            (false, false) => Err(wrong(
                first,
                format!("`{wanted}` names a service that is removed; write one name on each line"),
            )),
        };
    }
    let mut depth = None;
    let mut kept = false;
    for at in first + 1..end {
        let line = lines[at];
        if !says_something(line) || indent(line) > *depth.get_or_insert_with(|| indent(line)) {
            continue;
        }
        let item = line.trim().trim_start_matches('-').split(" #").next();
        if is_named(item.unwrap_or_default()) {
            gone[at..end_of(lines, at, end)].fill(true);
        } else {
            kept = true;
        }
    }
    if !kept {
        gone[first..end].fill(true);
    }
    Ok(())
}

/// What others take from a service by an anchor would be missing.
fn check_anchors(lines: &[&str], block: &Block) -> Result<(), EditError> {
    let anchors = lines[block.first..block.end].iter().flat_map(|line| {
        let words = line.split_whitespace();
        words.filter_map(|word| word.strip_prefix('&'))
    });
    for anchor in anchors {
        let alias = format!("*{anchor}");
        let uses = |line: &str| {
            line.split([' ', ',', '[', ']', '\n'])
                .any(|word| word == alias)
        };
        let outside = (0..lines.len()).filter(|at| !(block.first..block.end).contains(at));
        for at in outside {
            if says_something(lines[at]) && uses(lines[at]) {
                let text = format!(
                    "takes `{alias}` from the service {}, which is removed; write it out first",
                    block.name
                );
                return Err(wrong(at, text));
            }
        }
    }
    Ok(())
}

fn is_database(block: &Block) -> bool {
    let image = block.image.rsplit('/').next().unwrap_or_default();
    let image = image.split([':', '@']).next().unwrap_or_default();
    DATABASES.contains(&image) || DATABASES.contains(&block.name.as_str())
}

#[cfg(test)]
mod tests;
