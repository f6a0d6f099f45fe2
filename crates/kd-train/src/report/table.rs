//! Teacher, student alone and student distilled side by side.

use serde::Serialize;

use crate::summary::{NetworkSummary, Summary};
use crate::{Better, Role, Score};

use super::words::{count, duration, prefixed, spread};

#[derive(Serialize)]
pub(super) struct Table {
    pub columns: Vec<Column>,
    pub rows: Vec<Row>,
}

#[derive(Serialize)]
pub(super) struct Column {
    pub title: String,
    pub model: String,
    pub seeds: String,
}

#[derive(Serialize)]
pub(super) struct Row {
    pub name: String,
    pub hint: &'static str,
    pub cells: Vec<String>,
}

/// One line of the table: its name, a hint, and what it says of the measurements of one role.
type Line = (
    &'static str,
    &'static str,
    fn(&[&NetworkSummary]) -> Option<String>,
);

const LINES: [Line; 12] = [
    ("Validation", "of the kept weights", validation),
    ("Parameters", "", |a| Some(count(a.first()?.parameters))),
    ("Multiply-accumulates", "one image", |a| {
        Some(prefixed(a.first()?.macs? as f64, ""))
    }),
    ("Size", "safetensors file", |a| {
        Some(prefixed(a.first()?.bytes as f64, "B"))
    }),
    ("Adapters", "parameters, training only", |a| {
        let adapters = a.first()?.adapter_parameters;
        (adapters > 0).then(|| count(adapters))
    }),
    ("Learned from", "beside labels", |a| {
        let from = &a.first()?.learned_from;
        (!from.is_empty()).then(|| from.join(", "))
    }),
    ("Latency, median", "one image", |a| {
        over_seeds(a, |x| Some(x.latency.median_ms), hundredths, " ms")
    }),
    ("Latency, 95th percentile", "one image", |a| {
        over_seeds(a, |x| Some(x.latency.p95_ms), hundredths, " ms")
    }),
    ("Throughput", "images a second", |a| {
        over_seeds(a, |x| Some(x.images_per_second), whole, "")
    }),
    ("Training time", "", |a| {
        over_seeds(a, |x| x.training.as_ref().map(|t| t.seconds), duration, "")
    }),
    ("Training speed", "images a second", |a| {
        over_seeds(
            a,
            |x| x.training.as_ref().map(|t| t.images_per_second),
            whole,
            "",
        )
    }),
    ("Kept epoch", "of those that ran", kept_epochs),
];

pub(super) fn table(summary: &Summary) -> Table {
    let networks: Vec<Vec<&NetworkSummary>> = summary
        .distinct_roles()
        .into_iter()
        .map(|role| {
            summary
                .networks
                .iter()
                .filter(|a| a.role == *role)
                .collect()
        })
        .collect();
    let row = |name: String, hint, cells: Vec<Option<String>>| {
        cells.iter().any(Option::is_some).then(|| Row {
            name,
            hint,
            cells: cells.into_iter().map(|c| c.unwrap_or("–".into())).collect(),
        })
    };
    let scores = summary.scores().iter().map(|score| {
        let cells = networks.iter().map(|measured| score_cell(score, measured));
        let hint = match score.better {
            Better::Higher => "higher is better",
            Better::Lower => "lower is better",
        };
        row(capitalised(&score.title), hint, cells.collect())
    });
    let agreement = networks
        .iter()
        .map(|measured| over_seeds(measured, |n| n.agreement, |v| format!("{v:.2}"), " %"));
    let agreement = row(
        "Agreement with the teacher".into(),
        "same predicted class",
        agreement.collect(),
    );
    let lines = LINES.iter().map(|(name, hint, cell)| {
        let cells = networks.iter().map(|measured| cell(measured));
        row((*name).into(), hint, cells.collect())
    });
    let rows = scores.chain([agreement]).chain(lines).flatten();
    Table {
        rows: rows.collect(),
        columns: networks
            .iter()
            .filter_map(|measured| column(measured))
            .collect(),
    }
}

