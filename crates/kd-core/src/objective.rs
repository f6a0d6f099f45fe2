//! A weighted sum of terms that reports every term.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Int, Tensor};

use crate::balance::{Balance, uncertainty};
use crate::pair::Counted;
use crate::suggest::{did_you_mean, listed};
use crate::{Error, Head, Own, OwnTerm, Pair, PairTaps, Schedule, Step, Term};

/// Terms with their names and weights; built by
/// [`ObjectiveConfig::init`](crate::ObjectiveConfig::init).
///
/// It is a module: adapters of its terms train together with the student, and belong into its
/// checkpoint, but not into the student.
///
/// The record of [`Module::valid`], which brings buffers up to date, holds all that it learns and
/// remembers: loaded into an objective that was built from the same configuration and has computed
/// nothing yet, it goes on as if nothing had happened. What the trainer tells it, [`Objective::factors`],
/// the trainer has to keep.
#[derive(Module, Debug, Default)]
pub struct Objective {
    terms: Vec<Term>,
    /// Log variances of the terms, `[terms]`, where a balance learns them.
    log_variances: Option<Param<Tensor<1>>>,
    #[module(skip)]
    balance: Option<Balance>,
    #[module(skip)]
    labels: Vec<Label>,
}

/// What the sum knows of a term.
#[derive(Clone, Debug)]
struct Label {
    name: String,
    weight: Schedule,
    /// What a balance multiplies the weight by, once it is measured.
    factor: Option<f64>,
}

