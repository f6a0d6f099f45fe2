//! Plain lines, for logs and pipes: one an epoch, and one now and then within a long epoch.

use std::time::{Duration, Instant};

use kd_train::Event;

use super::expected::Expected;
use super::line;
use crate::format::duration;

/// Time between two lines within an epoch.
const PAUSE: Duration = Duration::from_secs(10);

/// Writes lines to standard error.
#[derive(Default)]
pub struct Plain {
    epochs: usize,
    steps_per_epoch: usize,
    last: Option<Instant>,
    expected: Expected,
    /// When the first batch of those that a teacher is asked about was answered, and its number.
    asked: Option<(Instant, usize)>,
}

impl Plain {
    pub fn event(&mut self, event: &Event<'_>) {
        if let Some(text) = self.text(event) {
            eprintln!("{text}");
        }
    }

    fn text(&mut self, event: &Event<'_>) -> Option<String> {
        let text = match event {
            Event::Data(progress) => {
                self.pause_over().then_some(())?;
                line::data(progress)
            }
            Event::Started {
                role,
                seed,
                model,
                epochs,
                steps_per_epoch,
            } => {
                (self.epochs, self.steps_per_epoch) = (*epochs, *steps_per_epoch);
                self.expected.begin(epochs * steps_per_epoch);
                line::started(role, *seed, model, *epochs, *steps_per_epoch)
            }
            Event::Step(record) => {
                if let Some(text) = self.expected.after(record.step, Instant::now()) {
                    return Some(text);
                }
                self.pause_over().then_some(())?;
                let in_epoch = record.step % self.steps_per_epoch.max(1) + 1;
                format!(
                    "  epoch {}/{}, step {in_epoch}/{}: {}",
                    record.epoch,
                    self.epochs,
                    self.steps_per_epoch,
                    line::step(record)
                )
            }
            Event::Epoch(record) => line::epoch(record, self.epochs),
            Event::Measured(role) => line::measured(role),
            Event::Asked {
                seed,
                batches,
                of,
                answers,
            } => {
                if *batches == 1 {
                    self.asked = None;
                }
                let (since, first) = *self.asked.get_or_insert((Instant::now(), *batches));
                (self.pause_over() || batches == of).then_some(())?;
                let text = line::asked(*seed, *batches, *of, *answers);
                match (batches - first, of - batches) {
                    (0, _) | (_, 0) => text,
                    (done, left) => {
                        let each = since.elapsed().as_secs_f64() / done as f64;
                        format!("{text}, about {} left", duration(each * left as f64))
                    }
                }
            }
            Event::Note(text) => (*text).into(),
            _ => return None,
        };
        self.last = Some(Instant::now());
        Some(text)
    }

    fn pause_over(&self) -> bool {
        self.last.is_none_or(|last| last.elapsed() >= PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use kd_train::{Role, StepRecord};

    use super::*;

    #[test]
    fn steps_are_told_only_after_a_pause() {
        let mut plain = Plain::default();
        let started = Event::Started {
            role: &Role::Baseline,
            seed: 1,
            model: "resnet8",
            epochs: 2,
            steps_per_epoch: 20,
        };
        assert!(plain.text(&started).is_some());
        let record = StepRecord {
            role: Role::Baseline,
            seed: 1,
            epoch: 2,
            step: 24,
            loss: 1.0,
            components: Default::default(),
            lr: 0.1,
            gradient_norm: 1.0,
            images_per_second: 100.0,
        };
        assert_eq!(plain.text(&Event::Step(&record)), None);
        plain.last = Instant::now().checked_sub(PAUSE);
        let text = plain.text(&Event::Step(&record)).unwrap();
        assert!(
            text.starts_with("  epoch 2/2, step 5/20: loss 1.000"),
            "{text}"
        );
    }
}
