//! A configuration for what runs: what containers say to nginx-proxy, in usher's words.
//!
//! Containers are read as they are where names come from them, so that both mean the same. What no
//! file can say is a comment in this one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use toml::{Table, Value};

use super::entry::{self, Entry, comment, line};
use crate::compat::{Spoken, asking};
use crate::config::model::Orders;
use crate::config::variables::{self, Note};
use crate::engine::setup::{Proxy, Seen, is_superseded};
use crate::inventory::Stack;
use crate::names::StackName;

/// Services that only this application has together.
const OPENSLIDES: [&str; 3] = ["core", "web", "worker"];
/// Where nginx-proxy has its certificates, and its files of passwords.
const CERTIFICATES: &str = "/etc/nginx/certs";
const PASSWORDS: &str = "/etc/nginx/htpasswd";

/// A whole file, which `usher check` accepts. What could not be known is a comment.
pub(super) fn text(seen: &Seen) -> String {
    let mut text = String::from(
        "# Written by `usher init` from the stacks that ran. Every key: config/reference.toml.\n\n",
    );
    let stacks: BTreeMap<&StackName, Asked> = seen
        .inventory
        .stacks
        .iter()
        .map(|(name, stack)| (name, without_proxies(stack)))
        .filter(|(_, stack)| !stack.services.is_empty() || !stack.left_out.is_empty())
        .scan(
            BTreeSet::new(),
            |taken: &mut BTreeSet<String>, (name, stack)| {
                let asking = asking(name, &stack, |host| !taken.contains(host));
                let hosts = asking.sites.iter().flat_map(|site| &site.claimed.domains);
                taken.extend(hosts.map(ToString::to_string));
                Some((name, Asked { stack, asking }))
            },
        )
        .collect();
    let told = Told::new(&seen.proxies);
    for sentence in &told.sentences {
        comment(&mut text, sentence);
    }
    if !told.sentences.is_empty() {
        text.push('\n');
    }
    let mut globals = told.globals.clone();
    let from_containers = from_containers(&stacks, seen, told.passwords);
    if let Some((mode, why)) = from_containers {
        comment(&mut text, why);
        if let Value::Table(engine) = globals
            .entry("engine")
            .or_insert_with(|| Table::new().into())
        {
            engine.insert("names-from-containers".to_owned(), mode.into());
        }
    }
    let email = write_globals(&mut text, globals, &stacks);
    line(
        &mut text,
        "\n[scale]\n# usher says what it would do and changes nothing. When nginx-proxy is gone: \"auto\".\n\
         mode = \"recommend\"",
    );
    for (container, names) in &seen.certified {
        text.push('\n');
        comment(
            &mut text,
            &format!(
                "Container {container} asks for a certificate and for no host ({names}), which no \
                 instance can have; add the names to `domains` of one that may have them."
            ),
        );
    }
    let rest = Rest {
        email: email.as_deref(),
        open: from_containers.is_some_and(|(mode, _)| mode == OPEN),
    };
    let served = stacks.iter();
    let served = served.filter(|(_, asked)| !asked.asking.sites.is_empty());
    let served: BTreeSet<&StackName> = served.map(|(name, _)| *name).collect();
    for (name, asked) in &stacks {
        text.push('\n');
        rest.write(&mut text, name, asked, &told.usual(name, &served));
    }
    text
}

const OPEN: &str = "open";
const LISTED: &str = "listed";

/// A stack, and what its containers ask for.
struct Asked {
    stack: Stack,
    asking: Spoken,
}

impl Asked {
    /// Whether one entry can say what its containers ask for.
    fn is_one_entry(&self) -> bool {
        match self.asking.sites.as_slice() {
            [] => true,
            [site] => !site.is_joined && site.claimed.patterns.is_empty(),
            _ => false,
        }
    }
}

fn without_proxies(stack: &Arc<Stack>) -> Stack {
    let mut stack = Stack::clone(stack);
    stack.services.retain(|_, units| {
        units.retain(|unit| !is_superseded(&unit.image));
        !units.is_empty()
    });
    stack
}

