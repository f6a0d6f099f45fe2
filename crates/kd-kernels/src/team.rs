//! Threads that are at hand for one forward pass.
//!
//! With few images a layer takes some microseconds, and to wake a thread takes longer. So the helpers of a pass look for
//! its next task without going to sleep, from its start to a moment after its end. One pass at a time has them; others
//! give their tasks to rayon.

use std::cell::{Cell, UnsafeCell};
use std::hint::spin_loop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, TryLockError};
use std::thread::{Builder, Thread};

/// Looks for a task after the end of a pass before a helper goes to sleep: a fraction of a millisecond.
const LOOKS: usize = 5_000;

/// What the threads of a pass do: `work` for every number below `count`.
#[derive(Clone, Copy)]
struct Job {
    work: *const (dyn Fn(usize) + Sync),
    count: usize,
}

/// A number in a cache line of its own.
#[repr(align(128))]
struct Apart(AtomicUsize);

struct Team {
    /// All helpers that there are. Whoever has them locked leads the team.
    helpers: Mutex<Vec<Thread>>,
    /// How many of them the pass wants; 0 between passes.
    wanted: AtomicUsize,
    /// Odd while there is a job; each has a number of its own.
    round: Apart,
    /// The next number of the job.
    next: Apart,
    /// Helpers that may look at the job.
    inside: Apart,
    job: UnsafeCell<Option<Job>>,
    failed: AtomicBool,
}

// SAFETY: the leader alone writes `job`, while no helper is inside; a helper reads it only while it is inside and the
// round is odd, and the leader does not end the round's job before all have left.
unsafe impl Sync for Team {}

static TEAM: Team = Team {
    helpers: Mutex::new(Vec::new()),
    wanted: AtomicUsize::new(0),
    round: Apart(AtomicUsize::new(0)),
    next: Apart(AtomicUsize::new(0)),
    inside: Apart(AtomicUsize::new(0)),
    job: UnsafeCell::new(None),
    failed: AtomicBool::new(false),
};

thread_local! {
    /// Whether this thread leads the team and has no job for it at the moment.
    static LEADS: Cell<bool> = const { Cell::new(false) };
}

/// Whether the tasks of this thread are the team's.
pub(crate) fn is_led() -> bool {
    LEADS.get()
}

/// Runs `work` as the leader of a team of so many threads, this one among them; by itself where another pass has the
/// team, or no thread can be had.
pub(crate) fn lead<R>(threads: usize, work: impl FnOnce() -> R) -> R {
    let mut helpers = match TEAM.helpers.try_lock() {
        Ok(helpers) => helpers,
        Err(TryLockError::Poisoned(helpers)) => helpers.into_inner(),
        // This thread may be the leader itself, in a pass within a pass.
        Err(TryLockError::WouldBlock) => return work(),
    };
    while helpers.len() + 1 < threads {
        let index = helpers.len();
        let thread = Builder::new().name(format!("kd-helper-{index}"));
        match thread.spawn(move || help(index)) {
            Ok(handle) => helpers.push(handle.thread().clone()),
            Err(_) => break,
        }
    }
    let wanted = helpers.len().min(threads.saturating_sub(1));
    let _led = Led;
    TEAM.wanted.store(wanted, Ordering::Release);
    helpers[..wanted].iter().for_each(Thread::unpark);
    LEADS.set(true);
    work()
}

/// Until it is dropped, this thread leads.
struct Led;

impl Drop for Led {
    fn drop(&mut self) {
        LEADS.set(false);
        TEAM.wanted.store(0, Ordering::Release);
    }
}

