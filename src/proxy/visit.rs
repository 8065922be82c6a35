//! Whether a request says that somebody is there: what keeps a stack awake, and wakes it.
//!
//! Robots, health checks and what a browser asks for by itself come all day to every name there is;
//! were they somebody, nothing would ever rest. Whoever pretends to be a browser wakes a stack all
//! the same, and keeps it awake for `idle-to-zero` each time, which bounds how often it starts.

use http::header::USER_AGENT;
use http::{HeaderMap, Method};

use super::Gateway;
use crate::routing::{Counted, InstanceTable};

/// What browsers and crawlers ask for whether or not anybody looks.
const BY_ITSELF: [&str; 5] = [
    "/.well-known",
    "/apple-touch-icon.png",
    "/apple-touch-icon-precomposed.png",
    "/favicon.ico",
    "/robots.txt",
];

/// Parts of the names that robots and health checks give themselves, in lower case.
const MACHINES: [&str; 17] = [
    "blackbox",
    "bot",
    "check_http",
    "crawl",
    "go-http-client",
    "health",
    "kube-probe",
    "monitor",
    "nagios",
    "pingdom",
    "probe",
    "prometheus",
    "scrapy",
    "slurp",
    "spider",
    "uptime",
    "zgrab",
];

impl Gateway {
    /// Counts a request if it says that somebody is there, and tells at once where that matters.
    pub(super) fn visit(
        &self,
        instance: &InstanceTable,
        method: &Method,
        path: &str,
        fields: &HeaderMap,
    ) -> Option<Counted> {
        if !is_somebody(method, path, fields, &instance.plan().site.no_wake) {
            return None;
        }
        let visit = instance.counters().visit();
        if instance.is_asleep() {
            self.routes.wake();
        }
        visit
    }
}

/// `path` is decoded; `nobodys` are paths that an operator has named.
fn is_somebody(method: &Method, path: &str, fields: &HeaderMap, nobodys: &[String]) -> bool {
    if matches!(*method, Method::HEAD | Method::OPTIONS) {
        return false;
    }
    let by_itself = BY_ITSELF.iter().any(|known| is_below(path, known));
    if by_itself || nobodys.iter().any(|known| is_below(path, known)) {
        return false;
    }
    // Every browser and every application says what it is; health checks of balancers often do not.
    let Some(agent) = fields.get(USER_AGENT) else {
        return false;
    };
    let agent = String::from_utf8_lossy(agent.as_bytes()).to_ascii_lowercase();
    // Telephones of that make are in people's hands.
    let agent = agent.replace("cubot", "");
    !agent.is_empty() && !MACHINES.iter().any(|name| agent.contains(name))
}

/// A prefix ends at a segment, as those of routes do.
fn is_below(path: &str, prefix: &str) -> bool {
    let rest = path.strip_prefix(prefix);
    rest.is_some_and(|rest| rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

    fn counts(method: Method, path: &str, agent: Option<&str>) -> bool {
        let mut fields = HeaderMap::new();
        if let Some(agent) = agent {
            fields.insert(USER_AGENT, agent.parse().expect("a value"));
        }
        let nobodys = ["/backup/".to_owned(), "/status".to_owned()];
        is_somebody(&method, path, &fields, &nobodys)
    }

    #[test]
    fn a_browser_is_somebody_whatever_it_asks_for() {
        for path in ["/", "/rest/users", "/robots", "/statuses", "/backups/1"] {
            assert!(counts(Method::GET, path, Some(BROWSER)), "{path}");
        }
        assert!(counts(Method::POST, "/vote", Some(BROWSER)));
        let telephone = "Mozilla/5.0 (Linux; Android 14; CUBOT KINGKONG) Mobile Safari/537.36";
        assert!(counts(Method::GET, "/", Some(telephone)));
    }

    #[test]
    fn what_nobody_has_asked_for_is_nobody() {
        for path in [
            "/favicon.ico",
            "/robots.txt",
            "/.well-known/security.txt",
            "/backup/1.tar",
            "/status",
            "/status/deep",
        ] {
            assert!(!counts(Method::GET, path, Some(BROWSER)), "{path}");
        }
        assert!(!counts(Method::HEAD, "/", Some(BROWSER)));
        assert!(!counts(Method::OPTIONS, "/", Some(BROWSER)));
    }

    #[test]
    fn robots_and_health_checks_are_nobody() {
        for agent in [
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "Mozilla/5.0 (compatible; bingbot/2.0)",
            "ELB-HealthChecker/2.0",
            "kube-probe/1.34",
            "UptimeRobot/2.0",
            "Blackbox Exporter/0.27.0",
            "check_http/v2.4 (monitoring-plugins 2.4)",
            "Mozilla/5.0 zgrab/0.x",
            "",
        ] {
            assert!(!counts(Method::GET, "/", Some(agent)), "{agent}");
        }
        assert!(!counts(Method::GET, "/", None));
    }
}
