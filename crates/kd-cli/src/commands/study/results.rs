//! What a study found: `study.json`.

use kd_train::{Arm, ArmSummary, Summary};
use serde::Serialize;

use super::file::{Study, Variant};
use crate::statistics::{Difference, Spread};

/// The variants of a study that are finished, and how they compare.
#[derive(Serialize)]
pub struct Results {
    pub name: String,
    /// Version of this toolkit.
    pub version: &'static str,
    pub device: String,
    pub threads: usize,
    pub data: Data,
    pub seeds: usize,
    /// Variants of the file, finished or not.
    pub planned: usize,
    pub teacher: Option<Network>,
    /// The first variant's student alone.
    pub alone: Option<Network>,
    pub variants: Vec<Compared>,
}

/// The data that all variants share.
#[derive(Serialize)]
pub struct Data {
    pub name: String,
    pub sha256: String,
    pub train: usize,
    pub test: usize,
}

/// A network that is no variant's.
#[derive(Serialize)]
pub struct Network {
    pub model: String,
    /// Test top-1 in percent.
    pub top1: Spread,
}

/// A variant's student.
#[derive(Serialize)]
pub struct Compared {
    pub name: String,
    pub model: String,
    /// What it changes in the recipe, as `--set` says it.
    pub changes: Vec<String>,
    /// Test top-1 in percent.
    pub top1: Spread,
    /// Points of test top-1 above the student alone of the same seed.
    pub gain: Option<Gap>,
    /// Points of test top-1 above the first variant's student of the same seed.
    pub above_first: Option<Gap>,
    /// Seconds of training of one seed, on average, without the student alone.
    pub seconds: Option<f64>,
}

/// A difference between networks of the same seeds.
#[derive(Serialize)]
pub struct Gap {
    pub points: Spread,
    /// Half the width of the 95 % interval of its mean; none for one seed.
    pub uncertainty: Option<f64>,
    pub difference: Difference,
}

/// The students that a run is about: distilled ones, or those trained on labels where none is.
pub fn students(summary: &Summary) -> impl Iterator<Item = &ArmSummary> {
    let wanted = match summary_distils(summary) {
        true => Arm::Distilled,
        false => Arm::Alone,
    };
    summary.arms.iter().filter(move |a| a.arm == wanted)
}

/// Compares the finished variants; none when nothing is finished.
pub fn compare(study: &Study, finished: &[(&Variant, Summary)]) -> Option<Results> {
    let (_, first) = finished.first()?;
    let grain = 100.0 / first.data.test.max(1) as f64;
    let alone = of_arm(first, Arm::Alone);
    let reference: Vec<_> = students(first).collect();
    let variants = finished
        .iter()
        .enumerate()
        .map(|(place, (variant, summary))| {
            let students: Vec<_> = students(summary).collect();
            let own = of_arm(summary, Arm::Alone);
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
            Compared {
                name: variant.name.clone(),
                model: students.first().map_or(String::new(), |s| s.model.clone()),
                changes: variant.changes.clone(),
                top1: top1(&students),
                gain: gap(&students, alone, grain),
                above_first: (place > 0)
                    .then(|| gap(&students, &reference, grain))
                    .flatten(),
                seconds: seconds.map(|s| Spread::of(&s).mean),
            }
        });
    Some(Results {
        name: study.name.clone(),
        version: env!("CARGO_PKG_VERSION"),
        device: first.device.clone(),
        threads: first.threads,
        data: Data {
            name: first.data.name.clone(),
            sha256: first.data.sha256.clone(),
            train: first.data.train,
            test: first.data.test,
        },
        seeds: study.seeds,
        planned: study.variants.len(),
        teacher: network(&of_arm(first, Arm::Teacher)),
        alone: network(&alone),
        variants: variants.collect(),
    })
}

fn summary_distils(summary: &Summary) -> bool {
    summary.arms.iter().any(|a| a.arm == Arm::Distilled)
}

fn of_arm(summary: &Summary, arm: Arm) -> Vec<&ArmSummary> {
    summary.arms.iter().filter(|a| a.arm == arm).collect()
}

fn top1(arms: &[&ArmSummary]) -> Spread {
    Spread::of(&arms.iter().map(|a| a.test.top1).collect::<Vec<_>>())
}

fn network(arms: &[&ArmSummary]) -> Option<Network> {
    let first = arms.first()?;
    Some(Network {
        model: first.model.clone(),
        top1: top1(arms),
    })
}

/// Differences of the seeds that both have; none when there is no such seed, or both are the same
/// networks.
fn gap(ours: &[&ArmSummary], theirs: &[&ArmSummary], grain: f64) -> Option<Gap> {
    let differences: Vec<f64> = ours
        .iter()
        .filter_map(|our| {
            let other = theirs.iter().find(|other| other.seed == our.seed)?;
            (!std::ptr::eq(*our, *other)).then_some(our.test.top1 - other.test.top1)
        })
        .collect();
    (!differences.is_empty()).then(|| {
        let points = Spread::of(&differences);
        Gap {
            uncertainty: points.uncertainty(grain),
            difference: points.difference(grain),
            points,
        }
    })
}
