//! Who of several usher on one machine may change a stack: whoever holds its lease.
//!
//! The lease is a name in the kernel's abstract namespace of unix sockets (unix(7)), bound for as
//! long as the process lives: nothing to renew, nothing left behind by a kill. Two usher in
//! different network namespaces do not see each other's.

use std::collections::BTreeMap;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::Mutex;

use crate::names::StackName;

/// Those this usher holds.
#[derive(Debug, Default)]
pub(super) struct Leases(Mutex<BTreeMap<StackName, UnixListener>>);

impl Leases {
    /// Takes the lease of a stack of the engine with this id, unless it is held.
    ///
    /// # Errors
    /// `AddrInUse` when another usher holds it.
    pub(super) fn take(&self, engine: &str, stack: &StackName) -> io::Result<()> {
        let mut held = self
            .0
            .lock()
            // An insertion happened or it did not.
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if !held.contains_key(stack) {
            let name = format!("usher/{engine}/{stack}");
            let address = SocketAddr::from_abstract_name(name)?;
            held.insert(stack.clone(), UnixListener::bind_addr(&address)?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_a_stack_and_the_next_has_it_when_the_first_is_gone() {
        let stack: StackName = "congress".parse().expect("name");
        let engine = format!("test {}", std::process::id());
        let (first, second) = (Leases::default(), Leases::default());
        first.take(&engine, &stack).expect("free");
        first.take(&engine, &stack).expect("held already");
        let refused = second.take(&engine, &stack).expect_err("taken");
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        let other = "other".parse().expect("name");
        second.take(&engine, &other).expect("another stack");
        drop(first);
        second.take(&engine, &stack).expect("free again");
    }
}
