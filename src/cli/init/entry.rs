//! What the containers of one stack ask for, as an `[[instance]]`.

use std::fmt::Write;

use toml::{Table, Value};

use crate::config::claimed::{Claimed, ClaimedRoute};
use crate::config::model::Orders;
use crate::names::StackName;
use crate::plan::{Https, Placement};

/// One stack whose claims are one site.
pub(super) struct Entry<'e> {
    pub(super) stack: &'e StackName,
    pub(super) claimed: &'e Claimed,
    /// Keys that hold where its containers say nothing else.
    pub(super) usual: &'e Table,
    /// Of the account, where it has one.
    pub(super) email: Option<&'e str>,
    pub(super) openslides: bool,
}

/// The hosts of a site, as they are written.
pub(super) fn hosts(claimed: &Claimed) -> impl Iterator<Item = String> {
    let domains = claimed.domains.iter().map(ToString::to_string);
    domains.chain(claimed.patterns.iter().map(ToString::to_string))
}

impl Entry<'_> {
    pub(super) fn write(&self, text: &mut String) {
        let claimed = self.claimed;
        self.comment_on_orders(text);
        line(text, "[[instance]]");
        let mut keys = self.keys();
        let preset = self.openslides && claimed.services.keys().all(|name| name.as_str() == "web");
        // Its routes are the preset's; who may ask holds for all of them.
        let mut routes: Vec<ClaimedRoute> = claimed.routes.clone();
        if let Some(first) = routes.first().map(|route| route.allow.clone())
            && !first.is_empty()
            && routes.iter().all(|route| route.allow == first)
        {
            keys.push(("allow", texts(&first)));
            for route in &mut routes {
                route.allow.clear();
            }
        }
        for (key, value) in &keys {
            line(text, &format!("{key} = {value}"));
        }
        for (key, value) in self.usual {
            let is_said = keys.iter().any(|(known, _)| known == key);
            if !is_said {
                line(text, &format!("{key} = {}", written(value)));
            }
        }
        if preset {
            line(text, "preset = \"openslides\"");
        }
        for (name, service) in &claimed.services {
            let mut lines = Vec::new();
            if !preset {
                lines.push("role = \"fixed\"".to_owned());
            }
            if let Some(port) = service.port.filter(|port| !preset || *port != 8000) {
                lines.push(format!("port = {port}"));
            }
            if service.tls {
                lines.push("tls = true".to_owned());
            }
            if let Some(keep) = service.keep_alive {
                lines.push(format!("keep-alive = {keep}"));
            }
            if let Some(placement) = service.placement {
                let word = match placement {
                    Placement::Client => "client",
                    Placement::Least => "least",
                };
                lines.push(format!("placement = \"{word}\""));
            }
            if !lines.is_empty() {
                line(
                    text,
                    &format!("\n[instance.service.{}]", quoted(name.as_str())),
                );
                line(text, &lines.join("\n"));
            }
        }
        let plain = |route: &ClaimedRoute| {
            *route
                == ClaimedRoute {
                    prefix: "/".to_owned(),
                    to: route.to.clone(),
                    port: None,
                    tls: None,
                    replace_prefix: None,
                    allow: Vec::new(),
                }
        };
        let needless = claimed.services.len() == 1 && routes.iter().all(plain);
        if preset && !routes.iter().all(plain) {
            comment(
                text,
                "Its containers claim paths of their own, which come before those of the preset.",
            );
        }
        if !needless {
            for route in routes.iter().filter(|route| !(preset && plain(route))) {
                write_route(text, route);
            }
        }
    }

    fn keys(&self) -> Vec<(&'static str, String)> {
        let Claimed {
            by: _,
            domains,
            patterns: _,
            https,
            http_without_certificate,
            external_ports,
            non_get_redirect,
            http2,
            hsts,
            certificate,
            orders: _,
            email,
            directory,
            staging,
            key_type,
            trust_default_cert,
            clients: _,
            services: _,
            routes: _,
        } = self.claimed;
        let mut keys = vec![
            ("name", quoted(self.stack.as_str())),
            ("domains", texts(domains)),
        ];
        let method = https.map(|https| match https {
            Https::Both => "both",
            Https::Off => "off",
            Https::Only => "only",
            Https::Redirect => "redirect",
        });
        keys.extend(method.map(|word| ("https", quoted(word))));
        keys.extend(
            http_without_certificate.map(|served| ("http-without-certificate", served.to_string())),
        );
        let usual = self.usual.get("https").and_then(Value::as_str);
        // Who may come by plain HTTP is not told to come by TLS only.
        if method.or(usual) == Some("both") {
            keys.push(("hsts", quoted("off")));
        } else if let Some(hsts) = hsts {
            keys.push(("hsts", quoted(hsts)));
        }
        let ports = [
            ("external-http-port", external_ports.http),
            ("external-https-port", external_ports.https),
        ];
        for (key, port) in ports {
            keys.extend(port.map(|port| (key, port.to_string())));
        }
        keys.extend(
            non_get_redirect.map(|redirect| ("non-get-redirect", redirect.code().to_string())),
        );
        keys.extend(http2.map(|http2| ("http2", http2.to_string())));
        let certificate = certificate.as_ref();
        keys.extend(certificate.map(|name| ("certificate", quoted(name))));
        let other = email
            .as_ref()
            .filter(|email| self.email != Some(email.as_str()));
        keys.extend(other.map(|email| ("acme-email", quoted(email))));
        keys.extend(
            directory
                .as_ref()
                .map(|url| ("acme-directory", quoted(url))),
        );
        // Trusted by no browser, as LETSENCRYPT_TEST said.
        keys.extend(staging.map(|staging| ("staging", staging.to_string())));
        keys.extend(key_type.map(|kind| ("key-type", quoted(kind.word()))));
        keys.extend(trust_default_cert.map(|trust| ("trust-default-cert", trust.to_string())));
        keys
    }

    /// An entry has one certificate for all of its names.
    fn comment_on_orders(&self, text: &mut String) {
        let Orders::Asked { names, apart } = &self.claimed.orders else {
            return;
        };
        let Claimed { by, domains, .. } = self.claimed;
        let rest: Vec<String> = domains
            .iter()
            .filter(|domain| !names.contains(domain))
            .map(ToString::to_string)
            .collect();
        if *apart && names.len() > 1 {
            comment(
                text,
                &format!(
                    "SINGLE_DOMAIN_CERTS of {by} is not followed: an entry has one certificate for all \
                     of its names; write an [[instance]] for each name, of a stack of its own."
                ),
            );
        }
        if !rest.is_empty() {
            comment(
                text,
                &format!(
                    "LETSENCRYPT_HOST of {by} does not ask for {}; with [acme], an entry has a \
                     certificate ordered for all of its names that have none in [certs] dir.",
                    rest.join(", ")
                ),
            );
        }
    }
}

