//! What a study found: `study.json`.

use serde::{Deserialize, Serialize};

use super::file::{Study, Variant};
use super::{page, words};
use crate::stats::{Spread, Verdict};
use crate::summary::{pairs, percent, top1, verdict};
use crate::{Error, NetworkSummary, Role, Summary, Unit};

/// The variants of a study that are finished, and how they compare.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// Name of the study.
    pub name: String,
    /// Version of this toolkit.
    pub version: String,
    /// Device that computed, as the user named it.
    pub device: String,
    /// Threads that the CPU offers.
    pub threads: usize,
    /// The data that all variants share.
    pub data: StudyData,
    /// The score that variants are compared by, as people call it.
    #[serde(default = "top1")]
    pub score: String,
    /// Its unit.
    #[serde(default = "percent")]
    pub unit: Unit,
    /// How often each variant was trained.
    pub seeds: usize,
    /// Variants of the file, finished or not.
    pub planned: usize,
    /// The first variant's teacher; none without one.
    pub teacher: Option<NetworkResult>,
    /// The first variant's student alone.
    pub alone: Option<NetworkResult>,
    /// Why distillations may have failed, where the first variant's teachers tell ([`Summary::why`]).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub why: Vec<String>,
    /// The finished variants, in the order of the file.
    pub variants: Vec<VariantResult>,
}

impl Results {
    /// The variants as a table in Markdown, and what the seeds do and do not show: `table.md`.
    pub fn to_markdown(&self) -> String {
        words::markdown(self)
    }

    /// The study on one page that loads nothing: `study.html`. Its links to the variants' reports are
    /// relative to the study's folder.
    ///
    /// # Errors
    /// [`Error::Report`] when the page cannot be made.
    pub fn to_html(&self) -> Result<String, Error> {
        page::html(self)
    }
}

/// The data that all variants share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StudyData {
    /// Name of the data set.
    pub name: String,
    /// SHA-256 of what was read.
    pub sha256: String,
    /// Images that were trained on.
    pub train: usize,
    /// Images of the final measurement.
    pub test: usize,
}

/// A network that variants are compared with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetworkResult {
    /// Its name in the registry.
    pub model: String,
    /// The first test score.
    #[serde(alias = "top1")]
    pub score: Spread,
}

/// A variant's student.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VariantResult {
    /// Name of the variant.
    pub name: String,
    /// The student's name in the registry.
    pub model: String,
    /// What it changes in the recipe, as `--set` says it.
    pub changes: Vec<String>,
    /// The first test score.
    #[serde(alias = "top1")]
    pub score: Spread,
    /// How much better than the student alone of the same seed.
    pub gain: Option<PairedDifference>,
    /// How much better than the first variant's student of the same seed.
    pub above_first: Option<PairedDifference>,
    /// Seconds of training of one seed, on average, without the student alone.
    pub seconds: Option<f64>,
}

/// A difference between networks of the same seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairedDifference {
    /// In the unit of the score, a value a seed; above 0 is better.
    pub points: Spread,
    /// Whether the seeds and the test images show a difference.
    pub verdict: Verdict,
}

/// The students that a run is about: distilled ones, or those trained on labels where none is.
pub(super) fn students(summary: &Summary) -> impl Iterator<Item = &NetworkSummary> {
    let wanted = if summary_distils(summary) {
        Role::Distilled
    } else {
        Role::Baseline
    };
    summary.networks.iter().filter(move |a| a.role == wanted)
}

/// Compares the finished variants; none when nothing is finished.
pub(super) fn compare(study: &Study, finished: &[(&Variant, Summary)]) -> Option<Results> {
    let (_, first) = finished.first()?;
    let kind = first.scores().first()?;
    let images = first.data.test;
    let alone = of_role(first, Role::Baseline);
    let reference: Vec<_> = students(first).collect();
    let variants = finished
        .iter()
        .enumerate()
        .map(|(place, (variant, summary))| {
            let students: Vec<_> = students(summary).collect();
            let own = of_role(summary, Role::Baseline);
            // A variant without a teacher has only its own students; the first one's stand beside them.
            let alone = if own.is_empty() || !summary_distils(summary) {
                &alone
            } else {
                &own
            };
            let seconds: Option<Vec<f64>> = students
                .iter()
                .map(|s| s.training.as_ref().map(|t| t.seconds))
                .collect();
            VariantResult {
                name: variant.name.clone(),
                model: students.first().map_or(String::new(), |s| s.model.clone()),
                changes: variant.changes.clone(),
                score: score(&students),
                gain: paired(&students, alone, images),
                above_first: (place > 0)
                    .then(|| paired(&students, &reference, images))
                    .flatten(),
                seconds: seconds.map(|s| Spread::of(&s).mean),
            }
        });
    Some(Results {
        name: study.name.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        device: first.device.clone(),
        threads: first.threads,
        data: StudyData {
            name: first.data.name.clone(),
            sha256: first.data.sha256.clone(),
            train: first.data.train,
            test: first.data.test,
        },
        score: kind.title.clone(),
        unit: kind.unit,
        seeds: study.seeds,
        planned: study.variants.len(),
        teacher: network(&of_role(first, Role::Teacher)),
        alone: network(&alone),
        why: first.why(),
        variants: variants.collect(),
    })
}

fn summary_distils(summary: &Summary) -> bool {
    summary.networks.iter().any(|a| a.role == Role::Distilled)
}

fn of_role(summary: &Summary, role: Role) -> Vec<&NetworkSummary> {
    summary.networks.iter().filter(|a| a.role == role).collect()
}

fn score(networks: &[&NetworkSummary]) -> Spread {
    let scores = networks.iter().filter_map(|n| n.test.first());
    Spread::of(&scores.map(|score| score.value).collect::<Vec<_>>())
}

fn network(networks: &[&NetworkSummary]) -> Option<NetworkResult> {
    let first = networks.first()?;
    Some(NetworkResult {
        model: first.model.clone(),
        score: score(networks),
    })
}

/// Differences of the seeds that both have; none when there is no such seed, or both are the same
/// networks.
fn paired(
    ours: &[&NetworkSummary],
    theirs: &[&NetworkSummary],
    images: usize,
) -> Option<PairedDifference> {
    let better = ours.iter().find_map(|our| our.test.first())?.better;
    let gains = pairs(ours, theirs).into_iter();
    let gains: Vec<f64> = gains.map(|pair| better.gain(pair.new, pair.old)).collect();
    Some(PairedDifference {
        points: Spread::of(&gains),
        verdict: verdict(ours, theirs, images)?,
    })
}
