//! Whether the teacher sees images as it was trained to.

use crate::finding::{Bar, Finding, Kind, Plot, level};
use crate::input::Inputs;
use crate::significance::mcnemar;
use crate::thresholds;

pub(crate) const NORMALISATION: Kind = Kind {
    key: "normalisation",
    title: "The teacher's input",
    threshold: "problem: another mean and deviation give the teacher 3 points more on validation, p ≤ 0.001 (McNemar, times the \
                number of ways tried)",
};

pub(crate) fn normalisation(inputs: &Inputs) -> Option<Finding> {
    let given = &inputs.validation.teacher;
    let right = given.right();
    let own = given.accuracy();
    let tried = inputs.normalised.iter();
    let best = tried.max_by(|a, b| a.1.accuracy().total_cmp(&b.1.accuracy()))?;
    let (way, answers) = best;
    let other = answers.right();
    let count = |mine: &[bool], theirs: &[bool]| {
        let pairs = mine.iter().zip(theirs);
        pairs.filter(|(a, b)| **a && !**b).count()
    };
    let p = mcnemar(count(&other, &right), count(&right, &other));
    let p = (p * inputs.normalised.len() as f64).min(1.0);
    let more = answers.accuracy() - own;
    let problem = more >= thresholds::NORMALISED && p <= thresholds::NORMALISED_P;
    let advice = match problem {
        true => format!(
            "With {way} it has {:.1} %: set `teacher.normalize` to that, and train again.",
            100.0 * answers.accuracy()
        ),
        false => format!(
            "No other common normalisation gives it more (best: {way}, {:.1} %).",
            100.0 * answers.accuracy()
        ),
    };
    let mut bars = vec![Bar {
        name: "as the recipe says".into(),
        value: 100.0 * own,
        marked: false,
    }];
    bars.extend(inputs.normalised.iter().map(|(name, answers)| Bar {
        name: name.clone(),
        value: 100.0 * answers.accuracy(),
        marked: problem && name == way,
    }));
    let named = if problem {
        vec![way.clone()]
    } else {
        Vec::new()
    };
    Some(
        NORMALISATION
            .finding(
                level(problem, false),
                "points of validation accuracy that the best other normalisation gives the teacher",
                100.0 * more,
                format!(
                    "The teacher has {:.1} % on validation. {advice}",
                    100.0 * own
                ),
            )
            .named(named)
            .plot(Plot::Bars {
                title: "Validation accuracy of the teacher by normalisation, %".into(),
                bars,
            }),
    )
}
