//! Which classes gained and which lost.

use serde::Serialize;

use crate::Role;
use crate::summary::Summary;

use super::words::{signed, spread};

/// Up to this many classes are shown at once; of more, the ends.
const ALL_SHOWN: usize = 30;
const SHOWN_OF_EACH_END: usize = 10;

/// The difference in test accuracy between two networks, class by class.
#[derive(Serialize)]
pub(super) struct Difference {
    title: &'static str,
    shown: Vec<Bar>,
    /// Every class, when `shown` holds only the ends.
    rest: Vec<Bar>,
}

/// One class: a bar to the right of the middle for a gain, to the left for a loss.
#[derive(Clone, Serialize)]
struct Bar {
    class: String,
    points: String,
    detail: String,
    gained: bool,
    /// Percent of the half that the bar may fill.
    width: f64,
    first_of_losses: bool,
}

pub(super) fn differences(summary: &Summary) -> Vec<Difference> {
    let pairs = [
        (
            "Student distilled minus teacher",
            Role::Distilled,
            Role::Teacher,
        ),
        (
            "Student distilled minus student alone",
            Role::Distilled,
            Role::Baseline,
        ),
        ("Student alone minus teacher", Role::Baseline, Role::Teacher),
    ];
    let has_distilled = summary.networks.iter().any(|a| a.role == Role::Distilled);
    pairs
        .into_iter()
        .filter(|(_, of, _)| has_distilled == (*of == Role::Distilled))
        .filter_map(|(title, of, minus)| difference(summary, title, of, minus))
        .collect()
}

fn difference(summary: &Summary, title: &'static str, of: Role, minus: Role) -> Option<Difference> {
    let (of, minus) = (per_class(summary, of), per_class(summary, minus));
    let mut classes: Vec<_> = of
        .into_iter()
        .zip(minus)
        .enumerate()
        .filter_map(|(class, (of, minus))| Some((class, of?, minus?)))
        .collect();
    classes.sort_by(|a, b| (b.1 - b.2).total_cmp(&(a.1 - a.2)));
    let widest = classes
        .iter()
        .map(|(_, of, minus)| (of - minus).abs())
        .fold(f64::MIN_POSITIVE, f64::max);
    let bars: Vec<_> = classes
        .iter()
        .map(|&(class, of, minus)| Bar {
            class: class_name(summary, class),
            points: signed(of - minus),
            detail: format!("{of:.1} % against {minus:.1} %"),
            gained: of >= minus,
            width: 100.0 * (of - minus).abs() / widest,
            first_of_losses: false,
        })
        .collect();
    if bars.is_empty() {
        return None;
    }
    if bars.len() <= ALL_SHOWN {
        return Some(Difference {
            title,
            shown: bars,
            rest: Vec::new(),
        });
    }
    let mut shown = bars[..SHOWN_OF_EACH_END].to_vec();
    shown.extend_from_slice(&bars[bars.len() - SHOWN_OF_EACH_END..]);
    shown[SHOWN_OF_EACH_END].first_of_losses = true;
    Some(Difference {
        title,
        shown,
        rest: bars,
    })
}

/// Accuracy of each class, mean over the seeds.
fn per_class(summary: &Summary, role: Role) -> Vec<Option<f64>> {
    let measured: Vec<_> = summary.networks.iter().filter(|a| a.role == role).collect();
    let classes = measured.iter().map(|a| a.test.per_class.len()).max();
    (0..classes.unwrap_or(0))
        .map(|class| {
            let of_seeds = measured
                .iter()
                .filter_map(|a| a.test.per_class.get(class).copied().flatten());
            spread(&of_seeds.collect::<Vec<_>>()).map(|(mean, _)| mean)
        })
        .collect()
}

/// The name of a class, or its number where the data set names none.
pub(super) fn class_name(summary: &Summary, class: usize) -> String {
    name_of(&summary.data.classes, class)
}

/// The name of a class among these.
pub(super) fn name_of(names: &[String], class: usize) -> String {
    match names.get(class) {
        Some(name) => name.clone(),
        None => format!("class {class}"),
    }
}
