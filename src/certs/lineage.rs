//! One certificate through all its renewals: which names it covers, and where it is kept.

use std::fmt;

use crate::names::{Domain, Hostname};

/// The names of one certificate, in the order of the configuration; the first names its folder.
///
/// Two wishes with the same names are one lineage, however many declare it.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct Lineage {
    names: Vec<Domain>,
    /// From a staging authority: trusted by nobody, and kept apart from what browsers trust.
    staging: bool,
}

impl Lineage {
    /// `None` without a name. What is named twice counts once.
    pub(super) fn new(names: impl IntoIterator<Item = Domain>, staging: bool) -> Option<Self> {
        let mut unique: Vec<Domain> = Vec::new();
        for name in names {
            if !unique.contains(&name) {
                unique.push(name);
            }
        }
        (!unique.is_empty()).then_some(Self {
            names: unique,
            staging,
        })
    }

    pub(super) fn names(&self) -> &[Domain] {
        &self.names
    }

    pub(super) fn is_staging(&self) -> bool {
        self.staging
    }

    /// The name of its folder, as acme-companion has it: `congress.example.org`,
    /// `wildcard_example.org`, `_test_congress.example.org`.
    pub(super) fn base(&self) -> String {
        let base = match self.names.first() {
            Some(Domain::Exact(host)) => host.to_string(),
            Some(Domain::Below(host)) => format!("wildcard_{host}"),
            None => unreachable!("a lineage has a name"),
        };
        if self.staging {
            format!("_test_{base}")
        } else {
            base
        }
    }
}

/// What a folder or a pair of this name may be for: the likelier first.
pub(super) fn named_after(base: &str) -> Vec<Domain> {
    let base = base.strip_prefix("_test_").unwrap_or(base);
    match base.strip_prefix("wildcard_") {
        Some(name) => name.parse().map(Domain::Below).into_iter().collect(),
        None => {
            let name = base.parse().into_iter();
            name.flat_map(|name: Hostname| [Domain::Exact(name.clone()), Domain::Below(name)])
                .collect()
        }
    }
}

impl fmt::Display for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, name) in self.names.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{name}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lineage(names: &[&str], staging: bool) -> Lineage {
        let names = names.iter().map(|name| name.parse().expect("a name"));
        Lineage::new(names, staging).expect("a lineage")
    }

    #[test]
    fn its_folder_is_named_as_the_companion_names_it() {
        for (names, staging, base) in [
            (
                &["a.example.org", "b.example.org"][..],
                false,
                "a.example.org",
            ),
            (
                &["*.example.org", "example.org"],
                false,
                "wildcard_example.org",
            ),
            (&["a.example.org"], true, "_test_a.example.org"),
        ] {
            assert_eq!(lineage(names, staging).base(), base);
        }
    }

    #[test]
    fn a_name_said_twice_is_one_lineage_with_the_name_said_once() {
        assert_eq!(
            lineage(&["a.example.org", "a.example.org"], false),
            lineage(&["a.example.org"], false)
        );
        assert_eq!(Lineage::new([], false), None);
    }
}
