//! Where a student fails, class by class.

use serde::{Deserialize, Serialize};

use super::arms::Arm;
use crate::Role;
use crate::study::Results;
use crate::summary::{NetworkSummary, Summary};

/// Accuracies of one class, in percent, means over the seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassDifference {
    /// Its name.
    pub class: String,
    /// The best variant's.
    pub best: f64,
    /// The student alone's.
    pub alone: Option<f64>,
    /// The teacher's.
    pub teacher: Option<f64>,
}

/// Accuracies of every class, of the variant with the highest mean score; sorted by what it gains over the student
/// alone, the losses first.
pub(super) fn differences(
    results: &Results,
    first: &Summary,
    arms: &[Arm],
) -> Vec<ClassDifference> {
    let Some(best) = best(results) else {
        return Vec::new();
    };
    let students = arms.iter().find(|arm| arm.name == best);
    let students = students.map_or(&[][..], |arm| arm.students.as_slice());
    let of_role = |role: Role| -> Vec<&NetworkSummary> {
        first.networks.iter().filter(|n| n.role == role).collect()
    };
    let (alone, teacher) = (of_role(Role::Baseline), of_role(Role::Teacher));
    let mut found: Vec<ClassDifference> = first
        .data
        .classes
        .iter()
        .enumerate()
        .filter_map(|(class, name)| {
            Some(ClassDifference {
                class: name.clone(),
                best: mean(students, class)?,
                alone: mean(&alone, class),
                teacher: mean(&teacher, class),
            })
        })
        .collect();
    found.sort_by(|a, b| a.gain().total_cmp(&b.gain()));
    found
}

/// The variant with the highest mean score.
pub(super) fn best(results: &Results) -> Option<&str> {
    let variants = results.variants.iter();
    let best = variants.max_by(|a, b| a.score.mean.total_cmp(&b.score.mean))?;
    Some(&best.name)
}

impl ClassDifference {
    /// Points above the student alone.
    pub(super) fn gain(&self) -> f64 {
        self.best - self.alone.unwrap_or(self.best)
    }

    /// Points below the teacher.
    pub(super) fn below_teacher(&self) -> f64 {
        self.teacher.unwrap_or(self.best) - self.best
    }
}

fn mean(networks: &[&NetworkSummary], class: usize) -> Option<f64> {
    let values = networks.iter();
    let values: Vec<f64> = values
        .filter_map(|n| n.test.per_class.get(class).copied().flatten())
        .collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}
