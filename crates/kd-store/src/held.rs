//! Work that is renewed in the background.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;

use crate::{Claim, Error, Lease, Leases, Store};

/// Work that this process does, and says so for as long as this lives.
pub struct Held<S: Store + Send + Sync + 'static> {
    token: u64,
    lost: Arc<AtomicBool>,
    end: Option<(Sender<()>, JoinHandle<Option<Lease>>)>,
    leases: Arc<Leases<S>>,
}

impl<S: Store + Send + Sync + 'static> Held<S> {
    /// Asks for a piece of work.
    ///
    /// # Errors
    /// [`Error::Busy`] when another process does it; those of [`Leases::claim`].
    pub fn claim(leases: &Arc<Leases<S>>, key: &str) -> Result<Self, Error> {
        let lease = match leases.claim(key)? {
            Claim::Granted(lease) => lease,
            Claim::Busy { holder } => return Err(Error::Busy { holder }),
        };
        let mut held = Self {
            token: lease.token(),
            lost: Arc::new(AtomicBool::new(false)),
            end: None,
            leases: leases.clone(),
        };
        held.begin(lease);
        Ok(held)
    }

    /// Renews a lease in the background.
    fn begin(&mut self, mut lease: Lease) {
        let (end, ended) = channel();
        let (leases, lost) = (self.leases.clone(), self.lost.clone());
        let thread = std::thread::spawn(move || {
            while ended.recv_timeout(leases.interval()) == Err(RecvTimeoutError::Timeout) {
                let held = leases
                    .renew(&mut lease)
                    .unwrap_or_else(|_| leases.holds(&lease));
                if !held {
                    lost.store(true, Ordering::Relaxed);
                    return None;
                }
            }
            Some(lease)
        });
        self.end = Some((end, thread));
    }

    /// Larger than that of every holder before.
    pub fn token(&self) -> u64 {
        self.token
    }

    /// Whether another process has taken the work over.
    pub fn lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// Ends the work: writes its result, unless another process has taken it over.
    ///
    /// # Errors
    /// [`Error::Busy`] when one has; what `write` fails with.
    pub fn finish<R, E: From<Error>>(
        mut self,
        write: impl FnOnce() -> Result<R, E>,
    ) -> Result<R, E> {
        let taken_over = || Error::Busy {
            holder: "another worker, which took it over".into(),
        };
        let mut lease = self.end().ok_or_else(taken_over)?;
        if !self.leases.renew(&mut lease)? {
            return Err(taken_over().into());
        }
        // It may take long where it goes over a network.
        self.begin(lease);
        let result = write();
        if let Some(lease) = self.end() {
            self.leases.release(lease)?;
        }
        result
    }

    fn end(&mut self) -> Option<Lease> {
        let (end, thread) = self.end.take()?;
        let _ = end.send(());
        thread.join().ok()?
    }
}

impl<S: Store + Send + Sync + 'static> Drop for Held<S> {
    /// Gives back what was not finished, so that another need not wait.
    fn drop(&mut self) {
        if let Some(lease) = self.end() {
            // It expires where it cannot be given back.
            let _ = self.leases.release(lease);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Folder;

    fn leases(folder: &std::path::Path, lasts: Duration) -> Arc<Leases<Folder>> {
        let store = Folder::new(folder).unwrap();
        Arc::new(Leases::new(store, lasts))
    }

    #[test]
    fn work_is_one_processs_until_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = [(); 2].map(|()| leases(folder.path(), Duration::from_secs(3600)));
        let held = Held::claim(&a, "job").unwrap();
        let busy = Held::claim(&b, "job").map(|_| ()).unwrap_err();
        assert!(matches!(busy, Error::Busy { .. }), "{busy}");
        drop(held);
        let held = Held::claim(&b, "job").unwrap();
        assert_eq!(held.finish(|| Ok::<_, Error>(3)).unwrap(), 3);
        Held::claim(&a, "job").unwrap();
    }

    #[test]
    fn who_lost_its_work_stops_and_writes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        // The first never renews in this test; to the second it is dead at once.
        let slow = leases(folder.path(), Duration::from_secs(3600));
        let fast = leases(folder.path(), Duration::from_millis(1));
        let held = Held::claim(&slow, "job").unwrap();
        let taken = loop {
            match Held::claim(&fast, "job") {
                Ok(taken) => break taken,
                Err(_) => std::thread::sleep(Duration::from_millis(2)),
            }
        };
        let result = held.finish(|| -> Result<(), Error> { panic!("writes all the same") });
        assert!(matches!(result, Err(Error::Busy { .. })));
        drop(taken);
    }
}
