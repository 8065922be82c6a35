//! That a request has been here before, on its way to the same service (RFC 8586).
//!
//! What is behind a route may lead back to usher: a container that has published the same port, an
//! address that is usher's own by another name, another proxy that was told to ask usher. Such a
//! request would go round until somebody runs out of connections. A mark of its own on every request
//! that leaves tells it when it comes again. It is the mark of one service, as a proxy inside one stack
//! may well ask for another, or for another service of the same one, through usher; and it says
//! nothing to others, who cannot tell from it that two stacks share an edge.

use std::hash::{BuildHasher, RandomState};

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::names::{InstanceName, ServiceName};

/// Fields that other proxies pass on untouched, and add themselves to.
const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");

/// Makes the marks of this process. Two usher behind each other make different ones.
#[derive(Debug, Default)]
pub(super) struct Passages(RandomState);

/// The way to one service.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Passage(u64);

impl Passages {
    pub(super) fn to(&self, instance: &InstanceName, service: &ServiceName) -> Passage {
        Passage(self.0.hash_one((instance, service)))
    }

    /// Whether there is anything to look for; there hardly ever is.
    pub(super) fn are_told(fields: &HeaderMap) -> bool {
        fields.contains_key(CDN_LOOP)
    }
}

impl Passage {
    fn mark(self) -> String {
        format!("usher-{:016x}", self.0)
    }

    /// Whether a request with these fields has gone this way.
    pub(super) fn is_taken_by(self, fields: &HeaderMap) -> bool {
        let mark = self.mark();
        let values = fields.get_all(CDN_LOOP).iter();
        values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|list| list.split(','))
            // RFC 8586 §2: parameters follow the name.
            .any(|entry| entry.split(';').next().is_some_and(|id| id.trim() == mark))
    }

    /// Says in a request that it has. What others said stays (RFC 8586 §2).
    pub(super) fn set(self, fields: &mut HeaderMap) {
        if let Ok(value) = HeaderValue::try_from(self.mark()) {
            fields.append(CDN_LOOP, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passage(of: &Passages, service: &str) -> Passage {
        let instance = "congress".parse().expect("a name");
        of.to(&instance, &service.parse().expect("a name"))
    }

    #[test]
    fn a_mark_is_of_one_service_and_one_process() {
        let (this, other) = (Passages::default(), Passages::default());
        let web = passage(&this, "web");
        let mut fields = HeaderMap::new();
        fields.insert(CDN_LOOP, HeaderValue::from_static("a-cdn; v=1"));
        web.set(&mut fields);
        assert!(web.is_taken_by(&fields));
        assert!(!passage(&this, "api").is_taken_by(&fields));
        assert!(!passage(&other, "web").is_taken_by(&fields));
        // What the CDN said is still there for whoever comes next.
        assert_eq!(fields.get_all(CDN_LOOP).iter().count(), 2);
    }

    #[test]
    fn a_mark_is_known_in_a_list_and_with_parameters() {
        let passages = Passages::default();
        let web = passage(&passages, "web");
        let mut fields = HeaderMap::new();
        let list = format!("a-cdn;v=1, {} ; x=\"y\",b-cdn", web.mark());
        fields.insert(CDN_LOOP, list.parse().expect("a value"));
        assert!(web.is_taken_by(&fields));
        let longer = format!("{}0", web.mark());
        fields.insert(CDN_LOOP, longer.parse().expect("a value"));
        assert!(!web.is_taken_by(&fields));
    }
}
