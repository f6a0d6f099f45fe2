//! One optimiser step of a student.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleDisplay};
use burn::optim::{GradientsAccumulator, GradientsParams, ModuleOptimizer};
use burn::tensor::{Int, Tensor};
use kd_core::{Evaluation, Objective, Output, Pair, Step, Taps};
use kd_models::Backbone;

use crate::gradients::{Average, scale, squared_norm};
use crate::records::ComponentValue;
use crate::{Error, TrainConfig};

/// What the optimiser sees: the student, and the adapters of the objective's terms.
#[derive(Module, Debug)]
struct Trainee<S: Module + ModuleDisplay> {
    student: S,
    objective: Objective,
}

/// A batch as a student is shown it.
#[derive(Clone, Debug)]
pub struct Examples {
    /// `[batch, channels, height, width]`, on the autodiff device.
    pub images: Tensor<4>,
    /// Classes, `[batch]`.
    pub labels: Tensor<1, Int>,
    /// Each image's place in the training set; some terms need it.
    pub places: Option<Vec<usize>>,
}

/// Gives the teacher's output for a batch: see [`Learner::step_with`].
pub type Show<'a> = dyn FnMut(usize, Tensor<4>, &Taps) -> Result<Option<Output>, Error> + 'a;

/// A student, its objective and its optimiser.
///
/// The student lives on an autodiff device, the teacher's outputs come from the plain one.
pub struct Learner<S: Module + ModuleDisplay> {
    trainee: Option<Trainee<S>>,
    optimizer: ModuleOptimizer,
    clip_norm: Option<f64>,
    average: Option<Average>,
    gathered: Gathered<S>,
}

/// What the batches of an optimiser step have given so far.
struct Gathered<S: Module + ModuleDisplay> {
    gradients: GradientsAccumulator<Trainee<S>>,
    /// Total and components of every batch, on the device.
    scalars: Vec<Tensor<1>>,
    /// Names and weights of the components.
    names: Vec<(String, f64)>,
    /// Norms of their gradients, where they were measured.
    norms: BTreeMap<String, f64>,
}

impl<S: Module + ModuleDisplay> Default for Gathered<S> {
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
#[derive(Clone, Debug, PartialEq)]
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

impl<S: Backbone<Input = Tensor<4>>> Learner<S> {
    /// A learner with fresh optimiser state.
    pub fn new(student: S, objective: Objective, config: &TrainConfig) -> Self {
        Self {
            trainee: Some(Trainee { student, objective }),
            optimizer: config.optimizer.init(),
            clip_norm: config.clip_norm,
            average: config.ema.map(Average::new),
            gathered: Gathered::default(),
        }
    }