/// One term's share of an objective.
#[derive(Clone, Debug)]
pub struct Component {
    /// The term's name in the recipe.
    pub name: String,
    /// The term before weighting, `[1]`, on the graph of the student: detach it before keeping it
    /// longer than a step.
    pub value: Tensor<1>,
    /// Its weight at this step: what its gradient is multiplied by, balance included.
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
        self.labels.push(Label {
            name,
            weight,
            factor: None,
        });
        self.terms.push(term);
    }

    /// The same objective with a loss of one's own that has no parameters.
    ///
    /// `taps` says what it reads beside the logits. It counts as a comparison with a teacher; a loss that
    /// needs none is an [`OwnTerm`] that says so.
    ///
    /// ```
    /// use burn::tensor::activation::softmax;
    /// use kd_core::{Objective, PairTaps};
    ///
    /// // The mean absolute difference of the probabilities.
    /// let objective = Objective::default().with_function("l1", 0.5, PairTaps::default(), |pair, _| {
    ///     let student = softmax(pair.student.logits.clone(), 1);
    ///     let teacher = softmax(pair.teacher()?.logits.clone(), 1);
    ///     Ok((student - teacher).abs().mean())
    /// })?;
    /// assert_eq!(objective.names().collect::<Vec<_>>(), ["l1"]);
    /// # Ok::<(), kd_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] for a weight that is not a finite number of at least 0, and for a name that is taken.
    pub fn with_function(
        self,
        name: impl Into<String>,
        weight: impl Into<Schedule>,
        taps: PairTaps,
        loss: impl Fn(&Pair, &Step) -> Result<Tensor<1>, Error> + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let term = Own::function(taps, Arc::new(loss));
        self.with_own(name.into(), weight.into(), term)
    }

    /// The same objective with a loss of one's own, whose parameters train with the student.
    ///
    /// # Errors
    /// As [`Objective::with_function`], and for a term that [can be negative](OwnTerm::can_be_negative)
    /// beside a balance that cannot work with it.
    pub fn with_term(
        self,
        name: impl Into<String>,
        weight: impl Into<Schedule>,
        term: impl OwnTerm,
    ) -> Result<Self, Error> {
        let refused = term.can_be_negative() && self.balance == Some(Balance::Uncertainty);
        let name = name.into();
        if refused {
            return Err(Error::Config {
                key: "objective.balance".into(),
                value: Balance::Uncertainty.name().into(),
                expected: format!(
                    "needs losses that are never negative, and that of `{name}` can be: take another rule"
                ),
            });
        }
        self.with_own(name, weight.into(), Own::term(term))
    }

    fn with_own(mut self, name: String, weight: Schedule, term: Own) -> Result<Self, Error> {
        weight
            .validate_not_negative("weight")
            .map_err(|e| e.of_term(&name))?;
        if self.term(&name).is_some() {
            return Err(Error::Config {
                key: format!("objective.{name}"),
                value: "a loss of one's own".into(),
                expected: "the objective has a term of this name: give it another".into(),
            });
        }
        self.push(name, weight, Term::Own(term));
        // A balance that learns weights has one more to learn; it keeps those that it has.
        if let Some(logs) = self.log_variances.take() {
            let device = logs.val().device();
            let mut values: Vec<f32> = logs.val().into_data().iter().collect();
            values.push(0.0);
            let values = Tensor::from_floats(values.as_slice(), &device);
            self.log_variances = Some(Param::from_tensor(values));
        }
        Ok(self)
    }

    /// Sets the rule of its weights, when all terms are there.
    pub(crate) fn set_balance(&mut self, balance: Option<Balance>, device: &Device) {
        let learned = balance == Some(Balance::Uncertainty);
        self.log_variances = learned.then(|| Initializer::Zeros.init([self.terms.len()], device));
        self.balance = balance;
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

    /// The head that the student is deployed with in the place of its classifier, when a term that counts
    /// trains one. In evaluation mode when the objective is ([`Module::valid`]).
    pub fn head(&self) -> Option<&Head> {
        let silent = Schedule::Constant(0.0);
        let mut terms = self.labels.iter().zip(&self.terms);
        terms.find_map(|(label, term)| term.head().filter(|_| label.weight != silent))
    }

    /// Names of the terms, in the order of the recipe.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.labels.iter().map(|label| label.name.as_str())
    }

    /// Names of the terms and their weights at a step, before any balance.
    pub fn weights_at(&self, step: &Step) -> impl Iterator<Item = (&str, f64)> {
        let labels = self.labels.iter();
        labels.map(|label| (label.name.as_str(), label.weight.at(step)))
    }

    /// The term of a name.
    pub fn term(&self, name: &str) -> Option<&Term> {
        let at = self.names().position(|known| known == name)?;
        self.terms.get(at)
    }

    /// The weighted sum at one batch, and every component of it.
    ///
    /// Rows that do not count ([`Output::counted`](crate::Output::counted)) are left out before any term
    /// sees the batch.
    ///
    /// A term whose weight is 0 at this step is computed and reported, but stays out of the sum:
    /// what it may become, NaN included, does not reach the student.
    ///
    /// With [`Balance::Uncertainty`] the log variances are read back at every step, because components
    /// report the weights that follow from them: an accelerator waits for that.
    ///
    /// # Errors
    /// What the terms return, with the term's name.
    pub fn forward(&self, pair: &Pair, step: &Step) -> Result<Evaluation, Error> {
        let counted = pair.counted()?;
        let pair = &counted.as_ref().map_or(*pair, Counted::pair);
        let logs: Option<Vec<f64>> = self
            .log_variances
            .as_ref()
            .map(|s| s.val().into_data().iter().collect());
        let mut total: Option<Tensor<1>> = None;
        let mut components = Vec::with_capacity(self.terms.len());
        for (at, (label, term)) in self.labels.iter().zip(&self.terms).enumerate() {
            let value = term
                .forward(pair, step)
                .map_err(|e| e.of_term(&label.name))?;
            let weight = label.weight.at(step) * label.factor.unwrap_or(1.0);
            if weight != 0.0 {
                let weighted = value.clone() * weight;
                let share = match &self.log_variances {
                    None => weighted,
                    Some(logs) => {
                        let log = logs.val().narrow(0, at, 1).cast(weighted.dtype());
                        uncertainty(weighted, log)
                    }
                };
                total = Some(match total {
                    None => share,
                    Some(sum) => sum + share,
                });
            }
            components.push(Component {
                name: label.name.clone(),
                value,
                weight: weight * logs.as_ref().map_or(1.0, |logs| (-logs[at]).exp()),
            });
        }
        Ok(Evaluation {
            total: total.unwrap_or_else(|| nothing(&pair.student.logits)),
            components,
        })
    }
}

/// Balancing by measured gradients: the trainer measures, the objective does the rest.
///
/// ```text
/// let names = objective.to_measure(&step);            // empty but every so many steps
/// norms[name] = ‖gradient of objective.component(name, pair, step) on the student's parameters‖
/// objective.set_factors(&objective.factors_from(&norms)?)?;
/// ```
///
/// Components of one evaluation share the student's graph, which can be differentiated once: each
/// measurement needs a forward pass of its own.
impl Objective {
    /// The rule by which its weights find themselves.
    pub fn balance(&self) -> Option<&Balance> {
        self.balance.as_ref()
    }

