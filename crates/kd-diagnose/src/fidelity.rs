//! How closely the student answers as its teacher, and what is in the way: capacity, epochs, or samples.

use crate::answers::{Answers, share, softmax, surprise};
use crate::finding::{Bar, Finding, Kind, Line, Plot, level};
use crate::input::{Both, Inputs};
use crate::thresholds;

pub(crate) const FIDELITY: Kind = Kind {
    key: "fidelity",
    title: "Fidelity",
    threshold: "problem: 15 points less agreement on validation than on training samples",
};
pub(crate) const CAPACITY: Kind = Kind {
    key: "capacity",
    title: "Capacity gap",
    threshold: "problem: the class in the middle has below 85 % agreement with the teacher on training samples, and what twice \
                the epochs would give is less than what is missing; notice: below 85 %, where it is more, or where the \
                teacher's input is the problem",
};

fn agreement(both: &Both) -> f64 {
    let pairs = both
        .teacher
        .choices()
        .into_iter()
        .zip(both.student.choices());
    share(pairs.map(|(t, s)| t == s))
}

/// Agreement on the samples of the class in the middle: that of a few bad classes has other reasons than capacity.
fn of_the_middle_class(both: &Both) -> f64 {
    let labels = both.teacher.labels();
    let (teacher, student) = (both.teacher.choices(), both.student.choices());
    let mut of_classes: Vec<f64> = (0..both.teacher.classes())
        .filter(|class| labels.contains(class))
        .map(|class| {
            let own = (0..labels.len()).filter(|&i| labels[i] == class);
            share(own.map(|i| teacher[i] == student[i]))
        })
        .collect();
    of_classes.sort_by(f64::total_cmp);
    of_classes.get(of_classes.len() / 2).copied().unwrap_or(0.0)
}

/// Mean `KL(teacher ‖ student)` in nats, at T = 1.
fn divergence(both: &Both) -> f64 {
    let rows = both.teacher.rows().zip(both.student.rows());
    let of_rows = rows.map(|(teacher, student)| {
        let shares = softmax(teacher, 1.0);
        let of_classes = shares
            .iter()
            .enumerate()
            .map(|(class, p)| p * (surprise(student, class, 1.0) - surprise(teacher, class, 1.0)));
        of_classes.sum::<f64>()
    });
    of_rows.sum::<f64>() / both.teacher.len().max(1) as f64
}

pub(crate) fn fidelity(inputs: &Inputs) -> Finding {
    let validation = agreement(&inputs.validation);
    let apart = divergence(&inputs.validation);
    let Some(train) = &inputs.train else {
        return FIDELITY.finding(
            level(false, false),
            "share of validation samples with the teacher's class",
            validation,
            format!(
                "The student names the teacher's class on {:.1} % of the validation samples (KL {apart:.3} nats).",
                100.0 * validation
            ),
        );
    };
    let seen = agreement(&train.both);
    let lost = seen - validation;
    let problem = lost >= thresholds::FIDELITY_LOST;
    let advice = match problem {
        true => {
            "It has learned the teacher's answers to the training samples by heart: more augmentation, mixup, or unlabelled \
             samples that only the teacher answers."
        }
        false => "What it learned of the training samples holds on others.",
    };
    let bar = |name: &str, value: f64, marked| Bar {
        name: name.into(),
        value: 100.0 * value,
        marked,
    };
    FIDELITY
        .finding(
            level(problem, false),
            "share of validation samples with the teacher's class",
            validation,
            format!(
                "The student names the teacher's class on {:.1} % of the training and {:.1} % of the validation samples (KL {:.3} \
                 and {apart:.3} nats). {advice}",
                100.0 * seen,
                100.0 * validation,
                divergence(&train.both),
            ),
        )
        .plot(Plot::Bars {
            title: "Agreement with the teacher, %".into(),
            bars: vec![
                bar("training", seen, false),
                bar("validation", validation, problem),
            ],
        })
}

/// What twice the epochs would add to a curve: `a + b / epoch`, by least squares over the second half of the curve.
pub(crate) fn of_twice_the_epochs(curve: &[f64]) -> Option<f64> {
    let half = curve.iter().enumerate().skip(curve.len() / 2);
    let points: Vec<(f64, f64)> = half.map(|(at, y)| (1.0 / (at + 1) as f64, *y)).collect();
    if points.len() < 3 || points.iter().any(|(_, y)| !y.is_finite()) {
        return None;
    }
    let n = points.len() as f64;
    let (x, y) = (
        points.iter().map(|p| p.0).sum::<f64>() / n,
        points.iter().map(|p| p.1).sum::<f64>() / n,
    );
    let both: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    let own: f64 = points.iter().map(|p| (p.0 - x).powi(2)).sum();
    let slope = both / own;
    Some(-slope / (2.0 * curve.len() as f64))
}

