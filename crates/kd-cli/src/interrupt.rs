//! Ctrl-C and SIGTERM: the first asks, the second ends.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};
use std::time::Duration;

use anyhow::{Context, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// The signal that asked a run to stop; 0 for none.
static RECEIVED: AtomicUsize = AtomicUsize::new(0);

/// Whether the run was asked to stop.
#[derive(Clone, Default)]
pub struct Interrupt(());

impl Interrupt {
    /// Listens from now on for Ctrl-C, and for SIGTERM, as schedulers send it before they kill a process; call
    /// it once a process.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn listen() -> Result<Self> {
        let (first, number) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        for signal in [SIGINT, SIGTERM] {
            // In this order: the second signal finds what the first left.
            flag::register_conditional_shutdown(signal, exit_code_of(signal), Arc::clone(&first))
                .and_then(|_| flag::register(signal, Arc::clone(&first)))
                .and_then(|_| flag::register_usize(signal, Arc::clone(&number), signal as usize))
                .context("listen for Ctrl-C and SIGTERM")?;
        }
        std::thread::Builder::new()
            .name("signals".into())
            .spawn(move || tell(&number))
            .context("start a thread that listens for signals")?;
        Ok(Self(()))
    }

    /// Whether a signal came.
    pub fn requested(&self) -> bool {
        RECEIVED.load(Ordering::SeqCst) != 0
    }
}

/// Waits for a signal and says what becomes of it. A step of a large network takes a while.
fn tell(number: &AtomicUsize) {
    loop {
        match number.load(Ordering::SeqCst) {
            0 => std::thread::sleep(Duration::from_millis(20)),
            signal => {
                RECEIVED.store(signal, Ordering::SeqCst);
                eprintln!("\nstopping after this step; a second signal ends at once");
                return;
            }
        }
    }
}

fn exit_code_of(signal: i32) -> i32 {
    128 + signal
}

/// The exit code of a run that was asked to stop, as shells say it: 130 after Ctrl-C, 143 after SIGTERM.
pub fn exit_code() -> u8 {
    match RECEIVED.load(Ordering::SeqCst) {
        0 => 128 + SIGINT as u8,
        signal => 128 + signal as u8,
    }
}
