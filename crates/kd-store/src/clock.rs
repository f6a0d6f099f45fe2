use std::time::{Duration, Instant};

/// Time since some moment, by one machine's clock. It never goes back.
pub trait Clock {
    /// The time now.
    fn now(&self) -> Duration;
}

/// The clock of this machine, from the moment at which this was made.
#[derive(Clone, Copy, Debug)]
pub struct Monotonic(Instant);

impl Default for Monotonic {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for Monotonic {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}