fn write_route(text: &mut String, route: &ClaimedRoute) {
    let ClaimedRoute {
        prefix,
        to,
        port,
        tls,
        replace_prefix,
        allow,
    } = route;
    line(text, "\n[[instance.route]]");
    line(text, &format!("prefix = {}", quoted(prefix)));
    line(text, &format!("to = {}", quoted(to.as_str())));
    if let Some(port) = port {
        line(text, &format!("port = {port}"));
    }
    if let Some(tls) = tls {
        line(text, &format!("tls = {tls}"));
    }
    if let Some(with) = replace_prefix {
        line(text, &format!("replace-prefix = {}", quoted(with)));
    }
    if !allow.is_empty() {
        line(text, &format!("allow = {}", texts(allow)));
    }
}

fn texts<T: ToString>(all: &[T]) -> String {
    let all: Vec<String> = all.iter().map(|one| quoted(&one.to_string())).collect();
    format!("[{}]", all.join(", "))
}

fn written(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        other => other.to_string(),
    }
}

/// As a TOML string. What containers say is not believed to be harmless.
pub(super) fn quoted(value: &str) -> String {
    let mut text = String::from("\"");
    for letter in value.chars() {
        match letter {
            '"' | '\\' => {
                text.push('\\');
                text.push(letter);
            }
            letter if letter.is_control() => {
                // Writing to a String cannot fail.
                let _ = write!(text, "\\u{:04X}", u32::from(letter));
            }
            letter => text.push(letter),
        }
    }
    text + "\""
}

/// A sentence, whoever wrote parts of it.
pub(super) fn comment(text: &mut String, sentence: &str) {
    const WIDTH: usize = 100;
    let plain: String = sentence
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect();
    let mut written = String::from("#");
    for word in plain.split_whitespace() {
        if written.len() > 1 && written.len() + 1 + word.len() > WIDTH {
            line(text, &written);
            written = String::from("#");
        }
        written.push(' ');
        written.push_str(word);
    }
    line(text, &written);
}

pub(super) fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}
