//! Bars with the time left and the live components of the loss, for terminals.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use kd_data::Progress;
use kd_train::Event;

use super::expected::Expected;
use super::line;

/// A bar for what goes on now; finished work stays above it as lines.
#[derive(Default)]
pub struct Bars {
    bar: Option<ProgressBar>,
    /// What `bar` is about, so that it is opened once.
    about: About,
    /// Validation accuracy of the last epoch, to stay visible.
    validation: String,
    epochs: usize,
    expected: Expected,
}

/// What a bar is about.
#[derive(Clone, Copy, Default, PartialEq)]
enum About {
    #[default]
    Nothing,
    Download,
    Reading,
    Training,
    Measuring,
    Asking,
}

const SPINNER: &str = "{spinner} {wide_msg}";

impl Bars {
    pub fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Data(progress) => self.data(progress),
            Event::Started {
                role,
                seed,
                model,
                epochs,
                steps_per_epoch,
            } => {
                self.say(&line::started(
                    role,
                    *seed,
                    model,
                    *epochs,
                    *steps_per_epoch,
                ));
                self.epochs = *epochs;
                self.expected.begin(epochs * steps_per_epoch);
                self.validation.clear();
                let bar = ProgressBar::new((epochs * steps_per_epoch) as u64);
                let template = "{bar:20} {percent:>3} % eta {eta}, {prefix}\n  {wide_msg}";
                self.open(About::Training, bar, template);
            }
            Event::Step(record) => {
                if let Some(text) = self.expected.after(record.step, Instant::now()) {
                    self.say(&text);
                }
                if let Some(bar) = &self.bar {
                    let epoch = format!("epoch {}/{}", record.epoch, self.epochs);
                    bar.set_prefix(format!("{epoch}{}", self.validation));
                    bar.set_position(record.step as u64 + 1);
                    bar.set_message(line::step(record));
                }
            }
            Event::Epoch(record) => {
                self.validation = line::validation(record);
            }
            Event::Measuring { role, seed } => {
                self.open(About::Measuring, ProgressBar::new_spinner(), SPINNER);
                self.message(format!("{}: measuring", line::who(role, *seed)));
            }
            Event::Measured(role) => self.say(&line::measured(role)),
            Event::Asked {
                seed,
                batches,
                of,
                answers,
            } => {
                if self.about != About::Asking || *batches == 1 {
                    let bar = ProgressBar::new(*of as u64);
                    self.open(About::Asking, bar, "{wide_msg} {bar:20} eta {eta}");
                }
                if let Some(bar) = &self.bar {
                    bar.set_position(*batches as u64);
                }
                self.message(line::asked(*seed, *batches, *of, *answers));
            }
            Event::Note(text) => self.say(text),
            _ => {}
        }
    }

    fn data(&mut self, progress: &Progress) {
        match progress {
            Progress::Download {
                received,
                total: Some(total),
                ..
            } => {
                if self.about != About::Download {
                    let template = "{wide_msg} {bar:20} eta {eta}";
                    self.open(About::Download, ProgressBar::new(*total), template);
                }
                if let Some(bar) = &self.bar {
                    bar.set_position(*received);
                }
            }
            _ if self.about != About::Reading => {
                self.open(About::Reading, ProgressBar::new_spinner(), SPINNER);
            }
            _ => {}
        }
        self.message(line::data(progress));
    }

    /// Replaces the bar.
    fn open(&mut self, about: About, bar: ProgressBar, template: &str) {
        self.close();
        let style = ProgressStyle::with_template(template);
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(Duration::from_millis(200));
        self.bar = Some(bar);
        self.about = about;
    }

    fn close(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn message(&self, text: String) {
        if let Some(bar) = &self.bar {
            bar.set_message(text);
        }
    }

    /// Writes a line that stays.
    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.close();
    }
}
