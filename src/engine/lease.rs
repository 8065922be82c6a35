//! Who of several usher may change a stack: whoever holds its lease.
//!
//! A lease is a session at the engine (see `session`), which all see who command it, wherever they run;
//! and a name in the kernel's abstract namespace of unix sockets (unix(7)), for engines that have no
//! sessions. Both last as long as the process: nothing to renew, nothing left behind by a kill.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::{AbortHandle, JoinSet};

use crate::names::StackName;

/// Those this usher holds.
#[derive(Debug, Default)]
pub(super) struct Leases(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    leases: BTreeMap<StackName, Lease>,
    /// They attend to the sessions, and end with this.
    attending: JoinSet<()>,
}

#[derive(Debug)]
struct Lease {
    /// Kept for its name alone.
    _socket: UnixListener,
    /// `None`: the engine has none.
    session: Option<Session>,
}

#[derive(Debug)]
struct Session {
    is_over: Arc<AtomicBool>,
    task: AbortHandle,
}

impl Lease {
    fn is_lost(&self) -> bool {
        let session = self.session.as_ref();
        session.is_some_and(|session| session.is_over.load(Ordering::Acquire))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(session) = &self.session {
            session.task.abort();
        }
    }
}

/// Says when a session is over, however it ended.
struct End<F: Fn()> {
    is_over: Arc<AtomicBool>,
    tell: F,
}

impl<F: Fn()> Drop for End<F> {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        (self.tell)();
    }
}

impl Leases {
    pub(super) fn holds(&self, stack: &StackName) -> bool {
        let held = self.lock();
        held.leases.get(stack).is_some_and(|lease| !lease.is_lost())
    }

    /// Whether it was held once and is not any more, without having been given back.
    pub(super) fn has_lost(&self, stack: &StackName) -> bool {
        self.lock().leases.get(stack).is_some_and(Lease::is_lost)
    }

    /// All of which [`Self::has_lost`] is true.
    pub(super) fn lost(&self) -> BTreeSet<StackName> {
        let held = self.lock();
        let lost = held.leases.iter().filter(|(_, lease)| lease.is_lost());
        lost.map(|(stack, _)| stack.clone()).collect()
    }

    /// Holds what was taken until `session` ends, which `tell` then hears of; without one until it is
    /// given back.
    pub(super) fn hold<S, T>(
        &self,
        stack: &StackName,
        socket: UnixListener,
        session: Option<S>,
        tell: T,
    ) where
        S: Future<Output = ()> + Send + 'static,
        T: Fn() + Send + 'static,
    {
        let mut held = self.lock();
        // Those that are over are of no use.
        while held.attending.try_join_next().is_some() {}
        let session = session.map(|session| {
            let is_over = Arc::new(AtomicBool::new(false));
            let end = End {
                is_over: Arc::clone(&is_over),
                tell,
            };
            let task = held.attending.spawn(async move {
                let _end = end;
                session.await;
            });
            Session { is_over, task }
        });
        let lease = Lease {
            _socket: socket,
            session,
        };
        held.leases.insert(stack.clone(), lease);
    }

    pub(super) fn give_back(&self, stack: &StackName) {
        self.lock().leases.remove(stack);
    }

    pub(super) fn give_all_back(&self) {
        self.lock().leases.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        // An insertion happened or it did not.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the name of a stack of the engine with this id, in this network namespace.
///
/// # Errors
/// `AddrInUse` when another process has it.
pub(super) fn bind(engine: &str, stack: &StackName) -> io::Result<UnixListener> {
    let name = format!("usher/{engine}/{stack}");
    UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(name: &str) -> StackName {
        name.parse().expect("name")
    }

    fn ours(engine: &str, stack: &StackName) -> Option<UnixListener> {
        match bind(engine, stack) {
            Ok(socket) => Some(socket),
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
                None
            }
        }
    }

    fn engine(name: &str) -> String {
        format!("test {name} {}", std::process::id())
    }

    type Never = std::future::Pending<()>;

    #[tokio::test]
    async fn one_holds_a_stack_and_the_next_has_it_when_the_first_is_gone() {
        let (engine, congress) = (engine("gone"), stack("congress"));
        let first = Leases::default();
        let socket = ours(&engine, &congress).expect("free");
        first.hold(&congress, socket, None::<Never>, || {});
        assert!(first.holds(&congress));
        assert!(ours(&engine, &congress).is_none());
        assert!(ours(&engine, &stack("other")).is_some(), "another stack");
        drop(first);
        assert!(ours(&engine, &congress).is_some(), "free again");
    }

    #[tokio::test]
    async fn a_lease_whose_session_the_engine_ended_is_lost_and_told_of() {
        let (engine, congress) = (engine("ended"), stack("congress"));
        let leases = Leases::default();
        let (end, ends) = tokio::sync::oneshot::channel::<()>();
        let (tell, told) = tokio::sync::oneshot::channel::<()>();
        let tell = Mutex::new(Some(tell));
        let socket = ours(&engine, &congress).expect("free");
        let session = async move { drop(ends.await) };
        leases.hold(&congress, socket, Some(session), move || {
            let tell = tell.lock().expect("lock").take();
            tell.expect("told once").send(()).expect("heard");
        });
        assert!(leases.holds(&congress) && leases.lost().is_empty());
        drop(end);
        told.await.expect("told");
        assert!(!leases.holds(&congress));
        assert_eq!(leases.lost(), BTreeSet::from([congress.clone()]));

        leases.give_back(&congress);
        let socket = ours(&engine, &congress).expect("free again");
        leases.hold(&congress, socket, None::<Never>, || {});
        assert!(leases.holds(&congress) && leases.lost().is_empty());
    }

    #[tokio::test]
    async fn what_is_given_back_ends_its_session() {
        let (engine, congress) = (engine("back"), stack("congress"));
        let leases = Leases::default();
        let (open, closed) = tokio::sync::oneshot::channel::<()>();
        let socket = ours(&engine, &congress).expect("free");
        let session = async move {
            let _open = open;
            std::future::pending::<()>().await;
        };
        leases.hold(&congress, socket, Some(session), || {});
        leases.give_back(&congress);
        assert!(closed.await.is_err(), "its connection is closed");
        assert!(leases.lost().is_empty() && !leases.has_lost(&congress));
        assert!(ours(&engine, &congress).is_some(), "free again");
    }
}
