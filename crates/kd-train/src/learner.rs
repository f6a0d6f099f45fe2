//! A student with its objective and its optimiser.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleDisplay};
use burn::optim::{GradientsAccumulator, ModuleOptimizer};
use burn::tensor::Tensor;
use kd_core::{Combine, Objective, Output, Step, Taps};
use kd_kernels::PreparedWeights;
use kd_models::Backbone;

use crate::gradients::{Average, scale, squared_norm};
use crate::optimizer::groups::GroupsConfig;
use crate::records::ComponentValue;
use crate::step::{Examples, StepPlan, TeacherFn};
use crate::{Error, TrainConfig};

/// What the optimiser sees: the student, and the adapters of the objective's terms.
#[derive(Module, Debug)]
pub(crate) struct Trainee<S: Module + ModuleDisplay> {
    pub(crate) student: S,
    pub(crate) objective: Objective,
}

/// A student, its objective and its optimiser.
///
/// The student lives on an autodiff device, the teacher's outputs come from the plain one.
pub struct Learner<S: Module + ModuleDisplay> {
    trainee: Option<Trainee<S>>,
    pub(crate) optimizer: ModuleOptimizer,
    clip_norm: Option<f64>,
    groups: GroupsConfig,
    pub(crate) average: Option<Average>,
    pub(crate) accumulator: StepAccumulator<S>,
    /// The weights of the teachers of [`Learner::step`] as the kernels read them.
    prepared: PreparedWeights,
}

/// What the batches of an optimiser step have given so far.
pub(crate) struct StepAccumulator<S: Module + ModuleDisplay> {
    pub(crate) gradients: GradientsAccumulator<Trainee<S>>,
    /// Total and components of every batch, on the device.
    pub(crate) scalars: Vec<Tensor<1>>,
    /// Names and weights of the components.
    pub(crate) names: Vec<(String, f64)>,
    /// Norms of their gradients, where they were measured.
    pub(crate) norms: BTreeMap<String, f64>,
}

impl<S: Module + ModuleDisplay> Default for StepAccumulator<S> {
    fn default() -> Self {
        Self {
            gradients: GradientsAccumulator::new(),
            scalars: Vec::new(),
            names: Vec::new(),
            norms: BTreeMap::new(),
        }
    }
}

/// Numbers of one optimiser step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LossValues {
    /// Weighted sum.
    pub loss: f64,
    /// Components by name.
    pub components: BTreeMap<String, ComponentValue>,
    /// Global L2 norm of the gradient before clipping.
    pub gradient_norm: f64,
}

impl LossValues {
    /// Name and value of what is not finite, a component before the total before the gradient.
    pub fn not_finite(&self) -> Option<(String, f64)> {
        let components = self
            .components
            .iter()
            .filter(|(_, c)| c.weight != 0.0)
            .map(|(name, c)| (name.as_str(), c.value));
        components
            .chain([("total", self.loss), ("gradient", self.gradient_norm)])
            .find(|(_, value)| !value.is_finite())
            .map(|(name, value)| (name.to_string(), value))
    }
}

impl<S: Backbone> Learner<S> {
    /// A learner with fresh optimiser state.
    pub fn new(student: S, objective: Objective, config: &TrainConfig) -> Self {
        let groups = config.groups.clone();
        let trainee = groups.freeze(Trainee { student, objective });
        Self {
            optimizer: config.optimizer.init_for(&trainee, &groups),
            groups,
            trainee: Some(trainee),
            clip_norm: config.clip_norm,
            average: config.ema.map(Average::new),
            accumulator: StepAccumulator::default(),
            prepared: PreparedWeights::new(),
        }
    }

    pub(crate) fn trainee(&self) -> &Trainee<S> {
        self.trainee
            .as_ref()
            .expect("a learner holds its student between steps")
    }

    /// The trainee, of a learner that gets another one by [`Learner::with_trainee`].
    pub(crate) fn take_trainee(&mut self) -> Trainee<S> {
        self.trainee
            .take()
            .expect("a learner holds its student between steps")
    }

    pub(crate) fn with_trainee(mut self, trainee: Trainee<S>) -> Self {
        self.trainee = Some(self.groups.freeze(trainee));
        self
    }

    /// The student for inference, on the plain device with BatchNorm frozen: the moving average
    /// when one is kept, else the current weights.
    pub fn student(&self) -> S {
        let plain = self.trainee().student.valid();
        match &self.average {
            Some(average) => average.apply(plain),
            None => plain,
        }
    }

    /// [`Learner::student`] as it is deployed: with the head in the place of its classifier that the
    /// objective trains, where there is one.
    ///
    /// # Errors
    /// [`Error::Models`] when the network has no place for it.
    pub fn deployed(&self) -> Result<S, Error> {
        let student = self.student();
        if self.objective().head().is_none() {
            return Ok(student);
        }
        let objective = self.objective().valid();
        let objective = match &self.average {
            Some(average) => average.apply(objective),
            None => objective,
        };
        match objective.head() {
            Some(head) => Ok(student.with_head(head.clone())?),
            None => Ok(student),
        }
    }

