//! What the variables of nginx-proxy and acme-companion say for the proxy as a whole, as a layer of
//! the configuration: below the file, and read by the same rules, so that a variable and a key mean
//! the same.
//!
//! Pure: variables in, TOML and sentences out. A variable that is empty is not set. One that cannot be
//! understood costs itself: a sentence is said, and what would hold without it holds.

use std::collections::BTreeMap;
use std::fmt::Display;

use toml::{Table, Value};

use super::lower::{filters, no_route};
use crate::names::Hostname;
use crate::plan::KeyType;

/// What the variables say.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    /// TOML, shaped like a file.
    pub(super) globals: String,
    /// TOML, shaped like an `[[instance]]` that has nothing of its own: what holds for every instance
    /// that says nothing else.
    pub(super) instances: String,
    /// The variables that are set.
    pub(super) set: Vec<&'static str>,
}

/// Alike when they say the same, whichever variables said it.
impl PartialEq for Layer {
    fn eq(&self, other: &Self) -> bool {
        let Self {
            globals,
            instances,
            set: _,
        } = self;
        *globals == other.globals && *instances == other.instances
    }
}

impl Layer {
    /// TOML, shaped like a file.
    pub fn globals(&self) -> &str {
        &self.globals
    }

    /// TOML: keys of an `[[instance]]`, for each that says nothing else.
    pub fn instances(&self) -> &str {
        &self.instances
    }

    /// Those of the variables that are set and say something of a key.
    pub(super) fn about(&self, table: &str, key: &str) -> impl Iterator<Item = &'static str> {
        let all: &[&str] = match (table, key) {
            ("acme", "challenges") => &["ACME_CHALLENGE"],
            ("acme", "email") => &["DEFAULT_EMAIL"],
            ("acme", _) => &[
                "ACME_CA_URI",
                "ACME_CERT_PROFILE",
                "ACME_EAB_HMAC_KEY",
                "ACME_EAB_KID",
                "CA_BUNDLE",
            ],
            ("certs", "key-type") => &["DEFAULT_KEY_SIZE"],
            ("certs", "min-version") => &["SSL_POLICY"],
            ("certs", "reuse-key") => &["ACME_RENEW_PRIVATE_KEYS", "RENEW_PRIVATE_KEYS"],
            ("certs" | "compat", _) => &["TRUST_DEFAULT_CERT"],
            ("engine", "container-filters") => &["DOCKER_CONTAINER_FILTERS"],
            ("engine", _) => &["PREFER_IPV6_NETWORK"],
            ("instance", "allow") => &["NETWORK_ACCESS"],
            ("instance", "hsts") => &["HSTS"],
            ("instance", "http-without-certificate") => &["ENABLE_HTTP_ON_MISSING_CERT"],
            ("instance", "https") => &["HTTPS_METHOD"],
            ("instance", "no-route") => &["DEFAULT_ROOT"],
            ("instance", "non-get-redirect") => &["NON_GET_REDIRECT"],
            ("instance", _) => &["LETSENCRYPT_TEST"],
            ("listen", "default-host") => &["DEFAULT_HOST"],
            ("listen", "http") => &["ENABLE_IPV6", "HTTP_PORT"],
            ("listen", "http2") => &["ENABLE_HTTP2"],
            ("listen", "https") => &["ENABLE_IPV6", "HTTPS_PORT"],
            ("listen", "proxy-protocol") => &["ENABLE_PROXY_PROTOCOL"],
            ("listen", _) => &["TRUST_DOWNSTREAM_PROXY"],
            ("log", "access") => &["DISABLE_ACCESS_LOGS"],
            ("log", _) => &["LOG_JSON"],
            _ => &[],
        };
        let set = self.set.clone();
        let about = all.iter().copied();
        about.filter(move |name| set.contains(name))
    }
}

/// A variable that is not followed to the letter, and what holds instead.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Note {
    pub variable: &'static str,
    pub text: String,
}

/// The variables that [`read`] follows.
pub const FOLLOWED: [&str; 30] = [
    "ACME_CA_URI",
    "ACME_CERT_PROFILE",
    "ACME_CHALLENGE",
    "ACME_EAB_HMAC_KEY",
    "ACME_EAB_KID",
    "ACME_RENEW_PRIVATE_KEYS",
    "CA_BUNDLE",
    "DEFAULT_EMAIL",
    "DEFAULT_HOST",
    "DEFAULT_KEY_SIZE",
    "DEFAULT_ROOT",
    "DISABLE_ACCESS_LOGS",
    "DOCKER_CONTAINER_FILTERS",
    "ENABLE_HTTP2",
    "ENABLE_HTTP_ON_MISSING_CERT",
    "ENABLE_IPV6",
    "ENABLE_PROXY_PROTOCOL",
    "HSTS",
    "HTTPS_METHOD",
    "HTTPS_PORT",
    "HTTP_PORT",
    "LETSENCRYPT_TEST",
    "LOG_JSON",
    "NETWORK_ACCESS",
    "NON_GET_REDIRECT",
    "PREFER_IPV6_NETWORK",
    "RENEW_PRIVATE_KEYS",
    "SSL_POLICY",
    "TRUST_DEFAULT_CERT",
    "TRUST_DOWNSTREAM_PROXY",
];

