//! By how much the student is behind, and whether that is in few classes.

use crate::finding::{Bar, Finding, Kind, Plot, level, list};
use crate::input::Inputs;
use crate::significance::{Groups, groups};
use crate::thresholds as at_most;

pub(crate) const GAP: Kind = Kind {
    key: "gap",
    title: "Accuracy gap",
    threshold: "notice: the student is better than its teacher, beyond chance (95 %)",
};
pub(crate) const CLASSES: Kind = Kind {
    key: "classes",
    title: "Gap by class",
    threshold: "at most a third of the classes, each with a gap 10 points above the mean gap of those that are left, p ≤ 0.01 after \
                correction for their number; problem: one of them 20 points above it, notice: none",
};

/// For each sample 1 where only the teacher is right, −1 where only the student is.
fn differences(inputs: &Inputs) -> Vec<f64> {
    let both = &inputs.validation;
    let pairs = both.teacher.right().into_iter().zip(both.student.right());
    pairs
        .map(|(t, s)| f64::from(u8::from(t)) - f64::from(u8::from(s)))
        .collect()
}

pub(crate) fn gap(inputs: &Inputs) -> Finding {
    let values = differences(inputs);
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    let half = 100.0 * 1.959_963_984_540_054 * (variance / n).sqrt();
    let points = 100.0 * mean;
    let (teacher, student) = (
        100.0 * inputs.validation.teacher.accuracy(),
        100.0 * inputs.validation.student.accuracy(),
    );
    let ahead = points < -half;
    let advice = match (ahead, points > half) {
        (true, _) => {
            "The student is ahead: a better teacher, or less weight on this one, is what is left to gain."
        }
        (_, true) => "The other findings say where these points are lost.",
        _ => {
            "The difference is not larger than chance: there is little left to gain from this teacher."
        }
    };
    GAP.finding(
        level(false, ahead),
        "points of validation accuracy that the student is below its teacher",
        points,
        format!(
            "The teacher has {teacher:.1} %, the student {student:.1} % of {n} samples: {points:.1} ± {half:.1} points. {advice}"
        ),
    )
}

pub(crate) fn classes(inputs: &Inputs) -> Finding {
    let values = differences(inputs);
    let labels = inputs.validation.teacher.labels();
    let found = groups(&values, labels, inputs.classes.len());
    let there = found.counts.iter().filter(|count| **count > 0).count();
    let (few, farthest) = standing_out(found.clone(), values, labels.to_vec());
    // What befalls more of them is no trouble of theirs.
    let many = few.len() as f64 > at_most::FEW_CLASSES * there as f64;
    let few = if many { Vec::new() } else { few };
    let names: Vec<String> = few.iter().map(|c| inputs.classes[*c].clone()).collect();
    let sentence = match names.as_slice() {
        [] if many => format!(
            "More than a third of the classes are far behind, so the reason is not in them: look at capacity, epochs and the \
             loss (classes explain {:.1} % of the variance, p = {:.3}).",
            100.0 * found.effect,
            found.p
        ),
        [] => format!(
            "No class stands out: differences between classes explain {:.1} % of the variance (p = {:.3}). What is missing is \
             missing everywhere, so weights, temperature or capacity are where to look.",
            100.0 * found.effect,
            found.p
        ),
        names => format!(
            "The gap is in few classes: {} (classes explain {:.1} % of the variance, p = {:.3}). Look at their training images \
             and their number, and at what the student calls them; to change the weights of the loss will not help.",
            list(names),
            100.0 * found.effect,
            found.p
        ),
    };
    let worst = (0..found.means.len()).filter(|c| found.counts[*c] > 0);
    let worst = worst.map(|class| (100.0 * found.means[class], class));
    let mut worst: Vec<(f64, usize)> = worst.collect();
    worst.sort_by(|a, b| b.0.total_cmp(&a.0));
    let shown = worst.iter().take(at_most::SHOWN);
    let bars = shown.map(|(value, class)| Bar {
        name: inputs.classes[*class].clone(),
        value: *value,
        marked: few.contains(class),
    });
    let plot = Plot::Bars {
        title: "Points below the teacher, the widest gaps".into(),
        bars: bars.collect(),
    };
    let number = worst.first().map_or(0.0, |(value, _)| *value);
    CLASSES
        .finding(
            level(
                !few.is_empty() && farthest >= at_most::WIDE_CLASS_GAP,
                !few.is_empty(),
            ),
            "points of the class with the widest gap",
            number,
            sentence,
        )
        .named(names)
        .plot(plot)
}