    /// The objective with its adapters.
    pub fn objective(&self) -> &Objective {
        &self.trainee().objective
    }

    /// One optimiser step over `batches` (several when gradients are accumulated), each an input and its
    /// targets, such as images and labels. A teacher lives on the plain device.
    ///
    /// This is the step that a run takes. The weights stay as they are when a loss or the gradient is not
    /// finite: see [`LossValues::not_finite`].
    ///
    /// # Errors
    /// [`Error::Core`] when a term cannot work on these outputs.
    pub fn step<T, B>(
        &mut self,
        teacher: Option<&T>,
        batches: Vec<B>,
        step: &Step,
        lr: f64,
    ) -> Result<LossValues, Error>
    where
        T: Backbone<Input = S::Input>,
        B: Into<Examples<S::Input>>,
    {
        let prepared = self.prepared.clone();
        let mut ask = |_: usize, input: S::Input, taps: &Taps| {
            let teachers = teacher.into_iter();
            let forward = |teacher: &T| prepared.run(|| teacher.forward(input.clone(), taps));
            Ok(teachers.map(forward).collect())
        };
        let batches = batches.into_iter().map(Into::into).collect();
        self.step_with(&mut ask, batches, step, lr)
    }

    /// [`Learner::step`] with the outputs of teachers from wherever.
    ///
    /// # Errors
    /// As [`Learner::step`], and what `teachers` returns.
    pub fn step_with(
        &mut self,
        teachers: &mut TeacherFn<S::Input>,
        batches: Vec<Examples<S::Input>>,
        step: &Step,
        lr: f64,
    ) -> Result<LossValues, Error> {
        let plan = StepPlan {
            combine: Combine::default(),
            mutual: false,
            measure_all: false,
            at: *step,
            lr,
            seed: None,
        };
        let values = crate::step::step(&mut [self], teachers, batches, &plan)?;
        Ok(values.into_iter().next().unwrap_or_default())
    }

    /// The student's output for an input on the autodiff device.
    pub(crate) fn forward(&self, input: S::Input, taps: &Taps) -> Output {
        self.trainee().student.forward(input, taps)
    }

    pub(crate) fn set_factors(&mut self, factors: &BTreeMap<String, f64>) -> Result<(), Error> {
        if let Some(trainee) = &mut self.trainee {
            trainee.objective.set_factors(factors)?;
        }
        Ok(())
    }

    /// Ends the step: moves the weights, unless a loss or the gradient is not finite.
    pub(crate) fn optimizer_step(&mut self, share: f64, lr: f64) -> LossValues {
        let StepAccumulator {
            gradients: mut accumulator,
            mut scalars,
            names,
            norms,
        } = std::mem::take(&mut self.accumulator);
        let mut gradients = accumulator.grads();
        if let Some(norm) = squared_norm(self.trainee(), &gradients) {
            scalars.push(norm);
        }
        // One transfer for all numbers of the step: each would stall a GPU.
        let numbers: Vec<f64> = Tensor::cat(scalars, 0).into_data().iter::<f64>().collect();
        let mut values = collect(&numbers, &names, share);
        for (name, norm) in norms {
            if let Some(component) = values.components.get_mut(&name) {
                component.gradient_norm = Some(norm);
            }
        }
        if values.not_finite().is_some() {
            return values;
        }
        if let Some(limit) = self.clip_norm.filter(|limit| values.gradient_norm > *limit) {
            gradients = scale(self.trainee(), gradients, limit / values.gradient_norm);
        }
        if let Some(trainee) = self.trainee.take() {
            let trainee = self.optimizer.step(lr, trainee, gradients);
            if let Some(average) = &mut self.average {
                // The adapters too: a head among them is deployed with the student.
                average.update(&trainee);
            }
            self.trainee = Some(trainee);
        }
        values
    }
}

/// Means over the accumulated batches, from `[total, components.., total, components.., |g|²]`.
fn collect(numbers: &[f64], names: &[(String, f64)], share: f64) -> LossValues {
    let width = names.len() + 1;
    let (rows, norm) = match numbers.len() % width {
        1 => numbers.split_at(numbers.len() - 1),
        _ => (numbers, [0.0].as_slice()),
    };
    let mean = |column: usize| {
        let values = rows.iter().skip(column).step_by(width);
        values.sum::<f64>() * share
    };
    let components = names
        .iter()
        .enumerate()
        .map(|(i, (name, weight))| {
            let value = ComponentValue {
                value: mean(i + 1),
                weight: *weight,
                gradient_norm: None,
            };
            (name.clone(), value)
        })
        .collect();
    LossValues {
        loss: mean(0),
        components,
        gradient_norm: norm[0].sqrt(),
    }
}
