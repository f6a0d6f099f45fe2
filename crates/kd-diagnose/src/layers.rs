//! Which of the teacher's levels to distil from.

use crate::finding::{Finding, Kind, Plot, level};
use crate::input::{MapLevel, Similarity};
use crate::thresholds;

pub(crate) const LAYERS: Kind = Kind {
    key: "layers",
    title: "Feature maps",
    threshold: "notice: a level of the teacher whose alignment with the level of the student that terms compare it with is below 0.7",
};

/// A level of the teacher worth distilling from.
#[derive(Clone, Debug, PartialEq)]
pub struct Advised {
    /// The teacher's level.
    pub teacher: usize,
    /// The student's level that terms compare it with.
    pub student: usize,
    /// 1 − alignment.
    pub unmet: f64,
    /// Numbers in the teacher's map of a sample.
    pub cost: usize,
}

/// Pairs of levels by how little they are aligned, the least first. Where two differ by less than 0.05, the cheaper comes first.
pub fn advised_layers(found: &Similarity) -> Vec<Advised> {
    let pairs = found.pairs.iter();
    let mut all: Vec<Advised> = pairs
        .filter_map(|(row, column)| {
            let (teacher, student) = (found.teacher.get(*row)?, found.student.get(*column)?);
            Some(Advised {
                teacher: teacher.level,
                student: student.level,
                unmet: 1.0 - found.alignment.get(*row)?.get(*column)?,
                cost: teacher.shape.iter().product(),
            })
        })
        .collect();
    let step = |advised: &Advised| (advised.unmet / thresholds::SAME_UNMET).round();
    all.sort_by(|a, b| {
        let unmet = step(b).total_cmp(&step(a));
        unmet.then(a.cost.cmp(&b.cost))
    });
    all
}

pub(crate) fn layers(found: &Similarity) -> Option<Finding> {
    let all = advised_layers(found);
    let first = all.first()?;
    let worth: Vec<&Advised> = all
        .iter()
        .filter(|advised| advised.unmet > thresholds::UNMET)
        .take(2)
        .collect();
    let sentence = match worth.as_slice() {
        [] => format!(
            "Every level of the teacher is aligned with that of the student (least: level {}, {:.2}): a term on maps has \
             little to add.",
            first.teacher,
            1.0 - first.unmet
        ),
        worth => {
            let named = worth.iter().map(|advised| {
                format!(
                    "level {} of the teacher (alignment {:.2} with level {} of the student, {} numbers a sample)",
                    advised.teacher,
                    1.0 - advised.unmet,
                    advised.student,
                    advised.cost
                )
            });
            format!(
                "What the student has least of is {}. Try a term on maps there beside `kd`: `fitnet = {{ level = {} }}`, or `at = {{ \
                 levels = [{}] }}`.",
                named.collect::<Vec<_>>().join(", then "),
                worth[0].student,
                worth[0].student
            )
        }
    };
    let names = |levels: &[MapLevel]| levels.iter().map(|l| l.level.to_string()).collect();
    Some(
        LAYERS
            .finding(
                level(false, !worth.is_empty()),
                "least alignment (linear CKA) of a level of the teacher",
                1.0 - first.unmet,
                sentence,
            )
            .named(worth.iter().map(|a| a.teacher.to_string()).collect())
            .plot(Plot::Heat {
                title: "Alignment of maps: teacher's levels down, student's across".into(),
                rows: names(&found.teacher),
                columns: names(&found.student),
                values: found.alignment.clone(),
            }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_aligned_level_comes_first_and_the_cheaper_of_equal_ones() {
        let level = |level, side| MapLevel {
            level,
            shape: [8, side, side],
        };
        let found = Similarity {
            teacher: vec![level(0, 16), level(1, 16), level(2, 8)],
            student: vec![level(0, 16), level(1, 8)],
            alignment: vec![vec![0.95, 0.2], vec![0.1, 0.31], vec![0.1, 0.3]],
            pairs: vec![(0, 0), (1, 1), (2, 1)],
        };
        let order: Vec<_> = advised_layers(&found)
            .into_iter()
            .map(|a| (a.teacher, a.student))
            .collect();
        assert_eq!(order, [(2, 1), (1, 1), (0, 0)]);
        let finding = layers(&found).unwrap();
        assert_eq!(finding.named, ["2", "1"]);
    }
}
