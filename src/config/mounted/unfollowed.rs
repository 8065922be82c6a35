//! Files that mean something to nginx and nothing to usher: they are named, and what takes their
//! place.

use std::path::Path;

use super::folder::names;

/// Of one folder; the others are counted.
const MOST: usize = 8;

/// What may lie in the folder of nginx, and what to write instead.
const PLACES: [(&str, &str); 4] = [
    (
        "conf.d",
        "`[limits] max-body` for client_max_body_size, other keys of the reference for the rest",
    ),
    ("dhparam", NO_PARAMETERS),
    (
        "toplevel.conf.d",
        "nothing: streams that are no HTTP are not passed on",
    ),
    (
        "vhost.d",
        "`[[instance.route]]`, `headers` and `[instance.limits]` of an instance",
    ),
];
const FILES: [(&str, &str); 4] = [
    (".htpasswd", "`auth = { basic = \"…\" }` of a route"),
    (
        "network_internal.conf",
        "`allow` of an `[[instance]]` or of a route; NETWORK_ACCESS lets in private networks",
    ),
    ("nginx.conf", "`[listen]` and `[limits]`"),
    (
        "proxy.conf",
        "nothing: the fields it sets are set; `[limits]` for timeouts",
    ),
];
/// What may lie in the folder of nginx-proxy's and acme-companion's own programs.
const PROGRAMS: [(&str, &str); 2] = [
    (
        "letsencrypt_user_data",
        "an `[[instance]]` with its names in `domains`, for certificates that no container asks for",
    ),
    (
        "nginx.tmpl",
        "`[[instance]]` and the other tables of the reference: nothing is rendered",
    ),
];
const NO_PARAMETERS: &str = "nothing: no cipher that usher offers has such parameters";
/// docker-gen writes it.
const GENERATED: &str = "default.conf";

/// A sentence for each place with files that are not followed. Blocking.
pub(super) fn of(nginx: &Path, certs: &Path) -> impl Iterator<Item = String> {
    let mut found = Vec::new();
    for (place, instead) in PLACES {
        let folder = nginx.join(place);
        let mut names = names(&folder).unwrap_or_default();
        names.retain(|name| name != GENERATED);
        found.extend(sentence(&folder, &names, instead));
    }
    found.extend(named(nginx, &FILES));
    let mut parameters = names(certs).unwrap_or_default();
    parameters.retain(|name| name.ends_with("dhparam.pem"));
    found.extend(sentence(certs, &parameters, NO_PARAMETERS));
    found.into_iter()
}

/// Where nginx has its configuration, in its container.
const NGINX: &str = "/etc/nginx";

/// A sentence for each thing that is mounted into a container of nginx and is not followed. `mounts`:
/// where it is on this machine, and where it is in the container. Blocking.
pub fn mounted_for_nginx<'m>(mounts: impl Iterator<Item = (&'m Path, &'m Path)>) -> Vec<String> {
    let mut found = Vec::new();
    for (source, destination) in mounts {
        let Ok(inside) = destination.strip_prefix(NGINX) else {
            continue;
        };
        let place = PLACES
            .into_iter()
            .find(|(place, _)| inside.starts_with(place));
        let file = || {
            let name = FILES
                .into_iter()
                .find(|(name, _)| inside == Path::new(name));
            name.map(|(_, instead)| instead)
        };
        match place {
            Some((place, instead)) if inside == Path::new(place) => match names(source) {
                Ok(mut names) => {
                    names.retain(|name| name != GENERATED);
                    found.extend(sentence(source, &names, instead));
                }
                Err(_) => found.push(format!(
                    "files in {}, if there are any, are not followed, and it cannot be read here; \
                     write {instead}",
                    source.display()
                )),
            },
            _ => {
                if let Some(instead) = place.map(|(_, instead)| instead).or_else(file) {
                    found.push(format!(
                        "{} is not followed; write {instead}",
                        source.display()
                    ));
                }
            }
        }
    }
    found
}

/// A sentence for each file that nginx-proxy and acme-companion would read themselves. Blocking.
pub(super) fn of_programs(app: &Path) -> impl Iterator<Item = String> {
    named(app, &PROGRAMS)
}

fn named(folder: &Path, files: &'static [(&str, &str)]) -> impl Iterator<Item = String> {
    files.iter().filter_map(move |(name, instead)| {
        let file = folder.join(name);
        file.is_file()
            .then(|| format!("{} is not followed; write {instead}", file.display()))
    })
}

fn sentence(folder: &Path, names: &[String], instead: &str) -> Option<String> {
    let shown = names.iter().take(MOST).map(String::as_str);
    let mut shown = shown.collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(MOST) {
        None | Some(0) => {}
        Some(more) => shown.push_str(&format!(" and {more} more")),
    }
    (!names.is_empty()).then(|| {
        format!(
            "files in {} ({shown}) are not followed; write {instead}",
            folder.display()
        )
    })
}
