//! Teacher, student alone and student distilled side by side.

use serde::Serialize;

use crate::Arm;
use crate::summary::{ArmSummary, Summary};

use super::words::{count, duration, prefixed, spread};

#[derive(Serialize)]
pub(super) struct Table {
    columns: Vec<Column>,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Column {
    title: String,
    model: String,
    seeds: String,
}

#[derive(Serialize)]
struct Row {
    name: &'static str,
    hint: &'static str,
    cells: Vec<String>,
}

/// One line of the table: its name, a hint, and what it says of the measurements of one arm.
type Line = (
    &'static str,
    &'static str,
    fn(&[&ArmSummary]) -> Option<String>,
);

const LINES: [Line; 16] = [
    ("Top-1", "higher is better", |a| {
        percent(a, |x| Some(x.test.top1))
    }),
    ("Top-5", "higher is better", |a| {
        percent(a, |x| Some(x.test.top5))
    }),
    ("Agreement with the teacher", "same predicted class", |a| {
        percent(a, |x| x.agreement)
    }),
    ("Expected calibration error", "lower is better", |a| {
        percent(a, |x| Some(x.test.ece))
    }),
    ("Cross-entropy", "lower is better", |a| {
        over_seeds(a, |x| Some(x.test.loss), |x| format!("{x:.3}"), "")
    }),
    ("Parameters", "", |a| Some(count(a.first()?.parameters))),
    ("Multiply-accumulates", "one image", |a| {
        Some(prefixed(a.first()?.macs as f64, ""))
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
    let arms: Vec<Vec<&ArmSummary>> = summary
        .distinct_arms()
        .into_iter()
        .map(|arm| summary.arms.iter().filter(|a| a.arm == *arm).collect())
        .collect();
    let rows = LINES.iter().filter_map(|(name, hint, cell)| {
        let cells: Vec<_> = arms.iter().map(|measured| cell(measured)).collect();
        cells.iter().any(Option::is_some).then(|| Row {
            name,
            hint,
            cells: cells.into_iter().map(|c| c.unwrap_or("–".into())).collect(),
        })
    });
    Table {
        rows: rows.collect(),
        columns: arms
            .iter()
            .filter_map(|measured| column(measured))
            .collect(),
    }
}

fn column(measured: &[&ArmSummary]) -> Option<Column> {
    let first = measured.first()?;
    let seeds: Vec<_> = measured.iter().filter_map(|a| a.seed).collect();
    Some(Column {
        title: title(&first.arm),
        model: first.model.clone(),
        seeds: match seeds.as_slice() {
            [] => "loaded".into(),
            [seed] => format!("seed {seed}"),
            seeds => format!("mean of {} seeds", seeds.len()),
        },
    })
}

/// What a network of a run is called, as a heading.
pub(super) fn title(arm: &Arm) -> String {
    let title = arm.title();
    let mut letters = title.chars();
    letters.next().map_or(String::new(), |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

fn percent(measured: &[&ArmSummary], pick: fn(&ArmSummary) -> Option<f64>) -> Option<String> {
    over_seeds(measured, pick, hundredths, " %")
}

fn hundredths(number: f64) -> String {
    format!("{number:.2}")
}

fn whole(number: f64) -> String {
    match number >= 20.0 {
        true => count(number.round() as u64),
        false => format!("{number:.1}"),
    }
}

fn over_seeds(
    measured: &[&ArmSummary],
    pick: fn(&ArmSummary) -> Option<f64>,
    text: fn(f64) -> String,
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

fn kept_epochs(measured: &[&ArmSummary]) -> Option<String> {
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

/// Test top-1 of every seed that trained the student both ways; empty unless there are several.
pub(super) fn seeds(summary: &Summary) -> Vec<SeedRow> {
    let of = |arm| summary.arms.iter().filter(move |a| a.arm == arm);
    let rows: Vec<_> = of(Arm::Alone)
        .filter_map(|alone| {
            let distilled = of(Arm::Distilled).find(|d| d.seed == alone.seed)?;
            Some(SeedRow {
                seed: alone.seed?,
                alone: format!("{:.2} %", alone.test.top1),
                distilled: format!("{:.2} %", distilled.test.top1),
                gain: super::words::signed(distilled.test.top1 - alone.test.top1),
            })
        })
        .collect();
    match rows.len() {
        0 | 1 => Vec::new(),
        _ => rows,
    }
}
