//! `[acme]` with its directories, as it is written.

use std::num::NonZeroU32;
use std::path::PathBuf;

use serde::Deserialize;

use crate::config::reader::{Field, Leaf, Reader};

pub(in crate::config) struct RawAcme {
    pub(in crate::config) email: Leaf<String>,
    pub(in crate::config) directories: Leaf<Vec<String>>,
    pub(in crate::config) challenges: Leaf<Vec<String>>,
    pub(in crate::config) dns_hook: Leaf<Vec<String>>,
    pub(in crate::config) preflight: Leaf<bool>,
    pub(in crate::config) new_names_per_day: Leaf<u32>,
    pub(in crate::config) resolver: Leaf<String>,
    pub(in crate::config) directory: Vec<(Field<String>, RawDirectory)>,
}

impl RawAcme {
    pub(super) fn read(table: &mut Reader<'_, '_>) -> Self {
        Self {
            email: table.leaf("email"),
            directories: table.leaf("directories"),
            challenges: table.leaf("challenges"),
            dns_hook: table.leaf("dns-hook"),
            preflight: table.leaf("preflight"),
            new_names_per_day: table.leaf("new-names-per-day"),
            resolver: table.leaf("resolver"),
            directory: table.named("directory", RawDirectory::read),
        }
    }

    pub(super) fn over(self, below: Self) -> Self {
        let Self {
            email,
            directories,
            challenges,
            dns_hook,
            preflight,
            new_names_per_day,
            resolver,
            directory,
        } = self;
        // A hook proves names in a way of its own; challenges without it would leave it unused.
        let challenges = match (&challenges, &dns_hook) {
            (None, Some(_)) => None,
            _ => challenges.or(below.challenges),
        };
        Self {
            email: email.or(below.email),
            directories: directories.or(below.directories),
            challenges,
            dns_hook: dns_hook.or(below.dns_hook),
            preflight: preflight.or(below.preflight),
            new_names_per_day: new_names_per_day.or(below.new_names_per_day),
            resolver: resolver.or(below.resolver),
            directory: directories_over(directory, below.directory),
        }
    }
}

type Directories = Vec<(Field<String>, RawDirectory)>;

/// One that the file declares is the file's alone.
fn directories_over(own: Directories, below: Directories) -> Directories {
    let inherited: Vec<_> = below
        .into_iter()
        .filter(|(name, _)| own.iter().all(|(known, _)| known.value != name.value))
        .collect();
    own.into_iter().chain(inherited).collect()
}

pub(in crate::config) struct RawDirectory {
    pub(in crate::config) url: Leaf<String>,
    pub(in crate::config) ca_bundle: Leaf<PathBuf>,
    pub(in crate::config) eab: Leaf<RawExternalAccount>,
    pub(in crate::config) profile: Leaf<String>,
    pub(in crate::config) rate_limits: Leaf<bool>,
    pub(in crate::config) caa_issuer: Leaf<String>,
    pub(in crate::config) requests_per_second: Leaf<NonZeroU32>,
}

impl RawDirectory {
    pub(super) fn read(table: &mut Reader<'_, '_>) -> Self {
        Self {
            url: table.leaf("url"),
            ca_bundle: table.leaf("ca-bundle"),
            eab: table.leaf("eab"),
            profile: table.leaf("profile"),
            rate_limits: table.leaf("rate-limits"),
            caa_issuer: table.leaf("caa-issuer"),
            requests_per_second: table.leaf("requests-per-second"),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::config) struct RawExternalAccount {
    pub(in crate::config) kid: String,
    pub(in crate::config) key_file: Option<PathBuf>,
    /// The variable of the environment that holds the key.
    pub(in crate::config) key_variable: Option<String>,
}