/// Mean confidence in the first choice.
fn confidence(answers: &Answers) -> f64 {
    let most = answers
        .rows()
        .map(|row| softmax(row, 1.0).into_iter().fold(0.0, f64::max));
    most.sum::<f64>() / answers.len().max(1) as f64
}

pub(crate) fn capacity(inputs: &Inputs) -> Option<Finding> {
    let train = inputs.train.as_ref()?;
    let fit = of_the_middle_class(&train.both);
    let more = of_twice_the_epochs(&inputs.curve);
    let short = fit < thresholds::FIT;
    let rising = more.is_some_and(|more| more >= 100.0 * (thresholds::FIT - fit));
    let mut sentence = format!(
        "The student gives the teacher's class on {:.1} % of the training samples of the class in the middle; the teacher is {:.1} % sure of its own.",
        100.0 * fit,
        100.0 * confidence(&train.both.teacher)
    );
    if let Some(more) = more {
        sentence += &format!(
            " By the second half of its learning curve, twice the epochs would change validation accuracy by {more:+.1} points."
        );
    }
    let assistants = assistants(inputs);
    sentence += &match (short, rising) {
        (false, _) => " It has the capacity for what it is taught.".into(),
        (true, true) => " Train longer before anything else: it still learns.".into(),
        (true, false) if assistants.is_empty() => {
            " It cannot fit what it is taught: take a larger student, or a smaller teacher.".into()
        }
        (true, false) => format!(
            " It cannot fit what it is taught, and twice the epochs will not change that: train an assistant between the two first \
             ({}), or take a larger student.",
            assistants.join(", ")
        ),
    };
    let problem = short && !rising;
    let named = if problem { assistants } else { Vec::new() };
    let points = inputs.curve.iter().enumerate();
    let points: Vec<(f64, f64)> = points.map(|(at, y)| ((at + 1) as f64, *y)).collect();
    let finding = CAPACITY
        .finding(
            level(problem, short),
            "share of the training samples of the class in the middle with the teacher's class",
            fit,
            sentence,
        )
        .named(named);
    Some(match points.is_empty() {
        true => finding,
        false => finding.plot(Plot::Lines {
            title: "Validation accuracy of the student, %".into(),
            x: "epoch".into(),
            log: false,
            lines: vec![Line {
                name: "student".into(),
                points,
            }],
            mark: None,
        }),
    })
}

/// Networks with about the geometric mean of the parameters of teacher and student; of a gap above 64 times, with those of two
/// even steps.
///
/// Source of assistants: S. I. Mirzadeh et al., "Improved Knowledge Distillation via Teacher Assistant", AAAI 2020.
fn assistants(inputs: &Inputs) -> Vec<String> {
    let Some(sizes) = &inputs.sizes else {
        return Vec::new();
    };
    let (teacher, student) = (sizes.teacher.max(1) as f64, sizes.student.max(1) as f64);
    let ratio = teacher / student;
    if ratio < thresholds::ASSISTANT {
        return Vec::new();
    }
    let steps = if ratio > 64.0 { 2 } else { 1 };
    let mut chosen: Vec<String> = Vec::new();
    for step in (1..=steps).rev() {
        let wanted = student.ln() + ratio.ln() * f64::from(step) / f64::from(steps + 1);
        let fits = sizes.others.iter().filter(|(name, parameters)| {
            let size = *parameters as f64;
            size > 1.5 * student && 1.5 * size < teacher && !chosen.contains(name)
        });
        let off = |parameters: u64| ((parameters.max(1) as f64).ln() - wanted).abs();
        if let Some((name, _)) = fits.min_by(|a, b| off(a.1).total_cmp(&off(b.1))) {
            chosen.push(name.clone());
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_continued_by_its_own_law() {
        // 80 − 30 / epoch, so that 20 epochs more add 30 / 20 − 30 / 40.
        let curve: Vec<f64> = (1..=20).map(|e| 80.0 - 30.0 / f64::from(e)).collect();
        assert!((of_twice_the_epochs(&curve).unwrap() - 0.75).abs() < 1e-9);
        assert_eq!(of_twice_the_epochs(&curve[..3]), None);
    }
}
