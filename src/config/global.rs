//! The global part: what the file says of it over what is said outside of every file.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::issue::{Issues, Source};
use super::lower::{certs, status};
use super::model::NamesFromContainers;
use super::raw::{RawFile, RawHttps, RawInstance};
use super::reader;
use super::variables::Layer;
use super::whole::{Asked, Config, Defaults};

/// From TERM to the exit when nothing else is said: Docker kills a second later.
const STOP_WITHIN: Duration = Duration::from_secs(9);

/// What holds below the file where the command line says that containers name themselves: who asks for
/// a certificate gets one.
const IN_ITS_PLACE: &str = "[acme]\n";

/// What the variables of the process are called in messages.
const ENVIRONMENT: &str = "the environment";

/// The layers below the file.
pub(super) fn below(asked: &Asked, issues: &Issues) -> RawFile {
    let variables = made(ENVIRONMENT, &asked.variables.globals, issues);
    match asked.names {
        NamesFromContainers::Off => variables,
        NamesFromContainers::Listed | NamesFromContainers::Open => {
            variables.over(made("the defaults", IN_ITS_PLACE, issues))
        }
    }
}

/// What a text says that was made here.
pub(super) fn made(name: &str, text: &str, issues: &Issues) -> RawFile {
    let source = Arc::new(Source::new(name.to_owned(), text.to_owned()));
    let table = reader::parse(&source, issues).unwrap_or_else(|| unreachable!("it was made here"));
    table.read(RawFile::read)
}

/// The layer below every instance.
fn below_instances(layer: &Layer, issues: &Issues) -> RawInstance {
    let text = layer.instances.clone();
    let source = Arc::new(Source::new(ENVIRONMENT.to_owned(), text));
    let table = reader::parse(&source, issues).unwrap_or_else(|| unreachable!("it was made here"));
    let read = table.read(RawInstance::read);
    RawInstance {
        hsts_of_variables: read.hsts,
        hsts: None,
        https: read.https.map(RawHttps::of_variables),
        ..read
    }
}

/// The configuration that a file is, without its instances.
pub(super) fn lower(file: RawFile, asked: Option<Asked>, issues: &Issues) -> Config {
    let RawFile {
        include: _,
        state_dir,
        listen,
        admin,
        engine,
        certs,
        compat,
        acme,
        alerts,
        log,
        status,
        stop_within,
        limits,
        scale,
        instances: _,
    } = file;
    // Lowered once for their own mistakes; the values reach the instances as a layer.
    let defaults = Defaults {
        limits: limits.clone(),
        scale: scale.clone(),
        instances: asked
            .as_ref()
            .map(|asked| below_instances(&asked.variables, issues)),
    };
    let (limits, _, _) = limits.lower(issues);
    scale.lower(issues);
    let (engine, names) = engine.lower(issues);
    let names = names
        .or_else(|| asked.as_ref().map(|asked| asked.names))
        .unwrap_or_default();
    // Who starts it in the place of nginx-proxy says so on the command line, as the image does.
    let in_its_place = asked.is_some() && names != NamesFromContainers::Off;
    let is_followed = names != NamesFromContainers::Off;
    let compat = compat.lower(in_its_place, is_followed, issues);
    let (certs, is_mounted) = certs.lower(&compat, in_its_place, issues);
    let state_dir = state_dir.map(|field| field.value);
    Config {
        state_dir: state_dir.unwrap_or_else(|| certs::state_dir(&certs.dir, is_mounted, issues)),
        listen: listen.lower(issues),
        admin: admin.lower(&certs.dir, issues),
        engine,
        names_from_containers: names,
        asked,
        without_file: false,
        certs,
        compat,
        mounted: Arc::default(),
        acme: acme.and_then(|acme| acme.lower(issues)),
        alerts: status::lower_alerts(alerts, issues),
        log: log.lower(),
        thresholds: status.lower(issues),
        stop_within: stop_within.map_or(STOP_WITHIN, |field| field.value.0),
        header_timeout: limits.header_timeout,
        instances: BTreeMap::new(),
        patterns: Vec::new(),
        entries: BTreeMap::new(),
        defaults: Arc::new(defaults),
    }
}

#[cfg(test)]
mod tests;
