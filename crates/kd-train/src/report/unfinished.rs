//! A run that has no results yet: what its records say so far.

use std::collections::BTreeMap;

use crate::Role;
use crate::records::EpochRecord;

use super::read::History;
use super::table::{Column, Row, Table, title};
use super::words::significant;

type Trainings = BTreeMap<(Role, u64), History>;

/// The first sentence of the page.
pub(super) fn headline(trainings: &Trainings) -> String {
    let begun = match trainings.len() {
        0 => "no training has a record yet".into(),
        1 => "one training has records".into(),
        several => format!("{several} trainings have records"),
    };
    format!("This run is not finished: {begun}.")
}

/// What a reader must not take from it.
pub(super) const CAUTION: &str = "It has no summary.json: it is still running, or it was stopped. Nothing here is \
                                  measured on the test split. Write the report again when the run has ended.";

/// A line of the table: its name, a hint, and what it says of a training.
type Line = (&'static str, &'static str, fn(&History) -> Option<String>);

const LINES: [Line; 3] = [
    ("Epochs", "so far", |h| Some(h.epochs.len().to_string())),
    ("Best validation", "so far", best),
    ("Loss", "of the last epoch", |h| {
        let (_, last) = h.epochs.last_key_value()?;
        Some(significant(last.loss, 4))
    }),
];

/// A column for every training.
pub(super) fn table(trainings: &Trainings) -> Table {
    let columns = trainings.keys().map(|(role, seed)| Column {
        title: title(role),
        model: String::new(),
        seeds: format!("seed {seed}"),
    });
    let rows = LINES.iter().map(|(name, hint, cell)| Row {
        name: (*name).into(),
        hint,
        cells: trainings
            .values()
            .map(|history| cell(history).unwrap_or("–".into()))
            .collect(),
    });
    Table {
        columns: columns.collect(),
        rows: rows.collect(),
    }
}

/// The best first validation score.
fn best(history: &History) -> Option<String> {
    let first = |e: &EpochRecord| e.validation.first().cloned();
    let scores = history.epochs.values().filter_map(first);
    let best =
        scores.reduce(
            |best, score| match score.better.gain(score.value, best.value) > 0.0 {
                true => score,
                false => best,
            },
        )?;
    Some(format!("{} {}", best.title, best.show(best.value)))
}
