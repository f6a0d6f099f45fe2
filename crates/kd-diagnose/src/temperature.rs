//! What a temperature leaves of the teacher's answers.

use crate::answers::softmax;
use crate::finding::{Finding, Kind, Line, Plot, level};
use crate::input::Inputs;
use crate::thresholds;

pub(crate) const TEMPERATURE: Kind = Kind {
    key: "temperature",
    title: "Temperature",
    threshold: "problem: below 3 % of an answer is beside the teacher's first choice (it says no more than labels), or its entropy \
                is above 97 % of a guess (signal has become noise)",
};

const GRID: [f64; 13] = [
    0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0, 50.0,
];

/// Means over the teacher's answers at a temperature.
struct At {
    /// Share beside the first choice.
    beside: f64,
    /// Entropy, as a share of that of a guess.
    entropy: f64,
}

fn at(inputs: &Inputs, temperature: f64) -> At {
    // What is taught is what the teacher says of training samples.
    let answers = match &inputs.train {
        Some(train) => &train.both.teacher,
        None => &inputs.validation.teacher,
    };
    let (mut beside, mut entropy) = (0.0, 0.0);
    for row in answers.rows() {
        let shares = softmax(row, temperature);
        beside += 1.0 - shares.iter().copied().fold(0.0, f64::max);
        let bits = shares.iter().filter(|p| **p > 0.0).map(|p| -p * p.ln());
        entropy += bits.sum::<f64>();
    }
    let all = answers.len().max(1) as f64;
    At {
        beside: beside / all,
        entropy: entropy / all / (answers.classes() as f64).ln(),
    }
}

pub(crate) fn temperature(inputs: &Inputs) -> Option<Finding> {
    let own = inputs.temperature?;
    let found = at(inputs, own);
    let grid: Vec<(f64, At)> = GRID.iter().map(|&t| (t, at(inputs, t))).collect();
    let speaks = grid.iter().find(|(_, at)| at.beside >= thresholds::SPEAKS);
    let noise = grid.iter().find(|(_, at)| at.entropy > thresholds::NOISE);
    let clear = grid
        .iter()
        .rev()
        .find(|(_, at)| at.entropy <= thresholds::CLEAR);
    let (cold, hot) = (
        found.beside < thresholds::SILENT,
        found.entropy > thresholds::NOISE,
    );
    let place = |found: Option<&(f64, At)>| {
        found.map_or("none of the grid".into(), |(t, _)| format!("T = {t}"))
    };
    let advice = match (cold, hot) {
        (_, true) => format!(
            "This is close to a guess: classes can hardly be told apart, and the gradient is that of squared logits. Lower it, to \
             {} or so.",
            place(clear)
        ),
        (true, _) => format!(
            "The teacher says hardly more than the labels do. Raise it, to {} or so; a teacher with label smoothing or fewer epochs \
             says more, too.",
            place(speaks)
        ),
        _ => "There is something to learn beside the first choice.".into(),
    };
    let line = |name: &str, value: fn(&At) -> f64| Line {
        name: name.into(),
        points: grid.iter().map(|(t, at)| (*t, 100.0 * value(at))).collect(),
    };
    Some(
        TEMPERATURE
            .finding(
                level(cold || hot, false),
                "share of the teacher's answers beside its first choice, at the recipe's temperature",
                found.beside,
                format!(
                    "At T = {own}, {:.1} % of the teacher's answers is beside its first choice, and their entropy is {:.0} % of a \
                     guess; signal becomes noise from {} on. {advice}",
                    100.0 * found.beside,
                    100.0 * found.entropy,
                    place(noise)
                ),
            )
            .plot(Plot::Lines {
                title: "The teacher's answers by temperature, %".into(),
                x: "T".into(),
                log: true,
                lines: vec![
                    line("beside the first choice", |at| at.beside),
                    line("entropy, of a guess", |at| at.entropy),
                ],
                mark: Some((own, format!("T = {own}"))),
            }),
    )
}
