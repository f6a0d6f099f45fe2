//! An observer that several tests share.

use kd_train::{Event, Observer};

/// Keeps what is said.
#[derive(Default)]
pub struct Notes(pub Vec<String>);

impl Observer for Notes {
    fn event(&mut self, event: Event<'_>) {
        if let Event::Note(text) = event {
            self.0.push(text.into());
        }
    }
}
