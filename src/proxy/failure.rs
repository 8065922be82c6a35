//! Everything that can go wrong with a request, and the one table from there to a status.

use http::StatusCode;

use crate::routing::NoPick;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Failure {
    /// Nothing runs until somebody comes, and this is nobody: a robot, a health check.
    Asleep,
    /// It can be understood in two ways where it goes.
    Ambiguous,
    /// `Host` is missing or no name.
    BadHost,
    /// The path can be understood in two ways.
    BadPath,
    BodyTooLarge,
    /// The client sends its body more slowly than [`pace`](super::pace) allows.
    BodyTooSlow,
    /// More are held than may be, and nobody of its stack had waited longer. It is told what it would
    /// have been told when its patience ends.
    Crowded(Held),
    /// A client without a certificate where one is asked for.
    CertificateMissing,
    /// A client with a certificate for which nobody vouches.
    CertificateRefused,
    Denied,
    /// It expects what nobody here can promise (RFC 9110 §10.1.1).
    Expectation,
    FieldsTooMany,
    /// A websocket handshake that is none (RFC 6455 §4.2.1).
    HandshakeInvalid,
    HandshakeVersion,
    HostDiffersFromSni,
    Internal,
    /// What it is for leads back to usher, and it has been here.
    Loop,
    MethodNotAllowed,
    NoReplica,
    NoRoute,
    NotFound,
    OnlyHttps,
    /// A websocket from a page of another site.
    OriginRefused,
    OverLimit,
    /// usher itself is near what it can hold.
    Overload,
    Paused,
    /// The file of those who may come in is not there or not understood.
    PasswordsMissing,
    Standby,
    /// Its replicas do not start.
    StartFailed,
    /// A replica was starting, and did not become ready in time.
    Starting,
    /// The volume of the files does not answer.
    StaticHangs,
    StaticMissing,
    /// Replicas run, but on no network that usher reaches.
    Stranded,
    TargetTooLong,
    /// A request to be let through to somewhere else.
    Tunnel,
    /// Name and password are missing or wrong.
    Unauthorized,
    UnknownName,
    /// Outside its rental.
    Unrented,
    UpstreamFailed,
    UpstreamTimedOut,
}

/// What a request is held for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Held {
    /// Others to be done.
    OverLimit,
    /// The end of a pause.
    Paused,
    /// A replica that is starting.
    Starting,
}

impl Held {
    /// What it is told when its patience has ended.
    pub(super) fn in_vain(self) -> Failure {
        match self {
            Self::OverLimit => Failure::OverLimit,
            Self::Paused => Failure::Paused,
            Self::Starting => Failure::Starting,
        }
    }
}

impl Failure {
    /// What the client is told, which need not be all that the log is.
    pub(super) fn as_told(self) -> Self {
        match self {
            Self::Crowded(held) => held.in_vain(),
            other => other,
        }
    }

    /// The only place where a failure becomes a status (RFC 9110 §15).
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Ambiguous
            | Self::BadHost
            | Self::BadPath
            | Self::CertificateMissing
            | Self::CertificateRefused
            | Self::HandshakeInvalid
            | Self::Tunnel => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Denied | Self::OriginRefused => StatusCode::FORBIDDEN,
            Self::NoRoute | Self::NotFound => StatusCode::NOT_FOUND,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::HostDiffersFromSni => StatusCode::MISDIRECTED_REQUEST,
            Self::HandshakeVersion => StatusCode::UPGRADE_REQUIRED,
            Self::FieldsTooMany => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Stranded | Self::UpstreamFailed => StatusCode::BAD_GATEWAY,
            Self::Asleep
            | Self::Crowded(_)
            | Self::NoReplica
            | Self::OnlyHttps
            | Self::OverLimit
            | Self::Overload
            | Self::PasswordsMissing
            | Self::Paused
            | Self::Standby
            | Self::StartFailed
            | Self::Starting
            | Self::StaticHangs
            | Self::StaticMissing
            | Self::UnknownName
            | Self::Unrented => StatusCode::SERVICE_UNAVAILABLE,
            Self::UpstreamTimedOut => StatusCode::GATEWAY_TIMEOUT,
            // RFC 5842 §7.2
            Self::Loop => StatusCode::LOOP_DETECTED,
        }
    }

    /// Whether it may be over by itself a moment later.
    pub(super) fn passes(self) -> bool {
        matches!(
            self,
            Self::Crowded(_)
                | Self::NoReplica
                | Self::OverLimit
                | Self::Overload
                | Self::Paused
                | Self::StartFailed
                | Self::Starting
                | Self::StaticHangs
                | Self::StaticMissing
        )
    }

    /// The word of the access log.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Ambiguous => "ambiguous",
            Self::Asleep => "asleep",
            Self::BadHost => "bad-host",
            Self::BadPath => "bad-path",
            Self::BodyTooLarge => "body-too-large",
            Self::BodyTooSlow => "body-too-slow",
            Self::CertificateMissing => "certificate-missing",
            Self::CertificateRefused => "certificate-refused",
            Self::Crowded(_) => "crowded",
            Self::Denied => "denied",
            Self::Expectation => "expectation",
            Self::FieldsTooMany => "fields-too-many",
            Self::HandshakeInvalid => "handshake-invalid",
            Self::HandshakeVersion => "handshake-version",
            Self::HostDiffersFromSni => "host-differs-from-sni",
            Self::Internal => "internal",
            Self::Loop => "loop",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::NoReplica => "no-replica",
            Self::NoRoute => "no-route",
            Self::NotFound => "not-found",
            Self::OnlyHttps => "only-https",
            Self::OriginRefused => "origin-refused",
            Self::OverLimit => "over-limit",
            Self::Overload => "overload",
            Self::PasswordsMissing => "passwords-missing",
            Self::Paused => "paused",
            Self::Standby => "standby",
            Self::StartFailed => "start-failed",
            Self::Starting => "starting",
            Self::StaticHangs => "static-hangs",
            Self::StaticMissing => "static-missing",
            Self::Stranded => "stranded",
            Self::TargetTooLong => "target-too-long",
            Self::Tunnel => "tunnel",
            Self::Unauthorized => "unauthorized",
            Self::UnknownName => "unknown-name",
            Self::Unrented => "unrented",
            Self::UpstreamFailed => "upstream-failed",
            Self::UpstreamTimedOut => "upstream-timed-out",
        }
    }
}

impl From<NoPick> for Failure {
    fn from(none: NoPick) -> Self {
        match none {
            NoPick::Busy | NoPick::Full => Self::OverLimit,
            NoPick::Coming => Self::Starting,
            NoPick::Failing => Self::StartFailed,
            NoPick::NoneReady => Self::NoReplica,
            NoPick::Stranded => Self::Stranded,
            NoPick::Tried => Self::UpstreamFailed,
        }
    }
}