/// Classes whose gap stands out from that of the others, and by how much the first does. Each is looked for among those that are
/// left, since a wide gap of one hides those of others.
fn standing_out(
    mut found: Groups,
    mut values: Vec<f64>,
    mut labels: Vec<usize>,
) -> (Vec<usize>, f64) {
    let classes = found.means.len();
    let (mut few, mut farthest) = (Vec::new(), 0.0);
    loop {
        let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
        let above = |class: usize| found.means[class] - mean;
        let first = (0..classes)
            .filter(|class| found.counts[*class] > 0 && found.above[*class] <= at_most::CLASS_P)
            .max_by(|a, b| above(*a).total_cmp(&above(*b)));
        let Some(class) = first.filter(|class| above(*class) >= at_most::CLASS_GAP) else {
            few.sort_unstable();
            return (few, farthest);
        };
        if few.is_empty() {
            farthest = above(class);
        }
        few.push(class);
        let left = |at: &usize| labels[*at] != class;
        let left: Vec<usize> = (0..labels.len()).filter(left).collect();
        values = left.iter().map(|at| values[*at]).collect();
        labels = left.iter().map(|at| labels[*at]).collect();
        found = groups(&values, &labels, classes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Answers;
    use crate::input::Both;

    /// Class 0 is hard for the teacher (60 % sure, as right), the others are not (95 %). `right` says how often the student is
    /// right in each, of 200 samples a class. Each class is confused with the next.
    fn of(right: [usize; 5]) -> Finding {
        let (mut teachers, mut students, mut labels) = (Vec::new(), Vec::new(), Vec::new());
        for (class, own) in right.into_iter().enumerate() {
            let sure = if class == 0 { 0.6f32 } else { 0.95 };
            let logits = |right: bool, odds: f32| {
                let (high, low) = match right {
                    true => (class, (class + 1) % 5),
                    false => ((class + 1) % 5, class),
                };
                (0..5).map(move |c| match c {
                    c if c == high => odds,
                    c if c == low => 0.0,
                    _ => -9.0,
                })
            };
            for at in 0..200 {
                // The teacher is right as often as it is sure.
                let odds = (sure / (1.0 - sure)).ln();
                teachers.extend(logits((at as f32) < 200.0 * sure, odds));
                students.extend(logits(at < own, 1.0));
                labels.push(class);
            }
        }
        let both = Both {
            teacher: Answers::new(teachers, labels.clone(), 5).unwrap(),
            student: Answers::new(students, labels, 5).unwrap(),
        };
        let names = ["hard", "a", "b", "c", "d"].map(String::from);
        classes(&Inputs::new(names.into(), both))
    }

    #[test]
    fn few_classes_are_at_most_a_third() {
        use crate::Level;
        // As the teacher.
        assert_eq!(of([120, 190, 190, 190, 190]).level, Level::Fine);
        // All lost a little.
        assert_eq!(of([110, 180, 180, 180, 180]).level, Level::Fine);
        let crippled = of([120, 190, 90, 190, 190]);
        assert_eq!(crippled.named, ["b"]);
        assert!((crippled.number - 50.0).abs() < 1e-9, "{}", crippled.number);
        assert_eq!(crippled.level, Level::Problem);
        // A class that lags behind, by less than 20 points more than the others.
        let behind = of([120, 190, 160, 190, 190]);
        assert_eq!(
            (behind.level, behind.named),
            (Level::Notice, vec!["b".into()])
        );
        // Two of five are more than a third.
        assert_eq!(of([120, 190, 20, 20, 190]).level, Level::Fine);
    }
}
