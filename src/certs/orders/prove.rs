//! Shows an authority that names lead here.

use std::sync::Arc;
use std::time::Duration;

use instant_acme::{AuthorizationStatus, ChallengeStatus, ChallengeType, Order, OrderStatus};
use tokio::time::{sleep, timeout};

use super::hook::Record;
use super::why::Why;
use super::{Desk, retried};
use crate::certs::challenge::Published;
use crate::config::model::ChallengeKind;
use crate::names::Hostname;

/// From the challenges being ready to the authority's verdict.
const VALIDATED_WITHIN: Duration = Duration::from_secs(120);
/// Between the first two looks at an order, and at most between the others, unless the authority
/// says how long.
const LOOK_AFTER: Duration = Duration::from_millis(100);
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Everything that is shown, for as long as it is.
#[derive(Default)]
struct Shown {
    answers: Vec<Published>,
    records: Vec<Record>,
    /// By position of the authorization.
    chosen: Vec<Option<ChallengeKind>>,
}

/// One way to prove one name.
struct Choice {
    kind: ChallengeKind,
    token: String,
    answer: String,
    digest: [u8; 32],
}

impl Desk<'_> {
    /// Proves what is not proven yet, and waits until the order is no longer pending.
    ///
    /// What is shown is withdrawn when this ends, however it ends.
    pub(super) async fn prove(&self, order: &mut Order, failed: &[String]) -> Result<(), Why> {
        let mut shown = Shown::default();
        let proven = self.show_and_wait(order, failed, &mut shown).await;
        for record in shown.records.drain(..) {
            let (name, value) = record.parts();
            record.withdraw().await;
            self.journal
                .withdrawn(name, value)
                .await
                .map_err(|source| self.state(source))?;
        }
        proven?;
        if order.state().status != OrderStatus::Invalid {
            return Ok(());
        }
        let reason = self.why_invalid(order).await;
        let mut kinds: Vec<&str> = shown
            .chosen
            .iter()
            .flatten()
            .map(|kind| kind.word())
            .collect();
        kinds.sort_unstable();
        kinds.dedup();
        self.journal
            .forget_order(&kinds)
            .await
            .map_err(|source| self.state(source))?;
        Err(Why::Validation { reason })
    }

    async fn show_and_wait(
        &self,
        order: &mut Order,
        failed: &[String],
        shown: &mut Shown,
    ) -> Result<(), Why> {
        self.fetch_authorizations(order).await?;
        self.show(order, failed, shown).await?;
        self.announce(order, &shown.chosen).await?;
        self.settle(order, "the validation", VALIDATED_WITHIN, |status| {
            status != OrderStatus::Pending
        })
        .await
    }

    /// Has every authorization in memory. One whose nonce was refused would otherwise be skipped.
    async fn fetch_authorizations(&self, order: &mut Order) -> Result<(), Why> {
        retried!(async {
            let mut authorizations = order.authorizations();
            while let Some(authorization) = authorizations.next().await {
                authorization?;
            }
            Ok(())
        })
        .map_err(|error| self.failed("an authorization", &error))
    }

    async fn show(
        &self,
        order: &mut Order,
        failed: &[String],
        shown: &mut Shown,
    ) -> Result<(), Why> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization =
                authorization.map_err(|error| self.failed("an authorization", &error))?;
            if authorization.status != AuthorizationStatus::Pending {
                shown.chosen.push(None);
                continue;
            }
            let shown_name = authorization.identifier().to_string();
            let offered: Vec<ChallengeKind> = authorization
                .challenges
                .iter()
                .filter_map(|challenge| kind_of(&challenge.r#type))
                .collect();
            let kind = choose(
                &self.job.means.challenges,
                !self.job.means.dns_hook.is_empty(),
                failed,
                &offered,
                authorization.wildcard,
            );
            let named = shown_name.strip_prefix("*.").unwrap_or(&shown_name);
            let host: Option<Hostname> = named.parse().ok();
            let (Some(kind), Some(host)) = (kind, host) else {
                let offered: Vec<&str> = offered.iter().map(|kind| kind.word()).collect();
                return Err(Why::NoChallenge {
                    name: shown_name,
                    offered: match offered.as_slice() {
                        [] => "none that usher knows".to_owned(),
                        offered => offered.join(", "),
                    },
                });
            };
            let choice = {
                let Some(challenge) = authorization.challenge(type_of(kind)) else {
                    unreachable!("it was offered");
                };
                let answer = challenge.key_authorization();
                let mut digest = [0; 32];
                digest.copy_from_slice(answer.digest().as_ref());
                Choice {
                    kind,
                    token: challenge.token.clone(),
                    answer: match kind {
                        ChallengeKind::Dns01 => answer.dns_value(),
                        ChallengeKind::Http01 | ChallengeKind::TlsAlpn01 => {
                            answer.as_str().to_owned()
                        }
                    },
                    digest,
                }
            };
            shown.chosen.push(Some(kind));
            self.show_one(host, choice, shown).await?;
        }
        Ok(())
    }

    async fn show_one(&self, host: Hostname, choice: Choice, shown: &mut Shown) -> Result<(), Why> {
        let challenges = &self.job.challenges;
        match choice.kind {
            ChallengeKind::Http01 => {
                let published = challenges.publish(host, choice.token, choice.answer);
                shown.answers.push(published);
            }
            ChallengeKind::TlsAlpn01 => {
                let published = challenges.publish_in_handshake(host, choice.digest);
                shown.answers.push(published);
            }
            ChallengeKind::Dns01 => {
                let hook: Arc<[String]> = self.job.means.dns_hook.as_slice().into();
                // A crash must not leave a record that nobody knows of.
                let record = Record::new(hook, &host, choice.answer);
                let (name, value) = record.parts();
                self.journal
                    .publishing(name, value)
                    .await
                    .map_err(|source| self.state(source))?;
                let set = record.set().await;
                shown.records.push(record);
                set.map_err(|reason| Why::Hook {
                    name: host.to_string(),
                    reason,
                })?;
            }
        }
        Ok(())
    }

    /// Tells the authority that it may look.
    async fn announce(
        &self,
        order: &mut Order,
        chosen: &[Option<ChallengeKind>],
    ) -> Result<(), Why> {
        let mut authorizations = order.authorizations();
        let mut chosen = chosen.iter();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization =
                authorization.map_err(|error| self.failed("an authorization", &error))?;
            let Some(Some(kind)) = chosen.next() else {
                continue;
            };
            let Some(mut challenge) = authorization.challenge(type_of(*kind)) else {
                continue;
            };
            // One that was announced before a restart must not be announced again.
            if challenge.status == ChallengeStatus::Pending {
                retried!(challenge.set_ready())
                    .map_err(|error| self.failed("the challenge", &error))?;
            }
        }
        Ok(())
    }

    /// Looks at the order until it is as wanted, as often as the authority likes it.
    pub(super) async fn settle(
        &self,
        order: &mut Order,
        step: &'static str,
        within: Duration,
        settled: impl Fn(OrderStatus) -> bool,
    ) -> Result<(), Why> {
        let looks = async {
            let mut pause = LOOK_AFTER;
            loop {
                retried!(async { order.refresh().await.map(|_| ()) })
                    .map_err(|error| self.failed(step, &error))?;
                if settled(order.state().status) {
                    return Ok(());
                }
                let wait = self.wait_asked_for().unwrap_or_default();
                if wait > within {
                    return Err(Why::Late { step });
                }
                sleep(wait.max(pause)).await;
                pause = (pause * 2).min(LOOK_EVERY);
            }
        };
        timeout(within, looks)
            .await
            .unwrap_or(Err(Why::Late { step }))
    }

    /// What the authority found when it looked, in its own words.
    async fn why_invalid(&self, order: &mut Order) -> String {
        let mut reasons = Vec::new();
        if self.fetch_authorizations(order).await.is_ok() {
            let mut authorizations = order.authorizations();
            while let Some(Ok(authorization)) = authorizations.next().await {
                let name = authorization.identifier().to_string();
                let errors = authorization.challenges.iter();
                for error in errors.filter_map(|challenge| challenge.error.as_ref()) {
                    let detail = error.detail.as_deref().unwrap_or("no detail");
                    reasons.push(format!("{name}: {detail}"));
                }
            }
        }
        let of_order = order.state().error.as_ref().map(ToString::to_string);
        match (reasons.is_empty(), of_order) {
            (false, _) => reasons.join("; "),
            (true, Some(of_order)) => of_order,
            (true, None) => "it says no more than that the order is invalid".to_owned(),
        }
    }
}