/// What has to come from containers, because no entry can say it, and why.
fn from_containers(
    stacks: &BTreeMap<&StackName, Asked>,
    seen: &Seen,
    passwords: bool,
) -> Option<(&'static str, &'static str)> {
    if stacks.values().any(|asked| !asked.is_one_entry()) {
        return Some((
            OPEN,
            "names-from-containers: one entry is about one stack and its plain names. The stacks below \
             that have no entry are served by what their containers say, as with nginx-proxy; any \
             container may ask for a name with that.",
        ));
    }
    let mut units = stacks
        .values()
        .flat_map(|asked| asked.stack.services.values().flatten());
    if units.any(|unit| seen.alone.contains(&unit.name)) {
        return Some((
            LISTED,
            "names-from-containers: containers of no Compose project are stacks of their own with that, \
             if an entry names them.",
        ));
    }
    passwords.then_some((
        LISTED,
        "names-from-containers: the files of passwords in [compat] nginx close their hosts with that.",
    ))
}

/// What the proxies of old were told.
struct Told {
    globals: Table,
    /// Keys of instances, by the stack of the proxy that was told them.
    instances: Vec<(Option<StackName>, Table)>,
    sentences: Vec<String>,
    /// Whether files of passwords are taken over.
    passwords: bool,
}

impl Told {
    fn new(proxies: &[Proxy]) -> Self {
        let mut told = Self {
            globals: Table::new(),
            instances: Vec::new(),
            sentences: Vec::new(),
            passwords: false,
        };
        for proxy in proxies {
            let (layer, notes) = variables::read(|name| proxy.variables.get(name).cloned());
            let set = |name: &str| {
                proxy
                    .variables
                    .get(name)
                    .is_some_and(|value| !value.is_empty())
            };
            for Note { variable, text } in notes {
                told.sentences
                    .push(format!("Container {}: {variable} {text}.", proxy.name));
            }
            for (variable, instead) in super::super::environment::without_effect(true, set) {
                told.sentences.push(format!(
                    "Container {}: {variable} is not followed; instead: {instead}.",
                    proxy.name
                ));
            }
            merge(&mut told.globals, layer.globals());
            let mut keys = Table::new();
            merge(&mut keys, layer.instances());
            let stack = proxy.place.as_ref().map(|(stack, _)| stack.clone());
            told.instances.push((stack, keys));
            let mounts = proxy.mounts.iter();
            let mounts = mounts.map(|(source, inside)| (source.as_path(), inside.as_path()));
            let unfollowed = crate::config::mounted::mounted_for_nginx(mounts);
            let unfollowed = unfollowed.into_iter();
            told.sentences
                .extend(unfollowed.map(|text| format!("Container {}: {text}.", proxy.name)));
        }
        told.sentences.dedup();
        // Both families and these ports are the default.
        if let Some(Value::Table(listen)) = told.globals.get_mut("listen") {
            for (key, usual) in [("http", 80), ("https", 443)] {
                let usual = [format!("0.0.0.0:{usual}"), format!("[::]:{usual}")];
                let is_usual = |value: &Value| {
                    let all = value.as_array().into_iter().flatten();
                    let mut texts = all.filter_map(Value::as_str);
                    texts.all(|text| usual.iter().any(|known| known == text))
                };
                if listen.get(key).is_some_and(is_usual) {
                    listen.remove(key);
                }
            }
        }
        let folder = proxies.iter().flat_map(|proxy| &proxy.mounts);
        let folder = folder
            .filter(|(_, inside)| inside.as_os_str() == CERTIFICATES)
            .map(|(source, _)| source)
            .next();
        if let Some(folder) = folder {
            told.sentences.push(format!(
                "The certificates of old are in {}: `dir` in [certs] takes them over.",
                folder.display()
            ));
        }
        told.take_passwords(proxies);
        told.globals.retain(|_, value| match value {
            Value::Table(table) => !table.is_empty(),
            _ => true,
        });
        told
    }
}

impl Told {
    /// Files of passwords close hosts: without them everybody would come in.
    fn take_passwords(&mut self, proxies: &[Proxy]) {
        let mounts = proxies.iter().flat_map(|proxy| &proxy.mounts);
        let folders = mounts.filter(|(_, inside)| inside.as_os_str() == PASSWORDS);
        for (source, _) in folders {
            let above = source.parent().and_then(Path::to_str);
            let is_called_so = source.file_name().is_some_and(|name| name == "htpasswd");
            match above.filter(|_| is_called_so && !self.passwords) {
                Some(above) => {
                    self.passwords = true;
                    let compat = self.globals.entry("compat");
                    if let Value::Table(compat) = compat.or_insert_with(|| Table::new().into()) {
                        compat.insert("nginx".to_owned(), above.into());
                    }
                }
                None => self.sentences.push(format!(
                    "Files of passwords in {} close hosts, and nobody is asked for one before they are \
                     in a folder htpasswd below `nginx` of [compat], with `names-from-containers` of \
                     [engine] \"listed\".",
                    source.display()
                )),
            }
        }
    }

