//! How the certificates of an instance are, and who sees their keys.

use std::path::Path;
use std::time::{Duration, SystemTime};

use super::finding::{Finding, Level};
use crate::inventory::Unit;
use crate::plan::{CertificateReport, CertificateSource, CertificateState};

const DAY: Duration = Duration::from_secs(86_400);
/// A certificate that ends sooner than this is critical.
const ENDS_SOON: Duration = Duration::from_secs(7 * 86_400);

/// The worst that is to be said of them.
pub(super) fn judge_certificates(certificates: &[&CertificateReport], now: SystemTime) -> Finding {
    certificates
        .iter()
        .filter_map(|certificate| judge(certificate, now))
        // Of equals the first, which is the one of the first names.
        .reduce(|worst, next| if next.0 > worst.0 { next } else { worst })
}

fn judge(certificate: &CertificateReport, now: SystemTime) -> Finding {
    let name = certificate.names.first()?;
    let error = certificate.last_error.as_deref();
    let remedy = || match certificate.source {
        CertificateSource::Acme => "its renewal is due",
        CertificateSource::File => "put a newer pair there, or let usher order one",
        CertificateSource::Local => "look whether the clock and the state folder are well",
    };
    match certificate.state {
        CertificateState::Expired => Some((
            Level::Critical,
            format!(
                "the certificate of {name} has expired: {}",
                error.unwrap_or_else(remedy)
            ),
        )),
        CertificateState::Missing => Some((
            Level::Warning,
            format!(
                "{name} has no certificate: {}",
                error.unwrap_or("none is ordered")
            ),
        )),
        CertificateState::Pending => Some((
            Level::Warning,
            match error.or(certificate.warning.as_deref()) {
                Some(error) => format!("{name} has no certificate yet: {error}"),
                None => format!("{name} has no certificate yet"),
            },
        )),
        CertificateState::Valid => {
            let left = certificate
                .not_after
                .map(|end| end.duration_since(now).unwrap_or_default());
            match left.filter(|left| *left < soon(certificate)) {
                Some(left) => Some((
                    Level::Critical,
                    format!(
                        "the certificate of {name} ends in {}: {}",
                        span(left),
                        error.unwrap_or_else(remedy)
                    ),
                )),
                None => worth_a_look(certificate),
            }
        }
    }
}

/// What is wrong with a certificate that holds for a while yet.
fn worth_a_look(certificate: &CertificateReport) -> Finding {
    let name = certificate.names.first()?;
    let text = match (&certificate.last_error, &certificate.warning) {
        (Some(error), _) if certificate.failures > 0 => {
            format!("the renewal for {name} failed: {error}")
        }
        (Some(text), _) | (None, Some(text)) => format!("the certificate of {name}: {text}"),
        (None, None) => return None,
    };
    Some((Level::Warning, text))
}

/// How long before its end a certificate is critical: never longer than a tenth of its life, or a
/// short one would be so from its first day.
fn soon(certificate: &CertificateReport) -> Duration {
    let life = certificate
        .not_before
        .zip(certificate.not_after)
        .and_then(|(from, until)| until.duration_since(from).ok());
    life.map_or(ENDS_SOON, |life| (life / 10).min(ENDS_SOON))
}

fn span(left: Duration) -> String {
    match left.as_secs() / DAY.as_secs() {
        0 | 1 => format!("{} hours", left.as_secs() / 3_600),
        days => format!("{days} days"),
    }
}

