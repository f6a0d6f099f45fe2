//! A weighted sum of terms that reports every term.

use burn::module::Module;
use burn::tensor::{Int, Tensor};

use crate::{Error, Pair, PairTaps, Schedule, Step, Term};

/// Terms with their names and weights; built by
/// [`ObjectiveConfig::init`](crate::ObjectiveConfig::init).
///
/// It is a module: adapters of its terms train together with the student, and belong into its
/// checkpoint, but not into the student.
#[derive(Module, Debug, Default)]
pub struct Objective {
    terms: Vec<Term>,
    #[module(skip)]
    labels: Vec<Label>,
}

/// What the sum knows of a term.
#[derive(Clone, Debug)]
struct Label {
    name: String,
    weight: Schedule,
}

/// One term's share of an objective.
#[derive(Clone, Debug)]
pub struct Component {
    /// The term's name in the recipe.
    pub name: String,
    /// The term before weighting, `[1]`, on the graph of the student: detach it before keeping it
    /// longer than a step.
    pub value: Tensor<1>,
    /// Its weight at this step.
    pub weight: f64,
}

/// An objective at one batch.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// The weighted sum, `[1]`: what is differentiated.
    pub total: Tensor<1>,
    /// Every term, in the order of the recipe.
    pub components: Vec<Component>,
}

impl Objective {
    pub(crate) fn push(&mut self, name: String, weight: Schedule, term: Term) {
        self.labels.push(Label { name, weight });
        self.terms.push(term);
    }

    /// What its terms ask of the two networks.
    pub fn taps(&self) -> PairTaps {
        self.terms
            .iter()
            .map(Term::taps)
            .fold(PairTaps::default(), PairTaps::union)
    }

    /// What each term asks of the two networks, with the term's name.
    pub fn taps_by_name(&self) -> impl Iterator<Item = (&str, PairTaps)> {
        self.names().zip(self.terms.iter().map(Term::taps))
    }

    /// Whether a term compares with a teacher.
    pub fn needs_teacher(&self) -> bool {
        self.terms.iter().any(Term::needs_teacher)
    }

    /// Names of the terms, in the order of the recipe.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.labels.iter().map(|label| label.name.as_str())
    }

    /// The weighted sum at one batch, and every component of it.
    ///
    /// A term whose weight is 0 at this step is computed and reported, but stays out of the sum:
    /// what it may become, NaN included, does not reach the student.
    ///
    /// # Errors
    /// What the terms return, with the term's name.
    pub fn forward(&self, pair: &Pair, step: &Step) -> Result<Evaluation, Error> {
        let mut total: Option<Tensor<1>> = None;
        let mut components = Vec::with_capacity(self.terms.len());
        for (label, term) in self.labels.iter().zip(&self.terms) {
            let value = term
                .forward(pair, step)
                .map_err(|e| e.of_term(&label.name))?;
            let weight = label.weight.at(step);
            if weight != 0.0 {
                let weighted = value.clone() * weight;
                total = Some(match total {
                    None => weighted,
                    Some(sum) => sum + weighted,
                });
            }
            components.push(Component {
                name: label.name.clone(),
                value,
                weight,
            });
        }
        Ok(Evaluation {
            total: total.unwrap_or_else(|| nothing(&pair.student.logits)),
            components,
        })
    }
}

/// A zero that hangs on the student's graph, so that a step without weights can be differentiated
/// like any other.
fn nothing(logits: &Tensor<2>) -> Tensor<1> {
    let everywhere = Tensor::<2, Int>::ones(logits.dims(), &logits.device()).bool();
    logits.clone().mask_fill(everywhere, 0.0).sum()
}
