//! Batches prepared ahead of the step, by a thread.

use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::plan::Plan;
use crate::{Batch, Loader};

/// Batches that wait, at most, for the trainer.
const AHEAD: usize = 3;
/// Between two looks at a batch that is not there yet, of a thread that could help.
const PAUSE: Duration = Duration::from_micros(20);

/// The batches of an epoch, prepared by a thread of its own while the trainer computes.
///
/// It ends early where an image cannot be read: [`Loader::problem`] says which. Dropping it stops the thread.
#[derive(Debug)]
pub struct Epoch {
    left: usize,
    batches: Option<Receiver<Batch>>,
    worker: Option<JoinHandle<()>>,
}

impl Epoch {
    pub(crate) fn start(plan: Arc<Plan>, epoch: u64, skip: usize) -> Self {
        let left = plan.batches().saturating_sub(skip);
        let (sender, batches) = sync_channel(AHEAD);
        let worker = std::thread::spawn(move || {
            let order = plan.order(epoch);
            let size = plan.config.batch;
            let batches = order.chunks(size).take(plan.batches()).enumerate();
            for (number, shown) in batches.skip(skip) {
                let problem = match plan.batch(epoch, number, shown) {
                    Ok(batch) => match sender.send(batch) {
                        Ok(()) => continue,
                        // The trainer has dropped the epoch.
                        Err(_) => return,
                    },
                    Err(problem) => problem,
                };
                let mut told = plan.problem.lock().unwrap_or_else(PoisonError::into_inner);
                *told = Some(problem);
                return;
            }
        });
        Self {
            left,
            batches: Some(batches),
            worker: Some(worker),
        }
    }

    /// Closes the channel, so that a waiting worker wakes, and waits for it to end.
    fn stop(&mut self) -> std::thread::Result<()> {
        self.batches = None;
        let Some(worker) = self.worker.take() else {
            return Ok(());
        };
        help_until(|| worker.is_finished().then_some(()));
        worker.join()
    }

    /// The worker's next batch, or none when it has ended.
    fn receive(&self) -> Option<Batch> {
        let batches = self.batches.as_ref()?;
        let received = help_until(|| match batches.try_recv() {
            Ok(batch) => Some(Some(batch)),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(None),
        });
        match received {
            Some(batch) => batch,
            None => batches.recv().ok(),
        }
    }
}

impl Iterator for Epoch {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        if self.left == 0 {
            return None;
        }
        match self.receive() {
            Some(batch) => {
                self.left -= 1;
                Some(batch)
            }
            None => {
                self.left = 0;
                // The worker ended early: a bug there must not pass as a short epoch.
                if let Err(panic) = self.stop() {
                    std::panic::resume_unwind(panic);
                }
                None
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Epoch {}

impl Drop for Epoch {
    fn drop(&mut self) {
        // A panic of the worker was either passed on by `next` or belongs to batches nobody wanted.
        let _ = self.stop();
    }
}

/// On one of rayon's threads, does their work until `done` gives a value; none elsewhere.
///
/// The worker prepares a batch on those threads: one that slept here would be missing there, and if it is
/// the only one, both would wait for ever.
fn help_until<R>(mut done: impl FnMut() -> Option<R>) -> Option<R> {
    rayon::current_thread_index()?;
    loop {
        if let Some(value) = done() {
            return Some(value);
        }
        if rayon::yield_now() != Some(rayon::Yield::Executed) {
            std::thread::sleep(PAUSE);
        }
    }
}

/// Images a second that a loader prepares when nobody computes: whole epochs, for at least
/// `duration`.
pub fn measure_throughput(loader: &Loader, duration: Duration) -> f64 {
    let start = Instant::now();
    let mut images = 0;
    for epoch in 1.. {
        for batch in loader.epoch(epoch) {
            images += std::hint::black_box(&batch).len();
        }
        if start.elapsed() >= duration {
            break;
        }
    }
    images as f64 / start.elapsed().as_secs_f64()
}
