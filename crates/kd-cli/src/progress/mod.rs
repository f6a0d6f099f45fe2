//! Watching a run: bars on a terminal, plain lines elsewhere, or nothing.

mod bars;
mod expected;
mod line;
mod plain;

use std::io::IsTerminal;

use kd_train::{Event, Observer};

use crate::interrupt::Interrupt;

/// The way a run is shown.
enum View {
    Quiet,
    Plain(plain::Plain),
    Bars(bars::Bars),
}

/// The observer that commands hand to `kd-train`.
pub struct Watch {
    view: View,
    interrupt: Interrupt,
}

impl Watch {
    /// Bars when standard error is a terminal, plain lines when it is not, nothing when `quiet`.
    pub fn new(quiet: bool, interrupt: Interrupt) -> Self {
        let view = if quiet {
            View::Quiet
        } else if std::io::stderr().is_terminal() {
            View::Bars(bars::Bars::default())
        } else {
            View::Plain(plain::Plain::default())
        };
        Self { view, interrupt }
    }
}

impl Observer for Watch {
    fn event(&mut self, event: Event<'_>) {
        match &mut self.view {
            View::Quiet => {}
            View::Plain(plain) => plain.event(&event),
            View::Bars(bars) => bars.event(&event),
        }
    }

    fn stop(&self) -> bool {
        self.interrupt.requested()
    }
}