/// The longest value that is looked at.
const LONGEST: usize = 4 * 1024;
/// What the directory of `ACME_CA_URI` is called where it is none of the known ones.
const DIRECTORY: &str = "environment";
const EVERYBODY: [&str; 2] = ["0.0.0.0/0", "::/0"];
/// What `NETWORK_ACCESS=internal` lets in.
const INTERNAL: [&str; 6] = [
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "fc00::/7",
    "::1/128",
];

/// Reads the variables of the proxy. `value` gives what one is set to.
pub fn read(value: impl Fn(&str) -> Option<String>) -> (Layer, Vec<Note>) {
    let set = FOLLOWED.into_iter().filter_map(|name| {
        let value = value(name)?.trim().to_owned();
        (!value.is_empty()).then_some((name, value))
    });
    let mut reading = Reading {
        set: set.collect(),
        globals: Table::new(),
        instances: Table::new(),
        notes: Vec::new(),
    };
    reading.cap();
    reading.listen();
    reading.engine();
    reading.certs();
    reading.acme();
    reading.log();
    reading.every_instance();
    let layer = Layer {
        set: reading.set.keys().copied().collect(),
        globals: reading.globals.to_string(),
        instances: reading.instances.to_string(),
    };
    (layer, reading.notes)
}

/// As Go reads them, which is what nginx-proxy is written in.
pub fn flag(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

struct Reading {
    set: BTreeMap<&'static str, String>,
    globals: Table,
    instances: Table,
    notes: Vec<Note>,
}

impl Reading {
    fn get(&self, name: &str) -> Option<String> {
        self.set.get(name).cloned()
    }

    /// Says something about a variable that is followed all the same.
    fn note(&mut self, variable: &'static str, text: impl Into<String>) {
        let text = text.into();
        self.notes.push(Note { variable, text });
    }

    fn ignored(&mut self, variable: &'static str, value: &str, why: impl Display) {
        let shown: String = value.chars().take(64).collect();
        let text = format!("`{}` is ignored: {why}", shown.escape_debug());
        self.note(variable, text);
    }

    fn cap(&mut self) {
        let long = |value: &String| value.len() > LONGEST;
        let longer: Vec<&str> = FOLLOWED
            .into_iter()
            .filter(|name| self.set.get(name).is_some_and(long))
            .collect();
        for name in longer {
            if let Some(value) = self.set.remove(name) {
                self.ignored(name, &value, format!("it is longer than {LONGEST} bytes"));
            }
        }
    }

    fn flag(&mut self, name: &'static str, usual: bool) -> bool {
        let Some(text) = self.get(name) else {
            return usual;
        };
        flag(&text).unwrap_or_else(|| {
            let holds = format!("it is neither true nor false; {usual} holds");
            self.ignored(name, &text, holds);
            usual
        })
    }

    fn say(&mut self, table: &str, key: &str, value: impl Into<Value>) {
        let table = self
            .globals
            .entry(table)
            .or_insert_with(|| Table::new().into());
        if let Value::Table(table) = table {
            table.insert(key.to_owned(), value.into());
        }
    }

    fn every(&mut self, key: &str, value: impl Into<Value>) {
        self.instances.insert(key.to_owned(), value.into());
    }

    fn port(&mut self, name: &'static str, usual: u16) -> u16 {
        let Some(text) = self.get(name) else {
            return usual;
        };
        let port = text.parse().ok().filter(|port: &u16| *port != 0);
        port.unwrap_or_else(|| {
            let why = format!("it is no port between 1 and 65535; {usual} holds");
            self.ignored(name, &text, why);
            usual
        })
    }

    fn listen(&mut self) {
        let mut ports = (self.port("HTTP_PORT", 80), self.port("HTTPS_PORT", 443));
        if ports.0 == ports.1 {
            let name = match self.set.contains_key("HTTPS_PORT") {
                true => "HTTPS_PORT",
                false => "HTTP_PORT",
            };
            let why = "one port is for plain HTTP and HTTPS; 80 and 443 hold";
            self.ignored(name, &ports.0.to_string(), why);
            ports = (80, 443);
        }
        let both = self.flag("ENABLE_IPV6", false);
        for (key, port) in [("http", ports.0), ("https", ports.1)] {
            let mut addresses = vec![format!("0.0.0.0:{port}")];
            addresses.extend(both.then(|| format!("[::]:{port}")));
            self.say("listen", key, addresses);
        }
        if self.flag("TRUST_DOWNSTREAM_PROXY", false) {
            self.say(
                "listen",
                "trusted-proxies",
                EVERYBODY.map(str::to_owned).to_vec(),
            );
            let text = "every client may say with X-Forwarded-* who it is; name the networks of your \
                        proxies in `[listen] trusted-proxies` instead";
            self.note("TRUST_DOWNSTREAM_PROXY", text);
        }
        if self.flag("ENABLE_PROXY_PROTOCOL", false) {
            self.say("listen", "proxy-protocol", "all");
        }
        if !self.flag("ENABLE_HTTP2", true) {
            self.say("listen", "http2", false);
        }
        if let Some(host) = self.get("DEFAULT_HOST") {
            match host.parse::<Hostname>() {
                Ok(host) => self.say("listen", "default-host", host.to_string()),
                Err(why) => {
                    let why = format!("it {why}; names that nobody has get 503");
                    self.ignored("DEFAULT_HOST", &host, why);
                }
            }
        }
    }

    fn engine(&mut self) {
        if let Some(list) = self.get("DOCKER_CONTAINER_FILTERS") {
            let items = list
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty());
            let (good, bad): (Vec<&str>, Vec<&str>) =
                items.partition(|item| filters::parse(item).is_ok());
            for item in bad {
                let why = filters::parse(item).err().unwrap_or_default();
                self.ignored("DOCKER_CONTAINER_FILTERS", item, format!("it {why}"));
            }
            if !good.is_empty() {
                let good: Vec<String> = good.into_iter().map(str::to_owned).collect();
                self.say("engine", "container-filters", good);
            }
        }
        if self.flag("PREFER_IPV6_NETWORK", false) {
            self.say("engine", "prefer-ipv6", true);
        }
    }

    fn certs(&mut self) {
        let policy = self.get("SSL_POLICY");
        match policy.as_deref() {
            None | Some("Mozilla-Intermediate") => {}
            Some("Mozilla-Modern") => self.say("certs", "min-version", "1.3"),
            Some(other) => {
                let why = "usher has Mozilla-Intermediate and Mozilla-Modern; Mozilla-Intermediate \
                           holds (TLS 1.2 and 1.3, with no cipher that is weak)";
                self.ignored("SSL_POLICY", other, why);
            }
        }
        // As there: what has no certificate is answered with default.crt, where that exists.
        if self.flag("TRUST_DEFAULT_CERT", true) {
            self.say("certs", "unknown-name", "default");
        } else {
            self.say("compat", "trust-default-cert", false);
        }
        if let Some(size) = self.get("DEFAULT_KEY_SIZE") {
            match size.parse::<KeyType>() {
                Ok(kind) => self.say("certs", "key-type", kind.word()),
                Err(why) => {
                    let why = format!("it {why}; ec-256 holds");
                    self.ignored("DEFAULT_KEY_SIZE", &size, why);
                }
            }
        }
        let name = match self.set.contains_key("ACME_RENEW_PRIVATE_KEYS") {
            true => "ACME_RENEW_PRIVATE_KEYS",
            false => "RENEW_PRIVATE_KEYS",
        };
        if !self.flag(name, true) {
            self.say("certs", "reuse-key", true);
        }
    }

    fn acme(&mut self) {
        if let Some(email) = self.get("DEFAULT_EMAIL") {
            let parts = email.split('@').filter(|part| !part.is_empty()).count();
            let fits = parts == 2 && email.bytes().all(|b| b.is_ascii_graphic() && b != b',');
            if fits {
                self.say("acme", "email", email);
            } else {
                let why = "it is no mail address; the account has none";
                self.ignored("DEFAULT_EMAIL", &email, why);
            }
        }
        match self.get("ACME_CHALLENGE").as_deref() {
            None => {}
            Some("HTTP-01") => self.say("acme", "challenges", vec!["http-01"]),
            Some("DNS-01") => {
                let why = "usher changes the DNS through a command, `dns-hook` in [acme]; http-01 \
                           and tls-alpn-01 hold";
                self.ignored("ACME_CHALLENGE", "DNS-01", why);
            }
            Some(other) => {
                let why = "it is neither HTTP-01 nor DNS-01; http-01 and tls-alpn-01 hold";
                self.ignored("ACME_CHALLENGE", other, why);
            }
        }
        self.directory();
    }

    fn directory(&mut self) {
        const KNOWN: [(&str, &str); 2] = [
            (
                "letsencrypt",
                "https://acme-v02.api.letsencrypt.org/directory",
            ),
            (
                "letsencrypt-staging",
                "https://acme-staging-v02.api.letsencrypt.org/directory",
            ),
        ];
        let mut url = self.get("ACME_CA_URI");
        if let Some(other) = url.take_if(|url| !is_https(url)) {
            let why = "it does not begin with https:// (RFC 8555 §6.1); Let's Encrypt holds";
            self.ignored("ACME_CA_URI", &other, why);
        }
        let mut about = Table::new();
        if let Some(bundle) = self.get("CA_BUNDLE") {
            about.insert("ca-bundle".to_owned(), bundle.into());
        }
        if let Some(profile) = self.get("ACME_CERT_PROFILE") {
            about.insert("profile".to_owned(), profile.into());
        }
        match (self.get("ACME_EAB_KID"), self.get("ACME_EAB_HMAC_KEY")) {
            (Some(kid), Some(_secret)) => {
                let mut eab = Table::new();
                eab.insert("kid".to_owned(), kid.into());
                // The key itself stays where it is: a configuration is shown.
                eab.insert("key-variable".to_owned(), "ACME_EAB_HMAC_KEY".into());
                about.insert("eab".to_owned(), eab.into());
            }
            (Some(kid), None) => {
                let why = "ACME_EAB_HMAC_KEY is not set; the account is bound to nobody";
                self.ignored("ACME_EAB_KID", &kid, why);
            }
            (None, Some(_secret)) => {
                let text = "is ignored: ACME_EAB_KID is not set; the account is bound to nobody";
                self.note("ACME_EAB_HMAC_KEY", text);
            }
            (None, None) => {}
        }
        if url.is_none() && about.is_empty() {
            return;
        }
        let url = url.unwrap_or_else(|| KNOWN[0].1.to_owned());
        let known = KNOWN.into_iter().find(|(_, known)| *known == url);
        let name = known.map_or(DIRECTORY, |(name, _)| name);
        self.say("acme", "directories", vec![name]);
        if known.is_some() && about.is_empty() {
            return;
        }
        about.insert("url".to_owned(), url.into());
        if known.is_some() {
            // What is declared anew takes nothing from what is built in.
            about.insert("caa-issuer".to_owned(), "letsencrypt.org".into());
        }
        if name == KNOWN[1].0 {
            about.insert("rate-limits".to_owned(), false.into());
        }
        let mut directories = Table::new();
        directories.insert(name.to_owned(), about.into());
        self.say("acme", "directory", directories);
    }

    fn log(&mut self) {
        if self.flag("DISABLE_ACCESS_LOGS", false) {
            self.say("log", "access", false);
        }
        if self.flag("LOG_JSON", false) {
            self.say("log", "access-keys", "nginx-proxy");
        }
    }

    /// What each instance is like that does not say how it is.
    fn every_instance(&mut self) {
        let method = self.get("HTTPS_METHOD");
        let https = match method.as_deref() {
            None => None,
            Some("redirect") => Some("redirect"),
            Some("noredirect") => Some("both"),
            Some("nohttp") => Some("only"),
            Some("nohttps") => Some("off"),
            Some(other) => {
                let why = "it is none of redirect, noredirect, nohttp and nohttps; redirect holds";
                self.ignored("HTTPS_METHOD", other, why);
                None
            }
        };
        if let Some(https) = https {
            self.every("https", https);
        }
        if let Some(hsts) = self.get("HSTS") {
            if hsts.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
                self.every("hsts", hsts);
            } else {
                let why = "it cannot be sent in a header; max-age=31536000 holds";
                self.ignored("HSTS", &hsts, why);
            }
        }
        match self.get("NON_GET_REDIRECT").as_deref() {
            None | Some("308") => {}
            Some("307") => self.every("non-get-redirect", 307),
            Some(other) => {
                let why = "it is neither 307 nor 308; 308 holds";
                self.ignored("NON_GET_REDIRECT", other, why);
            }
        }
        if !self.flag("ENABLE_HTTP_ON_MISSING_CERT", true) {
            self.every("http-without-certificate", false);
        }
        if let Some(root) = self.get("DEFAULT_ROOT").filter(|root| root != "none") {
            match no_route::parse(&root) {
                Ok(_) => self.every("no-route", root),
                Err(why) => self.ignored("DEFAULT_ROOT", &root, format!("it {why}; 404 holds")),
            }
        }
        if self.flag("LETSENCRYPT_TEST", false) {
            self.every("staging", true);
        }
        match self.get("NETWORK_ACCESS").as_deref() {
            None | Some("external") => {}
            said => {
                self.every("allow", INTERNAL.map(str::to_owned).to_vec());
                if let Some(other) = said.filter(|said| *said != "internal") {
                    // Open to everybody it might be what nobody outside should see.
                    let why = "it is neither internal nor external; internal holds";
                    self.ignored("NETWORK_ACCESS", other, why);
                }
            }
        }
    }
}

fn is_https(url: &str) -> bool {
    let rest = url.strip_prefix("https://");
    rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic()))
}

#[cfg(test)]
mod tests;
