//! What a container wishes for its hosts as a whole, and not for a path of them.

use super::reading::{LONGEST, Reading};
use super::tls::Tls;
use crate::plan::{ExternalPorts, Https, NonGetRedirect};

/// What is about a host and not about a path of it. `None` is not said.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(in crate::compat) struct Wishes {
    pub(in crate::compat) https: Option<Https>,
    pub(in crate::compat) external_ports: ExternalPorts,
    pub(in crate::compat) non_get_redirect: Option<NonGetRedirect>,
    pub(in crate::compat) http2: Option<bool>,
    pub(in crate::compat) hsts: Option<String>,
    pub(in crate::compat) http_without_certificate: Option<bool>,
    pub(in crate::compat) certificate: Option<String>,
    pub(in crate::compat) email: Option<String>,
    /// As the container writes it; it counts where an operator has declared it.
    pub(in crate::compat) directory: Option<String>,
    pub(in crate::compat) staging: Option<bool>,
    pub(in crate::compat) apart: Option<bool>,
    pub(in crate::compat) tls: Tls,
}

impl Wishes {
    /// With what another one says where this is silent.
    pub(in crate::compat) fn or(self, other: &Self) -> Self {
        Self {
            https: self.https.or(other.https),
            external_ports: ExternalPorts {
                http: self.external_ports.http.or(other.external_ports.http),
                https: self.external_ports.https.or(other.external_ports.https),
            },
            non_get_redirect: self.non_get_redirect.or(other.non_get_redirect),
            http2: self.http2.or(other.http2),
            hsts: self.hsts.or_else(|| other.hsts.clone()),
            http_without_certificate: self
                .http_without_certificate
                .or(other.http_without_certificate),
            certificate: self.certificate.or_else(|| other.certificate.clone()),
            email: self.email.or_else(|| other.email.clone()),
            directory: self.directory.or_else(|| other.directory.clone()),
            staging: self.staging.or(other.staging),
            apart: self.apart.or(other.apart),
            tls: self.tls.or(other.tls),
        }
    }

    /// With what the one that asks for a certificate says of it, where this is silent.
    pub(in crate::compat) fn of_order(self, other: &Self) -> Self {
        Self {
            email: self.email.or_else(|| other.email.clone()),
            directory: self.directory.or_else(|| other.directory.clone()),
            staging: self.staging.or(other.staging),
            tls: Tls {
                key_type: self.tls.key_type.or(other.tls.key_type),
                ..self.tls
            },
            ..self
        }
    }
}

impl Reading<'_> {
    pub(super) fn wishes(&mut self) -> Wishes {
        let https = self.get("HTTPS_METHOD").and_then(|method| match method {
            "redirect" => Some(Https::Redirect),
            "noredirect" => Some(Https::Both),
            "nohttp" => Some(Https::Only),
            "nohttps" => Some(Https::Off),
            other => {
                let why = "it is none of redirect, noredirect, nohttp and nohttps";
                self.ignored("HTTPS_METHOD", other, why);
                None
            }
        });
        let hsts = self.get("HSTS").and_then(|value| {
            let fits = value.len() <= LONGEST && value.bytes().all(|b| matches!(b, b' '..=b'~'));
            if !fits {
                self.ignored("HSTS", value, "it cannot be sent in a header");
            }
            fits.then(|| value.to_owned())
        });
        let certificate = self.get("CERT_NAME").and_then(|name| {
            let fits = is_of_a_pair(name);
            if !fits {
                let why = "it is no name of a pair: letters, digits, `-`, `_` and `.`";
                self.ignored("CERT_NAME", name, why);
            }
            fits.then(|| name.to_owned())
        });
        let email = self.acme("EMAIL").and_then(|(key, email)| {
            let fits = email.len() <= LONGEST
                && email.split('@').filter(|part| !part.is_empty()).count() == 2
                && email.bytes().all(|b| b.is_ascii_graphic() && b != b',');
            if !fits {
                self.ignored(&key, email, "it is no mail address");
            }
            fits.then(|| email.to_owned())
        });
        let directory = self.get("ACME_CA_URI").and_then(|url| {
            let fits = url.len() <= LONGEST
                && url.starts_with("https://")
                && url.bytes().all(|b| b.is_ascii_graphic());
            if !fits {
                let why = "it is no URL that begins with https:// (RFC 8555 §6.1)";
                self.ignored("ACME_CA_URI", url, why);
            }
            fits.then(|| url.to_owned())
        });
        let said = |value: Option<&str>| value.map(|value| value.eq_ignore_ascii_case("true"));
        let apart = self.acme("SINGLE_DOMAIN_CERTS");
        let non_get_redirect = self
            .get("NON_GET_REDIRECT")
            .and_then(|status| self.non_get_redirect("NON_GET_REDIRECT", status));
        Wishes {
            https,
            // Of a host and of labels: whoever asks puts them in.
            external_ports: ExternalPorts::default(),
            http2: None,
            non_get_redirect,
            hsts,
            http_without_certificate: self.flag("ENABLE_HTTP_ON_MISSING_CERT"),
            certificate,
            email,
            directory,
            staging: said(self.get("LETSENCRYPT_TEST")),
            apart: said(apart.map(|(_, value)| value)),
            tls: self.tls(),
        }
    }
}

/// Whether it can be the name of a pair in the folder, and nothing else in there.
fn is_of_a_pair(name: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    name.len() <= LONGEST && !name.starts_with('.') && name.bytes().all(inside)
}