fn type_of(kind: ChallengeKind) -> ChallengeType {
    match kind {
        ChallengeKind::Dns01 => ChallengeType::Dns01,
        ChallengeKind::Http01 => ChallengeType::Http01,
        ChallengeKind::TlsAlpn01 => ChallengeType::TlsAlpn01,
    }
}

fn kind_of(known: &ChallengeType) -> Option<ChallengeKind> {
    match known {
        ChallengeType::Dns01 => Some(ChallengeKind::Dns01),
        ChallengeType::Http01 => Some(ChallengeKind::Http01),
        ChallengeType::TlsAlpn01 => Some(ChallengeKind::TlsAlpn01),
        _ => None,
    }
}

/// The first of the configured kinds that is offered and can be done; what failed before comes
/// after what did not.
fn choose(
    configured: &[ChallengeKind],
    has_hook: bool,
    failed: &[String],
    offered: &[ChallengeKind],
    wildcard: bool,
) -> Option<ChallengeKind> {
    let possible = |kind: &ChallengeKind| {
        let for_name = match kind {
            ChallengeKind::Dns01 => has_hook,
            // RFC 8555 §8.3, RFC 8737 §3: neither says anything about other hosts.
            ChallengeKind::Http01 | ChallengeKind::TlsAlpn01 => !wildcard,
        };
        for_name && offered.contains(kind)
    };
    let fresh = |kind: &ChallengeKind| !failed.iter().any(|word| word == kind.word());
    let mut kinds = configured.iter().copied().filter(possible);
    kinds.clone().find(fresh).or_else(|| kinds.next())
}