fn column(measured: &[&NetworkSummary]) -> Option<Column> {
    let first = measured.first()?;
    let seeds: Vec<_> = measured.iter().filter_map(|a| a.seed).collect();
    Some(Column {
        title: title(&first.role),
        model: first.model.clone(),
        seeds: match seeds.as_slice() {
            [] => "loaded".into(),
            [seed] => format!("seed {seed}"),
            seeds => format!("mean of {} seeds", seeds.len()),
        },
    })
}

/// What a network of a run is called, as a heading.
pub(super) fn title(role: &Role) -> String {
    capitalised(&role.title())
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

/// A score, as the mean over the seeds.
fn score_cell(score: &Score, measured: &[&NetworkSummary]) -> Option<String> {
    let unit = match score.unit.symbol() {
        "" => String::new(),
        symbol => format!(" {symbol}"),
    };
    let decimals = score.unit.decimals();
    over_seeds(
        measured,
        |n| n.test.get(&score.key),
        |value| format!("{value:.decimals$}"),
        &unit,
    )
}

fn hundredths(number: f64) -> String {
    format!("{number:.2}")
}

fn whole(number: f64) -> String {
    if number >= 20.0 {
        count(number.round() as u64)
    } else {
        format!("{number:.1}")
    }
}

fn over_seeds(
    measured: &[&NetworkSummary],
    pick: impl Fn(&NetworkSummary) -> Option<f64>,
    text: impl Fn(f64) -> String,
    unit: &str,
) -> Option<String> {
    let numbers: Vec<_> = measured.iter().filter_map(|a| pick(a)).collect();
    // A narrow column may break before the standard deviation, and nowhere else.
    let whole = |number| format!("{}{unit}", text(number)).replace(' ', "\u{a0}");
    spread(&numbers).map(|(mean, deviation)| match deviation {
        Some(deviation) => {
            let mean = text(mean).replace(' ', "\u{a0}");
            format!("{mean} ±\u{a0}{}", whole(deviation))
        }
        None => whole(mean),
    })
}

/// The first validation score, as the mean over the seeds.
fn validation(measured: &[&NetworkSummary]) -> Option<String> {
    let score = measured.iter().find_map(|n| n.validation.as_ref())?;
    let value = |n: &NetworkSummary| Some(n.validation.as_ref()?.value);
    let decimals = score.unit.decimals();
    let unit = format!(" {}", score.unit.symbol());
    over_seeds(
        measured,
        value,
        |v| format!("{v:.decimals$}"),
        unit.trim_end(),
    )
}

fn kept_epochs(measured: &[&NetworkSummary]) -> Option<String> {
    let trained = measured.iter().filter_map(|a| a.training.as_ref());
    let epochs: Vec<_> = trained
        .map(|t| format!("{} of {}", t.best_epoch, t.epochs))
        .collect();
    (!epochs.is_empty()).then(|| epochs.join(", "))
}

/// The gain of one seed.
#[derive(Serialize)]
pub(super) struct SeedRow {
    seed: u64,
    alone: String,
    distilled: String,
    gain: String,
}

/// The first test score of every seed that trained the student both ways; empty unless there are several.
pub(super) fn seeds(summary: &Summary) -> Vec<SeedRow> {
    let of = |role| summary.networks.iter().filter(move |a| a.role == role);
    let rows: Vec<_> = of(Role::Baseline)
        .filter_map(|alone| {
            let distilled = of(Role::Distilled).find(|d| d.seed == alone.seed)?;
            let (old, new) = (alone.test.first()?, distilled.test.first()?);
            Some(SeedRow {
                seed: alone.seed?,
                alone: old.show(old.value),
                distilled: new.show(new.value),
                gain: super::words::signed(new.better.gain(new.value, old.value)),
            })
        })
        .collect();
    match rows.len() {
        0 | 1 => Vec::new(),
        _ => rows,
    }
}