/// Whether a container sees the folder of everybody's certificates.
pub(super) fn judge_folder<'u>(
    units: impl Iterator<Item = &'u Unit>,
    folder: &Path,
) -> Option<(Level, String)> {
    let mut sees = units.filter(|unit| unit.phase.is_alive());
    let unit = sees.find(|unit| unit.mounts.iter().any(|mount| folder.starts_with(mount)))?;
    Some((
        Level::Warning,
        format!(
            "the container {} mounts {}, the folder with the keys of every tenant; give it a volume \
             of its own and write `export-certificate = {{ volume = \"NAME\" }}`",
            unit.name,
            folder.display()
        ),
    ))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::inventory::{Origin, Phase, Reach};
    use crate::names::ReplicaId;

    const NOW: Duration = Duration::from_secs(1_795_737_600);

    fn at(after: Duration) -> SystemTime {
        SystemTime::UNIX_EPOCH + NOW + after
    }

    /// A certificate with this life, of which so much is left.
    fn certificate(life: Duration, left: Duration) -> CertificateReport {
        let end = at(left);
        CertificateReport {
            instance: "congress".parse().expect("name"),
            names: vec!["congress.example.org".parse().expect("name")],
            state: CertificateState::Valid,
            source: CertificateSource::Acme,
            not_before: Some(end - life),
            not_after: Some(end),
            next_attempt: None,
            failures: 0,
            last_error: None,
            warning: None,
        }
    }

    fn judged(certificate: &CertificateReport) -> Finding {
        judge_certificates(&[certificate], at(Duration::ZERO))
    }

    #[test]
    fn an_end_is_critical_a_week_before_or_a_tenth_of_a_short_life() {
        const HOUR: Duration = Duration::from_secs(3_600);
        for (life, left, critical) in [
            (90 * DAY, 8 * DAY, false),
            (90 * DAY, 6 * DAY, true),
            (45 * DAY, 5 * DAY, false),
            (45 * DAY, 4 * DAY, true),
            (6 * DAY, 6 * DAY, false),
            (6 * DAY, 15 * HOUR, false),
            (6 * DAY, 14 * HOUR, true),
        ] {
            let found = judged(&certificate(life, left));
            let level = found.as_ref().map(|(level, _)| *level);
            let expected = critical.then_some(Level::Critical);
            assert_eq!(level, expected, "{life:?} {left:?}: {found:?}");
        }
    }

    #[test]
    fn every_failed_renewal_is_a_warning_with_its_reason() {
        let failed = CertificateReport {
            failures: 1,
            last_error: Some("the authority refused".to_owned()),
            ..certificate(90 * DAY, 20 * DAY)
        };
        let text = "the renewal for congress.example.org failed: the authority refused";
        assert_eq!(judged(&failed), Some((Level::Warning, text.to_owned())));
        let late = CertificateReport {
            not_after: Some(at(3 * DAY)),
            ..failed
        };
        let (level, text) = judged(&late).expect("bad");
        assert_eq!(level, Level::Critical);
        assert!(
            text.contains("ends in 3 days: the authority refused"),
            "{text}"
        );
    }

    #[test]
    fn what_is_wrong_with_the_files_is_told_while_the_last_pair_is_served() {
        let torn = CertificateReport {
            last_error: Some("a.crt holds no certificate".to_owned()),
            source: CertificateSource::File,
            ..certificate(90 * DAY, 20 * DAY)
        };
        let (level, text) = judged(&torn).expect("bad");
        assert_eq!(level, Level::Warning);
        assert!(
            !text.contains("renewal") && text.contains("a.crt holds"),
            "{text}"
        );
    }

    #[test]
    fn a_file_that_nobody_renews_is_told_before_it_ends() {
        let file = CertificateReport {
            source: CertificateSource::File,
            ..certificate(365 * DAY, 2 * DAY)
        };
        let (level, text) = judged(&file).expect("bad");
        assert_eq!(level, Level::Critical);
        assert!(text.contains("put a newer pair there"), "{text}");
    }

    #[test]
    fn what_has_expired_is_critical_and_the_worst_is_told() {
        let expired = CertificateReport {
            state: CertificateState::Expired,
            ..certificate(90 * DAY, Duration::ZERO)
        };
        let missing = CertificateReport {
            state: CertificateState::Missing,
            ..certificate(90 * DAY, Duration::ZERO)
        };
        let found = judge_certificates(&[&missing, &expired, &missing], at(DAY));
        let (level, text) = found.expect("bad");
        assert_eq!(level, Level::Critical);
        assert!(text.contains("has expired"), "{text}");
    }

    #[test]
    fn a_container_that_sees_the_folder_of_all_is_named() {
        let unit = |name: &str, mounts: &[&str], phase| Unit {
            id: ReplicaId::new(name, 1),
            name: name.to_owned(),
            image: String::new(),
            make: String::new(),
            phase,
            dismissed: false,
            since: SystemTime::UNIX_EPOCH,
            reach: Reach::At(IpAddr::from([10, 0, 0, 1])),
            networks: Vec::new(),
            mounts: mounts.iter().map(Into::into).collect(),
            ports: Vec::new(),
            health: None,
            origin: Origin::Fixed,
            task: None,
            claims: std::sync::Arc::default(),
        };
        let folder = Path::new("/srv/usher/certs");
        let told = |mounts: &[&str], phase| {
            let units = [
                unit("web", &["/srv/media"], Phase::Running),
                unit("post", mounts, phase),
            ];
            judge_folder(units.iter(), folder).map(|(_, text)| text)
        };
        for mounts in [&["/srv/usher/certs"][..], &["/x", "/srv/usher"]] {
            let text = told(mounts, Phase::Running).expect("it sees them");
            assert!(
                text.contains("container post mounts /srv/usher/certs"),
                "{text}"
            );
            assert!(text.contains("export-certificate"), "{text}");
        }
        // Beside the folder, one pair in it, and a container that does not run.
        for mounts in [
            &["/srv/usher/certs2"][..],
            &["/srv/usher/certs/a.example.org"],
        ] {
            assert_eq!(told(mounts, Phase::Running), None, "{mounts:?}");
        }
        assert_eq!(told(&["/srv/usher/certs"], Phase::Exited { code: 0 }), None);
    }
}
