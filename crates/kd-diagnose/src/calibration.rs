//! Whether the student's confidence is its accuracy.

use crate::answers::{Answers, softmax, surprise};
use crate::finding::{Finding, Kind, Line, Plot, level};
use crate::input::Inputs;
use crate::random::Random;
use crate::thresholds;

pub(crate) const CALIBRATION: Kind = Kind {
    key: "calibration",
    title: "Calibration",
    threshold: "notice: an ECE above 5 %, and above what 95 % of perfectly calibrated networks of this confidence show on so many \
                samples",
};

/// Bins of confidence (Guo et al., ICML 2017).
const BINS: usize = 15;
const DRAWS: usize = 200;
/// Samples of a bin that the plot shows.
const SHOWN: usize = 5;

/// Confidence in the first choice, and whether it is right.
fn sure(answers: &Answers) -> Vec<(f64, bool)> {
    let most = answers.rows().map(|row| softmax(row, 1.0));
    let most = most.map(|shares| shares.into_iter().fold(0.0, f64::max));
    most.zip(answers.right()).collect()
}

/// For each bin the number of samples, their mean confidence and their accuracy.
fn bins(sure: &[(f64, bool)]) -> Vec<(usize, f64, f64)> {
    let mut bins = vec![(0usize, 0.0, 0.0); BINS];
    for (confidence, right) in sure {
        let bin = &mut bins[((confidence * BINS as f64) as usize).min(BINS - 1)];
        bin.0 += 1;
        bin.1 += confidence;
        bin.2 += f64::from(u8::from(*right));
    }
    let mean = |(n, c, r): (usize, f64, f64)| (n, c / n.max(1) as f64, r / n.max(1) as f64);
    bins.into_iter().map(mean).collect()
}

/// Expected calibration error.
pub(crate) fn ece(sure: &[(f64, bool)]) -> f64 {
    let all = sure.len().max(1) as f64;
    let gaps = bins(sure).into_iter();
    gaps.map(|(n, confidence, right)| n as f64 / all * (confidence - right).abs())
        .sum()
}

/// The error that 95 % of calibrated networks of this confidence stay below.
fn by_chance(sure: &[(f64, bool)]) -> f64 {
    let mut random = Random::new(2);
    let mut drawn: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let calibrated = sure.iter().map(|(c, _)| (*c, random.share() < *c));
            ece(&calibrated.collect::<Vec<_>>())
        })
        .collect();
    drawn.sort_by(f64::total_cmp);
    drawn[DRAWS * 95 / 100 - 1]
}

/// Mean negative log-likelihood in nats of logits divided by a temperature.
pub(crate) fn likelihood(answers: &Answers, temperature: f64) -> f64 {
    let rows = answers.rows().zip(answers.labels());
    let sum: f64 = rows
        .map(|(row, label)| surprise(row, *label, temperature))
        .sum();
    sum / answers.len().max(1) as f64
}

/// Mean squared distance of the probabilities from the label, summed over classes (Brier, Monthly Weather Review 1950).
pub(crate) fn brier(answers: &Answers) -> f64 {
    let rows = answers.rows().zip(answers.labels());
    let squares = rows.map(|(row, label)| {
        let shares = softmax(row, 1.0);
        let of_classes = shares.iter().enumerate();
        of_classes
            .map(|(class, p)| (p - f64::from(u8::from(class == *label))).powi(2))
            .sum::<f64>()
    });
    squares.sum::<f64>() / answers.len().max(1) as f64
}

/// The temperature that makes the labels likeliest, from 0.1 to 20: golden section over its logarithm.
pub(crate) fn best_temperature(answers: &Answers) -> f64 {
    let golden = (5f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (0.1f64.ln(), 20f64.ln());
    let value = |log: f64| likelihood(answers, log.exp());
    while high - low > 1e-3 {
        let (a, b) = (high - golden * (high - low), low + golden * (high - low));
        if value(a) < value(b) {
            high = b;
        } else {
            low = a;
        }
    }
    ((low + high) / 2.0).exp()
}

pub(crate) fn calibration(inputs: &Inputs) -> Finding {
    let student = &inputs.validation.student;
    let own = sure(student);
    let (error, chance) = (ece(&own), by_chance(&own));
    let off = error > thresholds::ECE && error > chance;
    let confidence = own.iter().map(|(c, _)| c).sum::<f64>() / own.len().max(1) as f64;
    let way = match confidence > student.accuracy() {
        true => "surer than it is right",
        false => "less sure than it is right",
    };
    let temperature = best_temperature(student);
    let advice = match off {
        true => format!(
            "It is {way}: divide its logits by {temperature:.2} where its probabilities are used (NLL {:.3} instead of {:.3}).",
            likelihood(student, temperature),
            likelihood(student, 1.0)
        ),
        false => "Its probabilities can be taken at their word.".into(),
    };
    let line = |name: &str, sure: &[(f64, bool)]| Line {
        name: name.into(),
        points: bins(sure)
            .into_iter()
            .filter(|(n, ..)| *n >= SHOWN)
            .map(|(_, confidence, right)| (100.0 * confidence, 100.0 * right))
            .collect(),
    };
    let teacher = &inputs.validation.teacher;
    CALIBRATION
        .finding(
            level(false, off),
            "expected calibration error of the student, 15 bins",
            error,
            format!(
                "ECE {:.1} % (teacher {:.1} %; chance explains {:.1} %), NLL {:.3} nats (teacher {:.3}), Brier {:.3} (teacher \
                 {:.3}). {advice}",
                100.0 * error,
                100.0 * ece(&sure(teacher)),
                100.0 * chance,
                likelihood(student, 1.0),
                likelihood(teacher, 1.0),
                brier(student),
                brier(teacher),
            ),
        )
        .plot(Plot::Lines {
            title: "Accuracy by confidence, %".into(),
            x: "confidence, %".into(),
            log: false,
            lines: vec![
                line("student", &own),
                line("teacher", &sure(teacher)),
                Line {
                    name: "calibrated".into(),
                    points: vec![(0.0, 0.0), (100.0, 100.0)],
                },
            ],
            mark: None,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_those_of_a_calculation_by_hand() {
        // Probabilities 0.8 and 0.2 of two samples, of which one is right.
        let log = 4f32.ln();
        let answers = Answers::new(vec![log, 0.0, log, 0.0], vec![0, 1], 2).unwrap();
        assert!((ece(&sure(&answers)) - 0.3).abs() < 1e-6);
        assert!((brier(&answers) - (0.08 + 1.28) / 2.0).abs() < 1e-6);
        let nll = -(0.8f64.ln() + 0.2f64.ln()) / 2.0;
        assert!((likelihood(&answers, 1.0) - nll).abs() < 1e-6);
    }

    #[test]
    fn the_temperature_that_was_planted_is_found() {
        // Three of four samples right at logits 2.5 · ln 3: T = 2.5 gives probabilities 3/4.
        let high = 2.5 * 3f32.ln();
        let answers = Answers::new([high, 0.0].repeat(4), vec![0, 0, 0, 1], 2).unwrap();
        let found = best_temperature(&answers);
        assert!((found - 2.5).abs() < 5e-3, "{found}");
    }
}