    /// What holds for a stack that says nothing else: what its own proxies were told, else those of
    /// nobody's. `sites` are the stacks that are served.
    fn usual(&self, stack: &StackName, sites: &BTreeSet<&StackName>) -> Table {
        let told_by = |fits: &dyn Fn(&Option<StackName>) -> bool| {
            let mut usual = Table::new();
            for (_, keys) in self.instances.iter().filter(|(whose, _)| fits(whose)) {
                for (key, value) in keys {
                    usual.entry(key.clone()).or_insert_with(|| value.clone());
                }
            }
            usual
        };
        let is_own = |whose: &Option<StackName>| whose.as_ref() == Some(stack);
        if self.instances.iter().any(|(whose, _)| is_own(whose)) {
            return told_by(&is_own);
        }
        told_by(&|whose| whose.as_ref().is_none_or(|whose| !sites.contains(whose)))
    }
}

/// What was said first counts.
fn merge(into: &mut Table, text: &str) {
    let more: Table = text.parse().unwrap_or_default();
    for (key, value) in more {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(known)), Value::Table(more)) => {
                for (key, value) in more {
                    known.entry(key).or_insert(value);
                }
            }
            (Some(_), _) => {}
            (None, value) => drop(into.insert(key, value)),
        }
    }
}

/// Gives the address of the account.
fn write_globals(
    text: &mut String,
    mut globals: Table,
    stacks: &BTreeMap<&StackName, Asked>,
) -> Option<String> {
    let sites = || stacks.values().flat_map(|asked| &asked.asking.sites);
    let email = sites().find_map(|site| site.claimed.email.clone());
    let asks = sites().any(|site| match &site.claimed.orders {
        Orders::All => true,
        Orders::Asked { names, .. } => !names.is_empty(),
    });
    let has_account = globals.contains_key("acme") || email.is_some() || asks;
    if has_account {
        let acme = globals.entry("acme").or_insert_with(|| Table::new().into());
        if let (Value::Table(acme), Some(email)) = (acme, email) {
            acme.entry("email").or_insert_with(|| email.into());
        }
    } else {
        line(
            text,
            "# Without this table nothing is ordered, and pairs below [certs] dir are used.\n\
             # [acme]\n# email = \"ops@example.org\"",
        );
    }
    let written = globals.to_string();
    text.push_str(&written);
    let acme = globals.get("acme").and_then(Value::as_table);
    let email = acme.and_then(|acme| acme.get("email"));
    email.and_then(Value::as_str).map(str::to_owned)
}

/// What every stack is written with.
struct Rest<'r> {
    email: Option<&'r str>,
    /// Whether a stack without an entry is served by what its containers say.
    open: bool,
}

impl Rest<'_> {
    fn write(&self, text: &mut String, name: &StackName, asked: &Asked, usual: &Table) {
        let Asked { stack, asking } = asked;
        for told in &stack.left_out {
            comment(text, &format!("Stack {name}: {told}."));
        }
        for told in &asking.troubles {
            comment(text, &format!("Stack {name}: {told}."));
        }
        for (host, by) in &asking.refused {
            comment(
                text,
                &format!("Stack {name}: container {by} claims {host}, which is another's already."),
            );
        }
        let services: Vec<&str> = stack.services.keys().map(|name| name.as_str()).collect();
        let openslides = OPENSLIDES.iter().all(|one| services.contains(one));
        let is_one = asked.is_one_entry();
        match asking.sites.as_slice() {
            [site] if is_one && !site.claimed.domains.is_empty() => {
                let entry = Entry {
                    stack: name,
                    claimed: &site.claimed,
                    usual,
                    email: self.email,
                    openslides,
                };
                entry.write(text);
            }
            [] => {
                comment(
                    text,
                    &format!(
                        "The stack {name} ({}) claims no name that can be served. To serve it:",
                        services.join(", ")
                    ),
                );
                line(
                    text,
                    &format!(
                        "# [[instance]]\n# name = \"{name}\"\n# domains = [\"{name}.example.org\"]"
                    ),
                );
                if openslides {
                    line(text, "# preset = \"openslides\"");
                }
            }
            sites if self.open => {
                let hosts = sites.iter().flat_map(|site| entry::hosts(&site.claimed));
                let hosts: Vec<String> = hosts.collect();
                comment(
                    text,
                    &format!(
                        "The stack {name} has no entry: what its containers say leads to {}.",
                        hosts.join(", ")
                    ),
                );
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
