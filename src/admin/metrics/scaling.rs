//! What is wanted of every service, what is to be done of it, what stands in the way, and what came of
//! it.

use super::Page;
use crate::control::Status;
use crate::control::status::ServiceStatus;

/// One number of a service, where it has one.
type NumberOf = fn(&ServiceStatus) -> Option<u64>;

/// One part of what a replica needs.
type CostOf = fn((u64, u64)) -> String;

/// What replicas may still take of the host.
pub(super) fn room(page: &mut Page, status: &Status) {
    let (memory, processor) = status.room;
    if let Some(memory) = memory {
        let help = "Memory of the host that replicas may still take.";
        page.single("host_memory_room_bytes", "gauge", help, memory);
    }
    if let Some(thousandths) = processor {
        let help = "Processors that are not set aside for replicas; there are twice as many as the host has.";
        page.single(
            "host_processors_room",
            "gauge",
            help,
            processors(thousandths),
        );
    }
}

fn processors(thousandths: u64) -> String {
    format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000)
}

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
    let costs: [(&str, &str, CostOf); 2] = [
        (
            "replica_memory_bytes",
            "Memory that one replica more is taken to need.",
            |(memory, _)| memory.to_string(),
        ),
        (
            "replica_processors",
            "Processors that one replica more is taken to need.",
            |(_, thousandths)| processors(thousandths),
        ),
    ];
    for (name, help, value) in costs {
        page.metric(name, "gauge", help);
        each_service(status, |instance, service| {
            if let Some(cost) = service.cost {
                let labels = [("instance", instance), ("service", &service.name)];
                page.sample(name, &labels, value(cost));
            }
        });
    }
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
        own.services[0].cost = Some((157_286_400, 1_050));
        let mut page = Page(String::new());
        let mut whole = (*status(vec![own])).clone();
        whole.room = (Some(1_048_576), None);
        room(&mut page, &whole);
        scaling(&mut page, &whole);
        let of_web = "instance=\"congress\",service=\"web\"";
        for line in [
            format!("usher_replicas_wanted{{{of_web}}} 6"),
            format!("usher_replicas_desired{{{of_web}}} 5"),
            format!("usher_replicas_limited{{{of_web},limited_by=\"host memory\"}} 1"),
            format!("usher_replica_memory_bytes{{{of_web}}} 157286400"),
            format!("usher_replica_processors{{{of_web}}} 1.050"),
            "usher_host_memory_room_bytes 1048576".to_owned(),
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
