//! Where and why a distilled student falls short of its teacher.
//!
//! [`diagnose`] reads what both networks answered, how alike their maps are, how the loss pulled, and says what stands out: each
//! [`Finding`] has a number, a threshold, plots, and a sentence that says what to do. Everything is arithmetic on plain numbers,
//! so networks of any framework can be diagnosed.
//!
//! ```
//! use kd_diagnose::{Answers, Both, Inputs, diagnose};
//!
//! # fn main() -> Result<(), kd_diagnose::Error> {
//! let teacher = Answers::new(vec![4.0, 0.0, 0.0, 4.0], vec![0, 1], 2)?;
//! let student = Answers::new(vec![2.0, 0.0, 1.0, 0.0], vec![0, 1], 2)?;
//! let inputs = Inputs::new(vec!["cat".into(), "dog".into()], Both { teacher, student });
//! let found = diagnose(&inputs)?;
//! assert_eq!(found.get("gap").map(|gap| gap.number), Some(50.0));
//! # Ok(())
//! # }
//! ```

mod answers;
mod calibration;
mod cka;
mod fidelity;
mod finding;
mod gap;
mod gradients;
mod input;
mod layers;
#[cfg(test)]
mod made;
mod mistakes;
mod noise;
mod normalisation;
mod page;
mod random;
mod significance;
mod svg;
mod temperature;
mod text;
mod thresholds;

pub use answers::Answers;
pub use cka::{Alignment, Gram};
pub use finding::{Bar, Diagnosis, Finding, Level, Line, Plot};
pub use input::{Both, Cosines, Inputs, MapLevel, Similarity, Sizes, TermGradient, TrainPart};
pub use layers::{Advised, advised_layers};
pub use page::STYLE;

/// What is wrong with the inputs of a diagnosis, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

/// What there is to look at, in the order of the book's table: key, title and threshold.
pub fn table() -> Vec<[&'static str; 3]> {
    [
        gap::GAP,
        gap::CLASSES,
        mistakes::MISTAKES,
        fidelity::FIDELITY,
        fidelity::CAPACITY,
        calibration::CALIBRATION,
        temperature::TEMPERATURE,
        normalisation::NORMALISATION,
        layers::LAYERS,
        gradients::BALANCE,
        gradients::CONFLICT,
        noise::NOISE,
    ]
    .into_iter()
    .map(|kind| [kind.key, kind.title, kind.threshold])
    .collect()
}

/// Looks at everything that the inputs have.
///
/// # Errors
/// [`Error`] when the inputs are not of the same samples and classes, or there is none.
pub fn diagnose(inputs: &Inputs) -> Result<Diagnosis, Error> {
    inputs.check()?;
    let all = [
        Some(gap::gap(inputs)),
        Some(gap::classes(inputs)),
        Some(mistakes::mistakes(inputs)),
        Some(fidelity::fidelity(inputs)),
        fidelity::capacity(inputs),
        Some(calibration::calibration(inputs)),
        temperature::temperature(inputs),
        normalisation::normalisation(inputs),
        inputs.similarity.as_ref().and_then(layers::layers),
        gradients::balance(&inputs.terms),
        inputs.cosines.as_ref().and_then(gradients::conflict),
        noise::noise(inputs),
    ];
    let mut findings: Vec<Finding> = all.into_iter().flatten().collect();
    after_the_input(&mut findings);
    findings.sort_by_key(|finding| finding.level);
    Ok(Diagnosis {
        version: env!("CARGO_PKG_VERSION").into(),
        validation: inputs.validation.teacher.len(),
        train: inputs.train.as_ref().map_or(0, |part| part.indices.len()),
        findings,
    })
}

/// A teacher that sees its images wrongly says what nobody could learn: capacity can be judged when that is right.
fn after_the_input(findings: &mut [Finding]) {
    let wrong = |finding: &Finding| {
        finding.key == normalisation::NORMALISATION.key && finding.level == Level::Problem
    };
    if !findings.iter().any(wrong) {
        return;
    }
    let capacity = findings
        .iter_mut()
        .find(|f| f.key == fidelity::CAPACITY.key);
    if let Some(finding) = capacity.filter(|f| f.level == Level::Problem) {
        finding.level = Level::Notice;
        finding.named.clear();
        finding.sentence += " But first let the teacher see its images as it was trained to.";
    }
}

impl Inputs {
    /// Of answers on the validation split alone.
    pub fn new(classes: Vec<String>, validation: Both) -> Self {
        Self {
            classes,
            validation,
            train: None,
            temperature: None,
            similarity: None,
            terms: Vec::new(),
            cosines: None,
            curve: Vec::new(),
            sizes: None,
            normalised: Vec::new(),
        }
    }

    fn check(&self) -> Result<(), Error> {
        let wrong = |problem: String| Err(Error(problem));
        let all = [("validation", &self.validation)].into_iter();
        let train = self.train.iter().map(|part| ("training", &part.both));
        for (split, both) in all.chain(train) {
            if both.teacher.is_empty() {
                return wrong(format!("there are no {split} samples to look at"));
            }
            for answers in [&both.teacher, &both.student] {
                if answers.classes() != self.classes.len() {
                    return wrong(format!(
                        "{} names of classes, but answers of {} on the {split} split",
                        self.classes.len(),
                        answers.classes()
                    ));
                }
            }
            if both.teacher.labels() != both.student.labels() {
                return wrong(format!(
                    "teacher and student answered other {split} samples: ask both for the same, in the same order"
                ));
            }
        }
        if let Some(train) = self.train.as_ref()
            && train.indices.len() != train.both.teacher.len()
        {
            return wrong(format!(
                "{} numbers of training samples for {} answers",
                train.indices.len(),
                train.both.teacher.len()
            ));
        }
        let labels = self.validation.teacher.labels();
        match self.normalised.iter().find(|(_, a)| a.labels() != labels) {
            Some((way, _)) => wrong(format!(
                "the answers to images normalised by {way} are of other samples"
            )),
            None => Ok(()),
        }
    }
}