#[cfg(test)]
mod tests {
    use super::ChallengeKind::{Dns01, Http01, TlsAlpn01};
    use super::*;

    #[test]
    fn the_preferred_kind_is_chosen_and_after_a_failure_the_next() {
        let all = [Http01, TlsAlpn01, Dns01];
        for (configured, has_hook, failed, offered, wildcard, chosen) in [
            (&all[..], true, &[][..], &all[..], false, Some(Http01)),
            (&all, true, &["http-01"], &all, false, Some(TlsAlpn01)),
            (
                &all,
                true,
                &["http-01", "tls-alpn-01"],
                &all,
                false,
                Some(Dns01),
            ),
            (
                &all,
                true,
                &["http-01", "tls-alpn-01", "dns-01"],
                &all,
                false,
                Some(Http01),
            ),
            (
                &all,
                false,
                &["http-01", "tls-alpn-01"],
                &all,
                false,
                Some(Http01),
            ),
            (
                &[TlsAlpn01, Http01],
                false,
                &[],
                &all,
                false,
                Some(TlsAlpn01),
            ),
            (
                &[TlsAlpn01, Http01],
                false,
                &[],
                &[Http01],
                false,
                Some(Http01),
            ),
            (&all, true, &[], &all, true, Some(Dns01)),
            (&all, true, &["dns-01"], &all, true, Some(Dns01)),
            (&all, false, &[], &all, true, None),
            (&[Http01], true, &[], &[Dns01], false, None),
            (&[Dns01], true, &[], &all, false, Some(Dns01)),
        ] {
            let failed: Vec<String> = failed.iter().map(ToString::to_string).collect();
            let found = choose(configured, has_hook, &failed, offered, wildcard);
            assert_eq!(
                found, chosen,
                "{configured:?} {failed:?} {offered:?} {wildcard}"
            );
        }
    }
}