    fn trainee(&self) -> &Trainee<S> {
        self.trainee
            .as_ref()
            .expect("a learner holds its student between steps")
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

    /// One optimiser step over `batches` (several when gradients are accumulated), each with
    /// images `[batch, channels, height, width]` on the autodiff device and labels `[batch]`.
    ///
    /// Returns `Err` for a shape mistake, and does not touch the weights when a loss or the
    /// gradient is not finite: see [`LossValues::not_finite`].
    ///
    /// # Errors
    /// [`Error::Core`] when a term cannot work on these outputs.
    pub fn step<T: Backbone<Input = Tensor<4>>>(
        &mut self,
        teacher: Option<&T>,
        batches: Vec<(Tensor<4>, Tensor<1, Int>)>,
        step: &Step,
        lr: f64,
    ) -> Result<LossValues, Error> {
        let mut show = |_: usize, images, taps: &Taps| {
            Ok(teacher.map(|teacher| teacher.forward(images, taps)))
        };
        let batches = batches.into_iter().map(|(images, labels)| Examples {
            images,
            labels,
            places: None,
        });
        self.step_with(&mut show, batches.collect(), step, lr)
    }

    /// [`Learner::step`] with images that have places, and the teacher's outputs from wherever:
    /// `show` is given the number of a batch, its images on the plain device, and what the objective
    /// taps, and returns the output on the plain device, or none when there is no teacher.
    ///
    /// # Errors
    /// As [`Learner::step`], and what `show` returns.
    pub fn step_with(
        &mut self,
        show: &mut Show,
        batches: Vec<Examples>,
        step: &Step,
        lr: f64,
    ) -> Result<LossValues, Error> {
        let taps = self.objective().taps();
        let share = 1.0 / batches.len().max(1) as f64;
        for (number, batch) in batches.into_iter().enumerate() {
            let shown = show(number, batch.images.clone().inner(), &taps.teacher)?;
            let shown = shown.map(Output::lift);
            let output = self.forward(batch.images.clone(), &taps.student);
            let pair = Pair {
                student: &output,
                teacher: shown.as_ref(),
                labels: &batch.labels,
                indices: batch.places.as_deref(),
            };
            if number == 0 {
                self.measure(false, &batch.images, &pair, step)?;
            }
            self.gather(&pair, step, share)?;
        }
        Ok(self.finish(share, lr))
    }

    /// The student's output for images on the autodiff device.
    pub(crate) fn forward(&self, images: Tensor<4>, taps: &Taps) -> Output {
        self.trainee().student.forward(images, taps)
    }

    /// Measures the norms of components' gradients on the student: of all of them with `all`, for the records
    /// of this step, and of those that the objective wants for its balance, which follows.
    ///
    /// A graph can be followed back once, so each component gets a forward pass of its own; on copies,
    /// whose running statistics and memories are their own, so that measuring changes nothing else.
    pub(crate) fn measure(
        &mut self,
        all: bool,
        images: &Tensor<4>,
        pair: &Pair,
        step: &Step,
    ) -> Result<(), Error> {
        let objective = self.objective();
        let wanted = objective.to_measure(step);
        let names = objective
            .names()
            .filter(|name| all || wanted.contains(name));
        let mut norms = BTreeMap::new();
        for name in names {
            let copy = self.trainee().valid().train();
            let taps = copy.objective.taps().student;
            let output = copy.student.forward(images.clone(), &taps);
            let pair = Pair {
                student: &output,
                ..*pair
            };
            let gradients = copy.objective.component(name, &pair, step)?.backward();
            let gradients = GradientsParams::from_grads(gradients, &copy.student);
            let squared = squared_norm(&copy.student, &gradients);
            let norm = squared.map_or(0.0, |s| f64::from(s.into_scalar::<f32>()).sqrt());
            norms.insert(name.to_string(), norm);
        }
        if !wanted.is_empty() {
            let factors = objective.factors_from(&norms)?;
            if let Some(trainee) = &mut self.trainee {
                trainee.objective.set_factors(&factors)?;
            }
        }
        self.gathered.norms = norms;
        Ok(())
    }

    /// Adds a batch's gradient to the step, `share` times.
    pub(crate) fn gather(&mut self, pair: &Pair, step: &Step, share: f64) -> Result<(), Error> {
        let mut gathered = std::mem::take(&mut self.gathered);
        let trainee = self.trainee();
        let Evaluation { total, components } = trainee.objective.forward(pair, step)?;
        gathered.names = components
            .iter()
            .map(|c| (c.name.clone(), c.weight))
            .collect();
        gathered.scalars.push(total.clone().inner());
        let values = components.into_iter().map(|c| c.value.inner());
        gathered.scalars.extend(values);
        let gradients = (total * share).backward();
        let gradients = GradientsParams::from_grads(gradients, trainee);
        gathered.gradients.accumulate(trainee, gradients);
        self.gathered = gathered;
        Ok(())
    }

    /// Ends the step: moves the weights, unless a loss or the gradient is not finite.
    pub(crate) fn finish(&mut self, share: f64, lr: f64) -> LossValues {
        let Gathered {
            gradients: mut accumulator,
            mut scalars,
            names,
            norms,
        } = std::mem::take(&mut self.gathered);
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
