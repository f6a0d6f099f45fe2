//! The result of a run in plain words.

use crate::Role;
use crate::summary::{Gain, Summary};

use super::words::{count, signed, spread};

/// The first sentence of a report, and what a careful reader should add to it.
pub(super) struct Verdict {
    pub headline: String,
    pub caveat: Option<String>,
}

pub(super) fn verdict(summary: &Summary) -> Verdict {
    match &summary.gain {
        Some(gain) => compared(summary, gain),
        None => Verdict {
            headline: not_compared(summary),
            caveat: None,
        },
    }
}

fn compared(summary: &Summary, gain: &Gain) -> Verdict {
    let rounded = signed(gain.mean);
    let unit = match gain.unit.difference() {
        "" => format!("in {}", gain.score),
        unit => unit.into(),
    };
    let change = match rounded.as_str() {
        "0.00" => "Distillation made no difference to the student".into(),
        _ if gain.mean > 0.0 => format!("Distillation gained the student {rounded} {unit}"),
        _ => format!(
            "Distillation cost the student {} {unit}",
            &rounded['−'.len_utf8()..]
        ),
    };
    let levels = match (
        shown(summary, &Role::Baseline),
        shown(summary, &Role::Distilled),
    ) {
        (Some(alone), Some(distilled)) => format!(": {alone} alone, {distilled} distilled"),
        _ => String::new(),
    };
    let seeds = gain.per_seed.len();
    let over = match gain.std {
        Some(std) if seeds > 1 => format!(" (mean of {seeds} seeds, ± {std:.2})"),
        _ => String::new(),
    };
    Verdict {
        headline: format!("{change}{over}{levels}."),
        caveat: caveat(summary, gain),
    }
}

fn caveat(summary: &Summary, gain: &Gain) -> Option<String> {
    match gain.std {
        Some(std) if gain.mean.abs() <= std => Some(
            "The difference lies within one standard deviation of the seeds: it may be chance."
                .into(),
        ),
        Some(_) => None,
        None => Some(single_seed(summary)),
    }
}

fn single_seed(summary: &Summary) -> String {
    let chance = "This is one seed: another could turn out differently";
    let images = summary.data.test;
    match top1(summary, &Role::Distilled) {
        Some(top1) if images > 0 => {
            // Standard error of a share of independent images, with the four added that keep it
            // above 0 where none or all are right (Agresti and Coull 1998).
            let n = images as f64 + 4.0;
            let share = (top1 / 100.0 * images as f64 + 2.0) / n;
            let error = 100.0 * (share * (1.0 - share) / n).sqrt();
            format!(
                "{chance}, and {} test images measure an accuracy only to about ± {error:.1} \
                 points. Train with --seeds 3 to know more.",
                count(images as u64)
            )
        }
        _ => format!("{chance}. Train with --seeds 3 to know more."),
    }
}

fn not_compared(summary: &Summary) -> String {
    let reached = |role| match shown(summary, &role) {
        Some(score) => format!("reached {score} on the test split"),
        None => "was not measured".into(),
    };
    let has = |role| summary.networks.iter().any(|a| a.role == role);
    match (
        has(Role::Teacher),
        has(Role::Baseline),
        has(Role::Distilled),
    ) {
        (_, false, true) => format!(
            "The distilled student {}. No student was trained alone, so there is no gain to report.",
            reached(Role::Distilled)
        ),
        (_, true, false) => format!(
            "The student, trained on labels only, {}. Nothing was distilled.",
            reached(Role::Baseline)
        ),
        (_, true, true) => format!(
            "The student {} alone; distilled it {}. The two were not compared.",
            reached(Role::Baseline),
            reached(Role::Distilled)
        ),
        (true, false, false) => format!(
            "The teacher {}. No student was trained.",
            reached(Role::Teacher)
        ),
        (false, false, false) => "This run measured no network.".into(),
    }
}

/// The first score of a role, as the mean over the seeds, with its unit.
fn shown(summary: &Summary, role: &Role) -> Option<String> {
    let (mean, _) = spread(&summary.first_scores(role))?;
    let score = summary.scores().first()?;
    Some(score.show(mean))
}

/// The accuracy of a role, where that is what selects.
fn top1(summary: &Summary, role: &Role) -> Option<f64> {
    let is_accuracy = summary.scores().first()?.key == "top1";
    let (mean, _) = spread(&summary.first_scores(role))?;
    is_accuracy.then_some(mean)
}
