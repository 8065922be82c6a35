//! What the certificate room tells about each wanted certificate.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use super::lineage::Lineage;
use super::schedule::Now;
use super::{Manager, orderable};
use crate::config::model::Acme;
use crate::names::{Domain, InstanceName};
use crate::plan::{
    CertificateReport, CertificateSource, CertificateState, Certificates, WantedCertificate,
};

impl Manager {
    /// Of these, or of everybody; of the others what was told before.
    pub(super) fn report(
        &mut self,
        of: Option<BTreeSet<InstanceName>>,
        acme: Option<&Acme>,
        now: SystemTime,
    ) -> Arc<Certificates> {
        let fresh = |name: &InstanceName, wanted: &[WantedCertificate]| {
            let known = self.reported.get(name);
            if let (Some(known), Some(of)) = (known, &of)
                && !of.contains(name)
            {
                return Arc::clone(known);
            }
            let own = wanted.iter().flat_map(|one| self.report_of(one, acme, now));
            let own: Vec<_> = own.collect();
            match known.filter(|known| ***known == *own) {
                Some(known) => Arc::clone(known),
                None => own.into(),
            }
        };
        let all = self
            .wanted
            .0
            .iter()
            .filter(|(_, wanted)| !wanted.is_empty());
        self.reported = Arc::new(
            all.map(|(name, wanted)| (name.clone(), fresh(name, wanted)))
                .collect(),
        );
        Arc::clone(&self.reported)
    }

    fn report_of(
        &self,
        wanted: &WantedCertificate,
        acme: Option<&Acme>,
        now: SystemTime,
    ) -> Vec<CertificateReport> {
        let mut reports = Vec::new();
        let lineage = acme.and_then(|acme| orderable(wanted, acme));
        let ordered = |name: &Domain| {
            lineage
                .as_ref()
                .is_some_and(|lineage| lineage.names().contains(name))
        };
        // A wildcard that nobody can prove is a certificate of its own.
        let together = |name: &Domain| matches!(name, Domain::Exact(_)) || ordered(name);
        let (together, apart): (Vec<_>, Vec<_>) = wanted.domains().partition(together);
        if !together.is_empty() {
            reports.push(self.report_one(wanted, together, (acme, lineage.as_ref()), now));
        }
        for wildcard in apart {
            reports.push(self.report_one(wanted, vec![wildcard], (acme, None), now));
        }
        reports
    }

    fn report_one(
        &self,
        wanted: &WantedCertificate,
        names: Vec<Domain>,
        (acme, lineage): (Option<&Acme>, Option<&Lineage>),
        now: SystemTime,
    ) -> CertificateReport {
        let attempts = lineage.and_then(|lineage| self.schedule.attempts(lineage));
        let blocked = lineage.and_then(|lineage| self.shelf.blocked(lineage));
        let held = self.shelf.of(&names);
        let ordering = lineage.is_some() && blocked.is_none();
        let state = match (held.all, ordering) {
            _ if held.not_after.is_some_and(|end| end <= now) => CertificateState::Expired,
            (true, _) => CertificateState::Valid,
            (false, true) => CertificateState::Pending,
            (false, false) if held.defaulted => CertificateState::Valid,
            (false, false) => CertificateState::Missing,
        };
        let never = || {
            if let Some(pinned) = &wanted.pinned {
                Some(format!(
                    "{pinned}.crt and {pinned}.key, which it is to be served with, are not in the folder \
                     of certificates"
                ))
            } else if !wanted.may_order {
                Some(
                    "nothing is ordered for it: its instance is on standby or outside its rental, or no \
                     container asks"
                        .to_owned(),
                )
            } else if acme.is_none() {
                Some("there is no pair for it and no [acme] table".to_owned())
            } else if lineage.is_none() {
                Some("it is no public name, and so nothing is ordered for it".to_owned())
            } else {
                blocked.clone()
            }
        };
        let wait = lineage
            .filter(|_| ordering)
            .and_then(|lineage| self.waits.get(lineage));
        let next_attempt = self.schedule.now(now).and_then(|now: Now| {
            let wait = wait?;
            match (wait.due, wait.wait.until) {
                (Some(due), _) => Some(due),
                (None, until) => until.map(|until| until.on_the_wall(now)),
            }
        });
        let failed = attempts.and_then(|attempts| attempts.error.clone());
        let held_up = wait.and_then(|wait| wait.wait.why.clone());
        // Where the memory cannot even be read, nothing is decided and all of them wait.
        let unread = || {
            lineage
                .and_then(|_| self.schedule.trouble())
                .map(str::to_owned)
        };
        let held_up = held_up.or_else(|| {
            let is_unread = self.schedule.now(now).is_none();
            is_unread.then(unread).flatten()
        });
        let why = match (failed, held_up) {
            (Some(failed), Some(held_up)) if failed != held_up => {
                Some(format!("{failed}; now {held_up}"))
            }
            (failed, held_up) => failed.or(held_up),
        };
        CertificateReport {
            instance: wanted.instance.clone(),
            names,
            state,
            source: if held.local {
                CertificateSource::Local
            } else if held.managed && ordering {
                CertificateSource::Acme
            } else {
                CertificateSource::File
            },
            not_before: held.not_before,
            not_after: held.not_after,
            next_attempt,
            failures: attempts.map_or(0, |attempts| attempts.failures),
            last_error: why
                .or(held.trouble)
                .or_else(|| (state == CertificateState::Missing).then(never).flatten()),
            warning: lineage.and_then(|lineage| self.looks.warning(lineage)),
        }
    }
}
