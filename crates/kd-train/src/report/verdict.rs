//! The result of a run in plain words.

use crate::Arm;
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
    let change = match rounded.as_str() {
        "0.00" => "Distillation made no difference to the student".into(),
        _ if gain.mean > 0.0 => format!("Distillation gained the student {rounded} points"),
        _ => format!(
            "Distillation cost the student {} points",
            &rounded['−'.len_utf8()..]
        ),
    };
    let levels = match (top1(summary, Arm::Alone), top1(summary, Arm::Distilled)) {
        (Some(alone), Some(distilled)) => {
            format!(": {alone:.2} % alone, {distilled:.2} % distilled")
        }
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
    match top1(summary, Arm::Distilled) {
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
    let reached = |arm| match top1(summary, arm) {
        Some(top1) => format!("reached {top1:.2} % on the test split"),
        None => "was not measured".into(),
    };
    let has = |arm| summary.arms.iter().any(|a| a.arm == arm);
    match (has(Arm::Teacher), has(Arm::Alone), has(Arm::Distilled)) {
        (_, false, true) => format!(
            "The distilled student {}. No student was trained alone, so there is no gain to report.",
            reached(Arm::Distilled)
        ),
        (_, true, false) => format!(
            "The student, trained on labels only, {}. Nothing was distilled.",
            reached(Arm::Alone)
        ),
        (_, true, true) => format!(
            "The student {} alone; distilled it {}. The two were not compared.",
            reached(Arm::Alone),
            reached(Arm::Distilled)
        ),
        (true, false, false) => format!(
            "The teacher {}. No student was trained.",
            reached(Arm::Teacher)
        ),
        (false, false, false) => "This run measured no network.".into(),
    }
}

fn top1(summary: &Summary, arm: Arm) -> Option<f64> {
    let measured = summary.arms.iter().filter(|a| a.arm == arm);
    spread(&measured.map(|a| a.test.top1).collect::<Vec<_>>()).map(|(mean, _)| mean)
}
