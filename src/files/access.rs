//! Files are touched here and nowhere else: off the serving threads, with a deadline, and by no
//! instance more than its share.
//!
//! A call into a network volume that hangs cannot be taken back, and holds its thread until the
//! volume answers. So each instance has a few threads at a time, and whoever waits is told in time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// From the wish to touch a file to its result, waiting for a thread included.
const DEADLINE: Duration = Duration::from_secs(2);
/// At once for one instance. A local disk needs one; a slow volume hides its latency in several.
const PER_INSTANCE: usize = 8;
/// At once for all, out of tokio's 512 blocking threads: certificates and configuration are read
/// whatever hangs. So many instances may hang before others have to wait: 40.
const IN_ALL: usize = 320;

/// Why a file could not be touched.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AccessError {
    #[error("the volume did not answer within {} s", DEADLINE.as_secs())]
    Overdue,
    #[error(
        "the volume does not answer: {PER_INSTANCE} earlier calls of this instance still hang in it"
    )]
    Hanging,
    #[error("the call panicked")]
    Panicked,
}

impl AccessError {
    /// Whether whoever hangs has been told of already.
    pub fn is_known(self) -> bool {
        self == Self::Hanging
    }
}

/// The way to the file system.
#[derive(Debug)]
pub(super) struct Access {
    /// Those with somebody inside; an idle instance has none.
    lanes: Mutex<HashMap<Arc<str>, Weak<Lane>>>,
    all: Arc<Semaphore>,
}

/// One instance's share.
#[derive(Debug)]
struct Lane {
    places: Arc<Semaphore>,
    /// Places held by calls that nobody waits for any more.
    hanging: AtomicUsize,
}

/// A call under way. Whoever waits and the thread each hold it; the last one gives the place back.
#[derive(Debug)]
struct Inside {
    lane: Arc<Lane>,
    hangs: AtomicBool,
    _places: [OwnedSemaphorePermit; 2],
}

impl Drop for Inside {
    fn drop(&mut self) {
        if *self.hangs.get_mut() {
            self.lane.hanging.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Default for Access {
    fn default() -> Self {
        Self {
            lanes: Mutex::default(),
            all: Arc::new(Semaphore::new(IN_ALL)),
        }
    }
}

impl Access {
    /// Runs a blocking call for an instance.
    ///
    /// Cancel safe: the call ends by itself, and holds its place until then.
    ///
    /// # Errors
    /// No result within the deadline, or no hope of one.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        instance: &str,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, AccessError> {
        let lane = self.lane(instance);
        if lane.hanging.load(Ordering::Relaxed) >= PER_INSTANCE {
            return Err(AccessError::Hanging);
        }
        let mut entered = None;
        let work = async {
            let own = Arc::clone(&lane.places).acquire_owned().await;
            let shared = Arc::clone(&self.all).acquire_owned().await;
            let (Ok(own), Ok(shared)) = (own, shared) else {
                unreachable!("nobody closes these semaphores");
            };
            let inside = Arc::new(Inside {
                lane: Arc::clone(&lane),
                hangs: AtomicBool::new(false),
                _places: [own, shared],
            });
            entered = Some(Arc::clone(&inside));
            let call = move || {
                let result = call();
                drop(inside);
                result
            };
            spawn_blocking(call)
                .await
                .map_err(|_| AccessError::Panicked)
        };
        let result = timeout(DEADLINE, work).await;
        match result {
            Ok(result) => result,
            Err(_) => {
                if let Some(inside) = entered {
                    inside.hangs.store(true, Ordering::Relaxed);
                    lane.hanging.fetch_add(1, Ordering::Relaxed);
                }
                Err(AccessError::Overdue)
            }
        }
    }

    fn lane(&self, instance: &str) -> Arc<Lane> {
        // Nothing in here panics half-way.
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = lanes.get(instance).and_then(Weak::upgrade) {
            return lane;
        }
        lanes.retain(|_, lane| lane.strong_count() > 0);
        let lane = Arc::new(Lane {
            places: Arc::new(Semaphore::new(PER_INSTANCE)),
            hanging: AtomicUsize::new(0),
        });
        lanes.insert(instance.into(), Arc::downgrade(&lane));
        lane
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Calls that hang until the sender is dropped.
    fn hang() -> (mpsc::Sender<()>, Arc<Mutex<mpsc::Receiver<()>>>) {
        let (release, released) = mpsc::channel();
        (release, Arc::new(Mutex::new(released)))
    }

    #[tokio::test]
    async fn a_volume_that_hangs_costs_its_own_instance_only() {
        let access = Arc::new(Access::default());
        let (release, released) = hang();
        let calls = (0..PER_INSTANCE + 4).map(|_| {
            let (access, released) = (Arc::clone(&access), Arc::clone(&released));
            async move {
                let call = move || released.lock().expect("a lock").recv().is_ok();
                access.run("hung", call).await
            }
        });
        let calls = futures_util::future::join_all(calls);
        let others = async {
            for _ in 0..100 {
                assert_eq!(access.run("fine", || 7).await, Ok(7));
            }
        };
        let (results, ()) = tokio::join!(calls, others);
        assert!(
            results
                .iter()
                .all(|result| *result == Err(AccessError::Overdue)),
            "{results:?}"
        );
        // Now it is known, and nobody waits for the deadline.
        assert_eq!(access.run("hung", || 7).await, Err(AccessError::Hanging));
        drop(release);
        for _ in 0..1000 {
            if access.run("hung", || 7).await == Ok(7) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the instance is served again when its volume answers");
    }

    #[tokio::test]
    async fn an_instance_has_its_share_and_the_rest_wait_for_it() {
        let access = Arc::new(Access::default());
        let most = Arc::new(Mutex::new((0, 0)));
        let calls = (0..50).map(|_| {
            let (access, most) = (Arc::clone(&access), Arc::clone(&most));
            async move {
                let call = move || {
                    let enter = |by: i32| {
                        let mut most = most.lock().expect("a lock");
                        most.0 += by;
                        most.1 = most.1.max(most.0);
                    };
                    enter(1);
                    std::thread::sleep(Duration::from_millis(2));
                    enter(-1);
                };
                access.run("busy", call).await
            }
        });
        let results = futures_util::future::join_all(calls).await;
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        let (left, most) = *most.lock().expect("a lock");
        assert_eq!(left, 0);
        assert!((2..=8).contains(&most), "{most} at once");
        assert_eq!(access.lanes.lock().expect("a lock").len(), 1);
        assert_eq!(access.run("other", || ()).await, Ok(()));
        let lanes = access.lanes.lock().expect("a lock").len();
        assert_eq!(lanes, 1, "an idle instance keeps nothing");
    }
}
