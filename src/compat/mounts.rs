//! What files that were mounted for nginx-proxy do to what containers ask for, and what is to be said
//! about them.

use std::collections::BTreeSet;

use crate::config::Instance;
use crate::config::claimed::Claimed;
use crate::config::mounted::Mounted;
use crate::plan::Https;

/// Whoever has to show a certificate comes by TLS: over plain HTTP nobody could be asked for one.
pub(super) fn never_in_the_clear(claimed: &mut Claimed, troubles: &mut Vec<String>) {
    let Some((file, authorities)) = &claimed.clients else {
        return;
    };
    if claimed.https == Some(Https::Both) && authorities.is_required() {
        troubles.push(format!(
            "{}: HTTPS_METHOD `noredirect` is not followed: {} asks every client for a certificate, \
             which plain HTTP would pass by; the label ssl_verify_client `off` asks nobody",
            claimed.by,
            file.display()
        ));
        // Not what the proxy's own variable says, which may be the same.
        claimed.https = Some(Https::Redirect);
    }
}

/// Lets in only who is in the files of passwords of an instance's names, by every path that is not
/// closed by its entry already.
///
/// One instance has one door: what is closed for one of its names is not open by another.
pub(super) fn close(instance: &mut Instance, mounted: &Mounted, troubles: &mut Vec<String>) {
    let mut closed = mounted.closed(&instance.site);
    let Some(host) = closed.next() else {
        return;
    };
    if closed.next().is_some() {
        troubles.push(format!(
            "several of its names have files of passwords; those of {host} count for all of them"
        ));
    }
    drop(closed);
    for route in &mut instance.routes {
        if route.auth.is_none() {
            route.auth = mounted.passwords(&host, &route.prefix);
        }
    }
    let auths = instance
        .routes
        .iter()
        .filter_map(|route| route.auth.as_ref());
    let wrong: BTreeSet<String> = auths
        .filter_map(|auth| mounted.trouble_with(auth))
        .collect();
    troubles.extend(wrong);
}

/// Says what is wrong with the authorities of clients that a claim hangs on.
pub(super) fn tell_of_clients(claimed: &Claimed, mounted: &Mounted, troubles: &mut Vec<String>) {
    if claimed.clients.is_none() {
        return;
    }
    let hosts = claimed.domains.iter().map(ToString::to_string);
    let hosts = hosts.chain(claimed.patterns.iter().map(ToString::to_string));
    let vouching = hosts.filter_map(|host| mounted.clients(&host));
    let wrong: BTreeSet<&String> = vouching
        .filter_map(|vouching| vouching.trouble.as_ref())
        .collect();
    troubles.extend(wrong.into_iter().cloned());
}
