//! The result of a run in plain words.

use crate::Role;
use crate::stats::{Evidence, Verdict};
use crate::summary::Summary;

use super::words::{signed, spread};

/// The first sentence of a report, and what it rests on.
pub(super) struct Headline {
    pub headline: String,
    /// What seeds and images show; none where nothing was compared.
    pub evidence: Option<String>,
    /// Whether a careful reader should hesitate.
    pub caution: bool,
}

pub(super) fn headline(summary: &Summary) -> Headline {
    match summary.verdict() {
        Some(verdict) => compared(summary, &verdict),
        None => Headline {
            headline: not_compared(summary),
            evidence: None,
            caution: false,
        },
    }
}

fn compared(summary: &Summary, verdict: &Verdict) -> Headline {
    let mean = signed(verdict.mean);
    let unit = match (verdict.unit.difference(), summary.scores().first()) {
        ("", Some(score)) => format!("in {}", score.title),
        (unit, _) => unit.into(),
    };
    let change = match verdict.evidence {
        Evidence::NotShown => format!("Distillation shows no difference: {mean} {unit}"),
        _ if verdict.mean > 0.0 => format!("Distillation gained the student {mean} {unit}"),
        _ => format!(
            "Distillation cost the student {} {unit}",
            mean.trim_start_matches('−')
        ),
    };
    let levels = match (
        shown(summary, &Role::Baseline),
        shown(summary, &Role::Distilled),
    ) {
        (Some(alone), Some(distilled)) => format!(": {alone} alone, {distilled} distilled"),
        _ => String::new(),
    };
    let over = match &summary.gain {
        Some(gain) if verdict.seeds > 1 => {
            let std = gain
                .std
                .map_or(String::new(), |std| format!(", ± {std:.2}"));
            format!(" (mean of {} seeds{std})", verdict.seeds)
        }
        _ => String::new(),
    };
    Headline {
        headline: format!("{change}{over}{levels}."),
        evidence: Some(verdict.sentence()),
        caution: verdict.evidence != Evidence::Shown,
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
