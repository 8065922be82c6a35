//! What an operator asks usher for: a replica less, or a number of them. Refused is what nothing would
//! come of.

use std::time::Duration;

use super::super::event::Now;
use super::super::tenant::Tenant;
use super::wished::Wished;
use crate::autoscaler::Override;
use crate::config::model::ScaleMode;
use crate::names::{Generation, ServiceName};

impl Tenant {
    /// Has one replica leave, whoever takes its place.
    ///
    /// # Errors
    /// Why it stays, as a sentence.
    pub(in crate::control) fn dismiss(
        &mut self,
        now: Now,
        next: Generation,
        service: &ServiceName,
        replica: &str,
    ) -> Result<String, String> {
        let name = &self.instance.name;
        let nothing = self.does_nothing();
        let anothers = self.is_anothers(service);
        let (Some(declared), Some(state)) = (
            self.instance.services.get(service),
            self.services.get_mut(service),
        ) else {
            return Err(self.no_service(service));
        };
        if !declared.addresses.is_empty() {
            return Err(format!(
                "{name}/{service} is served at addresses of the configuration; take this one out \
                 there, and it drains"
            ));
        }
        if declared.bounds().is_none() {
            return Err(format!(
                "{name}/{service} is fixed; `usher stop {name}/{service}` stops all of it"
            ));
        }
        if let Some(why) = nothing.or(anothers) {
            return Err(why);
        }
        state
            .dismiss(now, next, replica)
            .map(|leaves| format!("{name}/{service}: {leaves}"))
            .map_err(|stays| format!("{name}/{service}: {stays}"))
    }

    /// Why usher neither starts nor stops any of it now, if so.
    pub(in crate::control) fn does_nothing(&self) -> Option<String> {
        let name = &self.instance.name;
        let mode = self.instance.scale.mode;
        if self.instance.standby {
            return Some(format!(
                "{name} has standby = true: usher starts and stops nothing of it"
            ));
        }
        if matches!(mode, ScaleMode::Off | ScaleMode::Recommend) {
            return Some(format!(
                "{name} has scale.mode = \"{}\": usher starts and stops nothing of it",
                mode.word()
            ));
        }
        let rental = self.instance.rental.filter(|_| !self.rented)?;
        Some(format!(
            "{name} is rented from {rental} only: nothing of it runs now"
        ))
    }

    pub(in crate::control) fn no_service(&self, service: &ServiceName) -> String {
        let known: Vec<_> = self.services.keys().map(ServiceName::as_str).collect();
        format!(
            "{} has no service `{service}`; it has {}",
            self.instance.name,
            known.join(", ")
        )
    }

    pub(in crate::control) fn override_with(
        &mut self,
        now: Now,
        service: &ServiceName,
        replicas: u32,
        span: Option<Duration>,
    ) -> Result<String, String> {
        let name = &self.instance.name;
        let nothing = self.does_nothing();
        let (Some(declared), Some(state)) = (
            self.instance.services.get(service),
            self.services.get_mut(service),
        ) else {
            return Err(self.no_service(service));
        };
        let Some(bounds) = declared.bounds() else {
            return Err(format!("{name}/{service} is fixed and never scaled"));
        };
        if replicas > bounds.max {
            return Err(format!(
                "{name}/{service} may have at most {} replicas (`max`)",
                bounds.max
            ));
        }
        if let Some(why) = nothing {
            return Err(why);
        }
        state.over = Some(Wished::within(Override::Exact(replicas), span, now));
        // Whoever asks may have mended what was hopeless.
        state.starts.has_changed();
        let until = span.map_or_else(
            || format!("until `usher auto {name}`"),
            |span| format!("for {}", crate::config::format_span(span)),
        );
        let mut answer = format!("{name}/{service}: {replicas} replicas {until}");
        if let Some(why) = self.claim.refusal() {
            answer.push_str(&format!("; that begins when the other is gone: {why}"));
        }
        Ok(answer)
    }
}