    /// Components whose gradients want measuring before this step: all that can have a weight, the
    /// cross-entropy that they are compared with first. Empty without [`Balance::GradientNorm`] and between
    /// its measurements.
    pub fn to_measure(&self, step: &Step) -> Vec<&str> {
        let Some(Balance::GradientNorm(rule)) = &self.balance else {
            return Vec::new();
        };
        if !step.index.is_multiple_of(rule.every.max(1)) {
            return Vec::new();
        }
        let reference = self.reference();
        let silent = Schedule::Constant(0.0);
        let others = self
            .labels
            .iter()
            .filter(|label| label.weight != silent)
            .map(|label| label.name.as_str())
            .filter(|name| Some(*name) != reference);
        reference.into_iter().chain(others).collect()
    }

    /// The component that gradients are compared with: the first cross-entropy.
    fn reference(&self) -> Option<&str> {
        let at = self.terms.iter().position(Term::is_labels)?;
        self.labels.get(at).map(|label| label.name.as_str())
    }

    /// One term at one batch, `[1]`, without its weight.
    ///
    /// # Errors
    /// [`Error::Config`] for a name that is not there, and what the term returns, with its name.
    pub fn component(&self, name: &str, pair: &Pair, step: &Step) -> Result<Tensor<1>, Error> {
        let term = self.term(name).ok_or_else(|| self.unknown(name))?;
        let counted = pair.counted()?;
        let pair = &counted.as_ref().map_or(*pair, Counted::pair);
        term.forward(pair, step).map_err(|e| e.of_term(name))
    }

    /// The factors that follow from measured norms of gradients, by component, and from those in use. The
    /// cross-entropy's own is 1; a component that is not among the norms keeps its own.
    ///
    /// # Errors
    /// [`Error::Config`] for a name that is not there.
    pub fn factors_from(
        &self,
        norms: &BTreeMap<String, f64>,
    ) -> Result<BTreeMap<String, f64>, Error> {
        if let Some(name) = norms.keys().find(|name| self.term(name).is_none()) {
            return Err(self.unknown(name));
        }
        let mut factors = self.factors();
        let (Some(Balance::GradientNorm(rule)), Some(reference)) =
            (&self.balance, self.reference())
        else {
            return Ok(factors);
        };
        let Some(by) = norms.get(reference) else {
            return Ok(factors);
        };
        for (name, norm) in norms.iter().filter(|(name, _)| *name != reference) {
            let before = factors.get(name).copied();
            if let Some(factor) = rule.factor(before, *by, *norm) {
                factors.insert(name.clone(), factor);
            }
        }
        Ok(factors)
    }

    /// What the weights of components are multiplied by; those without an entry by 1. A trainer that
    /// resumes a run keeps them, and gives them back by [`Objective::set_factors`].
    pub fn factors(&self) -> BTreeMap<String, f64> {
        let measured = |label: &Label| Some((label.name.clone(), label.factor?));
        self.labels.iter().filter_map(measured).collect()
    }

    /// Multiplies the weights of components from now on; those without an entry by 1.
    ///
    /// # Errors
    /// [`Error::Config`] for a name that is not there, and for a factor that is not a finite number above 0; nothing
    /// is changed then.
    pub fn set_factors(&mut self, factors: &BTreeMap<String, f64>) -> Result<(), Error> {
        for (name, factor) in factors {
            if self.term(name).is_none() {
                return Err(self.unknown(name));
            }
            crate::terms::check::positive(&format!("the factor of objective.{name}"), *factor)?;
        }
        for label in &mut self.labels {
            label.factor = factors.get(&label.name).copied();
        }
        Ok(())
    }

    fn unknown(&self, name: &str) -> Error {
        Error::Config {
            key: "objective".into(),
            value: format!("`{name}`"),
            expected: format!(
                "no such component{}; there are {}",
                did_you_mean(name, self.names()),
                listed(self.names())
            ),
        }
    }
}

/// A zero that hangs on the student's graph, so that a step without weights can be differentiated
/// like any other.
fn nothing(logits: &Tensor<2>) -> Tensor<1> {
    let everywhere = Tensor::<2, Int>::ones(logits.dims(), &logits.device()).bool();
    logits.clone().mask_fill(everywhere, 0.0).sum()
}
