//! How a recipe spells an objective.

mod spelling;

use burn::tensor::Device;

use crate::{Balance, Error, Objective, Output, Schedule, TermConfig};

/// The key of an objective that is no term.
const BALANCE: &str = "balance";

/// A term of an objective with its weight.
#[derive(Clone, Debug, PartialEq)]
pub struct TermEntry {
    /// Factor of the term in the sum.
    pub weight: Schedule,
    /// The term's parameters.
    pub term: TermConfig,
}

impl TermEntry {
    /// A term with the weight that the literature gives it.
    pub fn new(term: impl Into<TermConfig>) -> Self {
        let term = term.into();
        Self {
            weight: Schedule::Constant(term.default_weight()),
            term,
        }
    }

    /// The same term with another weight.
    pub fn with_weight(mut self, weight: impl Into<Schedule>) -> Self {
        self.weight = weight.into();
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
        terms.any(|term| !matches!(term, TermConfig::CrossEntropy(_)))
    }

    /// The objective of the same student with labels alone: the cross-entropy at full weight, with its
    /// label smoothing.
    pub fn labels_only(&self) -> Self {
        let mut terms = self.terms.iter().map(|(_, entry)| &entry.term);
        let own = terms.find(|term| matches!(term, TermConfig::CrossEntropy(_)));
        let term = own.cloned().unwrap_or_else(|| {
            TermConfig::from(crate::terms::cross_entropy::CrossEntropyConfig::default())
        });
        Self::default().with("cross_entropy", TermEntry::new(term))
    }

    /// Tells terms that keep something of every training sample how many there are, where the recipe
    /// does not.
    pub fn with_samples(mut self, samples: usize) -> Self {
        for (_, entry) in &mut self.terms {
            if let TermConfig::Crd(config) = &mut entry.term
                && config.samples == 0
            {
                config.samples = samples;
            }
        }
        self
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
            let term = entry
                .weight
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
            objective.push(name.clone(), entry.weight.clone(), term);
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
                if let Some((name, _)) = is(|term| matches!(term, TermConfig::Vid(_))) {
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
            Balance::GradientNorm(_) => {
                match is(|term| matches!(term, TermConfig::CrossEntropy(_))) {
                    Some(_) => Ok(()),
                    None => Err(refuse(
                        balance.name(),
                        "compares gradients with that of a term `cross_entropy`, and there is none",
                    )),
                }
            }
        }
    }
}
