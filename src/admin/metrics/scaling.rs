//! What is wanted of every service, what is to be done of it, what stands in the way, and what came of
//! it.

use super::Page;
use crate::control::Status;
use crate::control::status::ServiceStatus;

/// One number of a service, where it has one.
type NumberOf = fn(&ServiceStatus) -> Option<u64>;

pub(super) fn scaling(page: &mut Page, status: &Status) {
    let of_services: [(&str, &str, &str, NumberOf); 3] = [
        (
            "replicas_wanted",
            "gauge",
            "Replicas that demand and calendar ask for, whatever the limits.",
            |service| service.wanted.map(u64::from),
        ),
        (
            "replicas_desired",
            "gauge",
            "Replicas the autoscaler wants.",
            |service| service.desired.map(u64::from),
        ),
        (
            "worker_kill_busy_total",
            "counter",
            "Replicas that follow others and had not ended when the time for it was over.",
            |service| service.killed_busy,
        ),
    ];
    for (name, kind, help, number) in of_services {
        page.metric(name, kind, help);
        each_service(status, |instance, service| {
            if let Some(number) = number(service) {
                let labels = [("instance", instance), ("service", &service.name)];
                page.sample(name, &labels, number);
            }
        });
    }
    page.metric(
        "replicas_limited",
        "gauge",
        "What keeps the autoscaler from what it wants; 1 while it does.",
    );
    each_service(status, |instance, service| {
        if let Some(limit) = &service.limited_by {
            let labels = [
                ("instance", instance),
                ("service", &service.name),
                ("limited_by", limit),
            ];
            page.sample("replicas_limited", &labels, 1);
        }
    });
    page.metric(
        "scale_decisions_total",
        "counter",
        "Decisions that changed a number of replicas.",
    );
    each_service(status, |instance, service| {
        for (direction, count) in &service.changes {
            let labels = [
                ("instance", instance),
                ("service", &service.name),
                ("direction", direction.word()),
            ];
            page.sample("scale_decisions_total", &labels, count);
        }
    });
}

fn each_service<'s>(status: &'s Status, mut sample: impl FnMut(&'s str, &'s ServiceStatus)) {
    for instance in &status.instances {
        for service in &instance.services {
            sample(&instance.name, service);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture::{instance, status};
    use super::*;

    #[test]
    fn what_is_wanted_and_what_stands_in_the_way_are_gauges_of_their_own() {
        let mut own = instance("congress");
        own.services[0].wanted = Some(6);
        own.services[0].desired = Some(5);
        own.services[0].limited_by = Some("host memory".to_owned());
        own.services[1].killed_busy = Some(3);
        let mut page = Page(String::new());
        scaling(&mut page, &status(vec![own]));
        let of_web = "instance=\"congress\",service=\"web\"";
        for line in [
            format!("usher_replicas_wanted{{{of_web}}} 6"),
            format!("usher_replicas_desired{{{of_web}}} 5"),
            format!("usher_replicas_limited{{{of_web},limited_by=\"host memory\"}} 1"),
            "usher_worker_kill_busy_total{instance=\"congress\",service=\"worker\"} 3".to_owned(),
        ] {
            assert!(
                page.0.lines().any(|known| known == line),
                "{line} in\n{}",
                page.0
            );
        }
        let limited = page
            .0
            .lines()
            .filter(|line| line.starts_with("usher_replicas_limited"));
        assert_eq!(
            limited.count(),
            1,
            "the worker has what it wants\n{}",
            page.0
        );
    }
}
