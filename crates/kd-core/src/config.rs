//! How a recipe spells an objective.

mod spelling;

use burn::tensor::Device;

use crate::{Balance, Error, Objective, Output, Schedule, TermConfig};

/// The key of an objective that is no term.
const BALANCE: &str = "balance";

/// A term of an objective with its weight.
#[derive(Clone, Debug, PartialEq)]
pub struct TermEntry {
    /// Factor of the term in the sum; none for the one that [`ObjectiveConfig::weight`] gives it.
    pub weight: Option<Schedule>,
    /// The term's parameters.
    pub term: TermConfig,
}

impl TermEntry {
    /// A term with the weight that the literature gives it.
    pub fn new(term: impl Into<TermConfig>) -> Self {
        Self {
            weight: None,
            term: term.into(),
        }
    }

    /// The same term with another weight.
    pub fn with_weight(mut self, weight: impl Into<Schedule>) -> Self {
        self.weight = Some(weight.into());
        self
    }
}

/// Named terms in order, each with its weight.
///
/// A recipe spells it as one table a term. The table's name is the term's method unless a key
/// `term` says which, so that a method can occur twice; `weight` is a number or a [`Schedule`];
/// every other key is a parameter of the method.
///
/// ```toml
/// [objective.cross_entropy]
/// weight = 0.1
/// [objective.kd]
/// weight = { schedule = "linear_warmup", to = 0.9, epochs = 20 }
/// temperature = 4.0
/// [objective.hot]
/// term = "kd"
/// temperature = 8.0
/// ```
///
/// The key `balance` names a rule by which the weights find themselves, and is no term: see
/// [`balance`](crate::balance).
///
/// ```toml
/// [objective]
/// balance = "uncertainty"
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObjectiveConfig {
    /// Names and terms, in the order in which they are reported.
    pub terms: Vec<(String, TermEntry)>,
    /// The rule by which the weights find themselves; none: they are what the terms say.
    pub balance: Option<Balance>,
}

impl ObjectiveConfig {
    /// Adds a term under a name.
    pub fn with(mut self, name: impl Into<String>, entry: TermEntry) -> Self {
        self.terms.push((name.into(), entry));
        self
    }

    /// Sets the rule by which the weights find themselves.
    pub fn with_balance(mut self, balance: Balance) -> Self {
        self.balance = Some(balance);
        self
    }

    /// The weight of an entry: its own, or the literature's. With
    /// [`Balance::GradientNorm`] a weight that is not given is 1, because the literature's undo the
    /// differences of scale that this rule measures.
    pub fn weight(&self, entry: &TermEntry) -> Schedule {
        match (&entry.weight, &self.balance) {
            (Some(weight), _) => weight.clone(),
            (None, Some(Balance::GradientNorm(_))) => Schedule::Constant(1.0),
            (None, _) => Schedule::Constant(entry.term.default_weight()),
        }
    }

    /// Whether a term compares with a teacher.
    pub fn needs_teacher(&self) -> bool {
        self.terms
            .iter()
            .any(|(_, entry)| entry.term.needs_teacher())
    }

    /// Whether it holds more than labels: a term that compares with a teacher, or one that lets a student
    /// learn from itself.
    pub fn distils(&self) -> bool {
        let mut terms = self.terms.iter().map(|(_, entry)| &entry.term);
        terms.any(|term| !term.is_labels())
    }

    /// The objective of the same student with labels alone: the cross-entropy at full weight, with its
    /// label smoothing; of a detector its own loss.
    pub fn labels_only(&self) -> Self {
        let mut terms = self.terms.iter().map(|(_, entry)| &entry.term);
        let own = terms.find(|term| term.is_labels());
        let term = own.cloned().unwrap_or_else(TermConfig::labels);
        Self::default().with(term.name(), TermEntry::new(term))
    }

    /// Tells terms that keep something of every training sample how many there are, where the recipe
    /// does not.
    ///
    /// # Errors
    /// [`Error::Config`] for a term that the recipe tells of fewer.
    pub fn with_samples(mut self, samples: usize) -> Result<Self, Error> {
        for (name, entry) in &mut self.terms {
            entry
                .term
                .set_samples(samples)
                .map_err(|e| e.of_term(name))?;
        }
        Ok(self)
    }

    /// Builds the objective from one dry run of each network that kept everything
    /// ([`Taps::all`](crate::Taps::all)); adapters are made on `device`.
    ///
    /// # Errors
    /// [`Error::NoTerms`] for an empty objective; [`Error::Config`] for a balance that does not go with the terms; for
    /// a term, what [`TermConfig::init`] returns, with the term's name.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        device: &Device,
    ) -> Result<Objective, Error> {
        if self.terms.is_empty() {
            return Err(Error::NoTerms);
        }
        self.check_balance()?;
        let mut objective = Objective::default();
        for (name, entry) in &self.terms {
            let weight = self.weight(entry);
            let term = weight
                .validate_not_negative("weight")
                .and_then(|()| entry.term.init(student, teacher, device))
                .map_err(|e| e.of_term(name))?;
            if objective.head().is_some() && term.head().is_some() {
                return Err(Error::Config {
                    key: format!("objective.{name}"),
                    value: format!("`{}`", entry.term.name()),
                    expected:
                        "a student is deployed with one head, and another term trains one already"
                            .into(),
                });
            }
            objective.push(name.clone(), weight, term);
        }
        objective.set_balance(self.balance.clone(), device);
        Ok(objective)
    }

    fn check_balance(&self) -> Result<(), Error> {
        let refuse = |value: &str, expected: &str| Error::Config {
            key: format!("objective.{BALANCE}"),
            value: value.into(),
            expected: expected.into(),
        };
        if self.terms.iter().any(|(name, _)| name == BALANCE) {
            return Err(refuse(
                "a term",
                "is the key of a rule: a term needs another name",
            ));
        }
        let Some(balance) = &self.balance else {
            return Ok(());
        };
        balance.validate().map_err(|e| e.of_objective())?;
        let is = |fits: fn(&TermConfig) -> bool| self.terms.iter().find(|(_, e)| fits(&e.term));
        match balance {
            Balance::Uncertainty => {
                if let Some((name, _)) = is(TermConfig::can_be_negative) {
                    return Err(refuse(
                        balance.name(),
                        &format!(
                            "needs losses that are never negative, and that of `{name}` can be: take another \
                             rule, or another method"
                        ),
                    ));
                }
                Ok(())
            }
            Balance::GradientNorm(_) => match is(TermConfig::is_labels) {
                Some(_) => Ok(()),
                None => Err(refuse(
                    balance.name(),
                    "compares gradients with that of a term `cross_entropy`, and there is none",
                )),
            },
        }
    }
}