/// Runs `work` for every number below `count` on the threads of the team that this thread [leads](is_led).
///
/// # Panics
/// When `work` does.
pub(crate) fn each(count: usize, work: &(dyn Fn(usize) + Sync)) {
    assert!(LEADS.replace(false), "the leader has no other job");
    let job = Job {
        // SAFETY: only the lifetime changes, and `Round` ends the job before `work` does.
        work: unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static _>(work) },
        count,
    };
    // SAFETY: this thread leads, and no helper is inside between two rounds.
    unsafe { *TEAM.job.get() = Some(job) };
    TEAM.next.0.store(0, Ordering::Relaxed);
    TEAM.round.0.fetch_add(1, Ordering::SeqCst);
    let round = Round;
    job.take();
    drop(round);
    if TEAM.failed.swap(false, Ordering::Relaxed) {
        panic!("a task of a kernel failed on another thread");
    }
}

/// A round, which ends when it is dropped and every helper has left it.
struct Round;

impl Drop for Round {
    fn drop(&mut self) {
        TEAM.round.0.fetch_add(1, Ordering::SeqCst);
        while TEAM.inside.0.load(Ordering::SeqCst) > 0 {
            spin_loop();
        }
        LEADS.set(true);
    }
}

impl Job {
    /// Does what no other thread has taken.
    fn take(self) {
        loop {
            let task = TEAM.next.0.fetch_add(1, Ordering::Relaxed);
            if task >= self.count {
                return;
            }
            // SAFETY: the leader does not end the job while this thread is in it.
            unsafe { (*self.work)(task) };
        }
    }
}

/// What a helper does as long as the program runs.
fn help(index: usize) {
    let (mut seen, mut idle) = (0, 0);
    loop {
        let round = TEAM.round.0.load(Ordering::SeqCst);
        let wanted = index < TEAM.wanted.load(Ordering::Acquire);
        if wanted && round % 2 == 1 && round != seen {
            TEAM.inside.0.fetch_add(1, Ordering::SeqCst);
            // Before this thread was inside, the leader may have ended the round.
            if TEAM.round.0.load(Ordering::SeqCst) == round {
                seen = round;
                // SAFETY: the round goes on, and its job was written before it began.
                if let Some(job) = unsafe { *TEAM.job.get() }
                    && catch_unwind(AssertUnwindSafe(|| job.take())).is_err()
                {
                    TEAM.failed.store(true, Ordering::Relaxed);
                }
            }
            TEAM.inside.0.fetch_sub(1, Ordering::SeqCst);
        }
        idle = if wanted { 0 } else { idle + 1 };
        match idle {
            LOOKS => {
                std::thread::park();
                idle = 0;
            }
            _ => spin_loop(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    #[test]
    fn every_task_is_done_once_whoever_leads() {
        let pass = || {
            lead(3, || {
                for count in (0..40).chain([200]) {
                    let sum = AtomicU64::new(0);
                    let done: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
                    let work = |task: usize| {
                        done[task].fetch_add(1, Ordering::Relaxed);
                        sum.fetch_add(task as u64, Ordering::Relaxed);
                    };
                    match is_led() {
                        true => each(count, &work),
                        false => (0..count).for_each(work),
                    }
                    assert!(done.iter().all(|done| done.load(Ordering::Relaxed) == 1));
                    let all = (0..count as u64).sum::<u64>();
                    assert_eq!(sum.load(Ordering::Relaxed), all);
                }
            });
        };
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    for _ in 0..50 {
                        pass();
                        // A pass within a pass.
                        lead(2, pass);
                    }
                });
            }
        });
    }

    #[test]
    fn a_task_that_fails_does_not_stop_the_team() {
        // Another test may have the team at the moment.
        let failed = || {
            lead(2, || {
                is_led().then(|| {
                    let fail = |task: usize| assert!(task != 5, "meant to fail");
                    catch_unwind(AssertUnwindSafe(|| each(9, &fail))).is_err()
                })
            })
        };
        let found = std::iter::repeat_with(failed).flatten().next();
        assert_eq!(found, Some(true));
        let sums = AtomicU64::new(0);
        lead(2, || match is_led() {
            true => each(9, &|task| {
                sums.fetch_add(task as u64, Ordering::Relaxed);
            }),
            false => sums.store(36, Ordering::Relaxed),
        });
        assert_eq!(sums.load(Ordering::Relaxed), 36);
    }
}
