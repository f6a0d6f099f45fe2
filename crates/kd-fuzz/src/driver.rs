//! Many cases of one target on all cores.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::{Mutator, Scratch, Target};

/// What is a fault beside a panic.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest that a case may take.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(10),
        }
    }
}

/// A case that must not be.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Number of the case, for [`repeat`].
    pub case: u64,
    /// What it did.
    pub problem: String,
}

/// What the cases of a target showed.
#[derive(Clone, Debug)]
pub struct Report {
    /// The target.
    pub name: &'static str,
    /// Cases that were run.
    pub cases: u64,
    /// Those that the parser accepted.
    pub accepted: u64,
    /// The longest time of a case, and its number.
    pub slowest: (Duration, u64),
    /// The largest peak of allocated bytes, with the length of the file and the number of the case.
    pub largest: (u64, usize, u64),
    /// The largest peak as a multiple of the file's length, beyond the target's allowance.
    pub multiple: f64,
    /// In order, at most a hundred.
    pub faults: Vec<Fault>,
}

/// The bytes of a case.
pub fn case(target: &Target, seed: u64, number: u64) -> Vec<u8> {
    let mut mutator = Mutator::new(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let chosen = &target.seeds[mutator.below(target.seeds.len())];
    let other = &target.seeds[mutator.below(target.seeds.len())];
    let mut bytes = chosen.bytes.clone();
    match chosen.repair {
        // The inside, with all around it made right again.
        Some(repair) if mutator.below(4) > 0 => {
            mutator.mutate(&mut bytes, target.words, &other.bytes);
            repair(bytes)
        }
        Some(repair) => {
            let mut bytes = repair(bytes);
            mutator.mutate(&mut bytes, target.words, &other.bytes);
            bytes
        }
        None => {
            mutator.mutate(&mut bytes, target.words, &other.bytes);
            bytes
        }
    }
}

/// What one case did.
struct Outcome {
    accepted: bool,
    time: Duration,
    peak: u64,
    problem: Option<String>,
}

fn observe(target: &Target, scratch: &Scratch, bytes: &[u8], limits: Limits) -> Outcome {
    let started = Instant::now();
    let mut result = None;
    let counted = allocation_counter::measure(|| {
        let body = AssertUnwindSafe(|| (target.run)(scratch, bytes));
        result = Some(catch_unwind(body));
    });
    let time = started.elapsed();
    let peak = counted.bytes_max;
    let most = target.allowance + target.multiple * bytes.len() as u64;
    let (accepted, problem) = match result {
        Some(Ok(Ok(()))) => (true, None),
        Some(Ok(Err(_))) => (false, None),
        Some(Err(payload)) => (
            false,
            Some(format!("panics: {}", message(payload.as_ref()))),
        ),
        None => (false, Some("did not run".into())),
    };
    let problem = problem.or_else(|| {
        (peak > most).then(|| {
            format!(
                "allocates {peak} bytes for a file of {}, at most {most}",
                bytes.len()
            )
        })
    });
    let problem = problem.or_else(|| (time > limits.time).then(|| format!("takes {time:.1?}")));
    Outcome {
        accepted,
        time,
        peak,
        problem,
    }
}

fn message(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "without a message".into())
}

/// Runs so many cases of a target on the threads of rayon. `stuck` is told the number of a case that takes ten times
/// as long as one may: nobody can end it.
pub fn fuzz(
    target: &Target,
    cases: u64,
    seed: u64,
    limits: Limits,
    stuck: &(dyn Fn(u64) + Sync),
) -> Report {
    let next = AtomicU64::new(0);
    let threads = rayon::current_num_threads();
    let running: Vec<Mutex<Option<(Instant, u64)>>> =
        (0..threads).map(|_| Mutex::new(None)).collect();
    let report = Mutex::new(Report {
        name: target.name,
        cases,
        accepted: 0,
        slowest: (Duration::ZERO, 0),
        largest: (0, 0, 0),
        multiple: 0.0,
        faults: Vec::new(),
    });
    let done = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while done.load(Ordering::Acquire) == 0 {
                std::thread::sleep(Duration::from_millis(200));
                for running in &running {
                    let since = *running.lock().unwrap_or_else(|e| e.into_inner());
                    if let Some((since, case)) = since
                        && since.elapsed() > 10 * limits.time
                    {
                        stuck(case);
                    }
                }
            }
        });
        rayon::broadcast(|context| {
            let scratch = Scratch::new();
            let mine = &running[context.index()];
            let set = |value| *mine.lock().unwrap_or_else(|e| e.into_inner()) = value;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= cases {
                    break;
                }
                let bytes = case(target, seed, number);
                set(Some((Instant::now(), number)));
                let outcome = observe(target, &scratch, &bytes, limits);
                set(None);
                let mut report = report.lock().unwrap_or_else(|e| e.into_inner());
                add(&mut report, target, &bytes, number, outcome);
            }
        });
        done.store(1, Ordering::Release);
    });
    let mut report = report.into_inner().unwrap_or_else(|e| e.into_inner());
    report.faults.sort_by_key(|fault| fault.case);
    report
}

fn add(report: &mut Report, target: &Target, bytes: &[u8], case: u64, outcome: Outcome) {
    report.accepted += u64::from(outcome.accepted);
    if outcome.time > report.slowest.0 {
        report.slowest = (outcome.time, case);
    }
    if outcome.peak > report.largest.0 {
        report.largest = (outcome.peak, bytes.len(), case);
    }
    let beyond = outcome.peak.saturating_sub(target.allowance);
    let multiple = beyond as f64 / bytes.len().max(1) as f64;
    report.multiple = report.multiple.max(multiple);
    if let Some(problem) = outcome.problem
        && report.faults.len() < 100
    {
        report.faults.push(Fault { case, problem });
    }
}

/// Runs one case again, and returns its bytes and what was wrong with it.
pub fn repeat(target: &Target, seed: u64, number: u64) -> (Vec<u8>, Option<String>) {
    let bytes = case(target, seed, number);
    let outcome = observe(target, &Scratch::new(), &bytes, Limits::default());
    (bytes, outcome.problem)
}
