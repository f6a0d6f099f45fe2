//! One optimiser step of one student or of several: the only one there is.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Device;
use kd_core::{Combine, Evaluation, Output, Pair, Step, Taps, Targets};
use kd_models::{Backbone, Input};

use crate::gradients::squared_norm;
use crate::learner::{Learner, LossValues};
use crate::{Batch, Error};

/// A batch of a step.
#[derive(Clone, Debug)]
pub struct Examples<I> {
    /// What the networks read.
    pub input: I,
    /// What the data say.
    pub targets: Targets,
    /// The place of each sample in the training set; some terms need it.
    pub places: Option<Vec<usize>>,
}

impl<I, T: Into<Targets>> From<(I, T)> for Examples<I> {
    fn from((input, targets): (I, T)) -> Self {
        Self {
            input,
            targets: targets.into(),
            places: None,
        }
    }
}

impl<I> From<Batch<I>> for Examples<I> {
    fn from(batch: Batch<I>) -> Self {
        (batch.input, batch.targets).into()
    }
}

/// Gives the outputs of every teacher for a batch, on the plain device: the number of the batch in the
/// step, its input on the plain device, and what the objectives read.
pub type TeacherFn<'a, I> = dyn FnMut(usize, I, &Taps) -> Result<Vec<Output>, Error> + 'a;

/// How a step is taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StepPlan {
    /// How several teachers become one.
    pub combine: Combine,
    /// Whether each student learns from the other students too.
    pub mutual: bool,
    /// Whether the gradient norm of every component is measured on the first batch; else only those
    /// that a balance asks for are.
    pub measure_all: bool,
    /// Where in training the step stands.
    pub at: Step,
    /// Learning rate.
    pub lr: f64,
    /// Seed of what networks draw in a forward pass, such as dropout; with none they draw what comes next.
    pub seed: Option<u64>,
}

impl StepPlan {
    /// Seeds what a student draws for a batch. It follows from where the training stands, so that a training that
    /// was interrupted goes on with the same draws.
    fn seed(&self, device: &Device, number: usize, student: usize) {
        if let Some(seed) = self.seed {
            let key = [self.at.index, number, student].map(|part| part as u64);
            device.seed(key.into_iter().fold(seed, mix));
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014) of a state and one part more.
pub(crate) fn mix(state: u64, part: u64) -> u64 {
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    let z = (state ^ part.wrapping_mul(GOLDEN)).wrapping_add(GOLDEN);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// One optimiser step of every student over `batches` (several when gradients are accumulated).
/// Results are in the order of `students`.
///
/// Weights stay as they are when a loss or the gradient is not finite: see [`LossValues::not_finite`].
///
/// # Errors
/// [`Error::Core`] when a term cannot work on these outputs, and what `teachers` returns.
pub(crate) fn step<S: Backbone>(
    students: &mut [&mut Learner<S>],
    teachers: &mut TeacherFn<S::Input>,
    batches: Vec<Examples<S::Input>>,
    plan: &StepPlan,
) -> Result<Vec<LossValues>, Error> {
    if batches.is_empty() {
        return Err(Error::Recipe("a step needs at least one batch".into()));
    }
    let share = 1.0 / batches.len() as f64;
    let asked = students
        .iter()
        .map(|student| student.objective().taps().teacher)
        .fold(Taps::none(), Taps::union);
    for (number, batch) in batches.into_iter().enumerate() {
        let plain = batch.input.clone().lower();
        let shown = teachers(number, plain, &asked)?;
        let input = batch.input.lift();
        let device = input.device();
        let outputs: Vec<Output> = students
            .iter()
            .enumerate()
            .map(|(place, student)| {
                plan.seed(&device, number, place);
                let own = student.objective().taps().student;
                let taps = if plan.mutual {
                    own.union(asked.clone())
                } else {
                    own
                };
                student.forward(input.clone(), &taps)
            })
            .collect();
        let labels = batch.targets.clone().lower().labels;
        let targets = batch.targets.lift();
        for (place, student) in students.iter_mut().enumerate() {
            let mut teachers = shown.clone();
            if plan.mutual {
                let others = outputs.iter().enumerate().filter(|(i, _)| *i != place);
                teachers.extend(others.map(|(_, output)| output.clone().lower()));
            }
            let teacher = if teachers.is_empty() {
                None
            } else {
                Some(plan.combine.apply(teachers, &labels)?.lift())
            };
            let pair = Pair {
                student: &outputs[place],
                teacher: teacher.as_ref(),
                targets: &targets,
                indices: batch.places.as_deref(),
            };
            if number == 0 {
                student.measure_gradient_norms(plan, place, &input, &pair)?;
            }
            student.backward(&pair, &plan.at, share)?;
        }
    }
    let students = students.iter_mut();
    Ok(students.map(|s| s.optimizer_step(share, plan.lr)).collect())
}

impl<S: Backbone> Learner<S> {
    /// Measures the norms of components' gradients on the student: of all of them with `measure_all`, for the
    /// records of this step, and of those that the objective wants for its balance, which follows.
    ///
    /// A graph can be followed back once, so each component gets a forward pass of its own, with the same draws; on
    /// copies, whose running statistics and memories are their own, so that measuring changes nothing else.
    fn measure_gradient_norms(
        &mut self,
        plan: &StepPlan,
        place: usize,
        input: &S::Input,
        pair: &Pair,
    ) -> Result<(), Error> {
        let (all, at) = (plan.measure_all, &plan.at);
        let device = input.device();
        let objective = self.objective();
        let wanted = objective.to_measure(at);
        let names = objective
            .names()
            .filter(|name| all || wanted.contains(name));
        let mut norms = BTreeMap::new();
        for name in names {
            let copy = self.trainee().valid().train();
            let taps = copy.objective.taps().student;
            plan.seed(&device, 0, place);
            let output = copy.student.forward(input.clone(), &taps);
            let pair = Pair {
                student: &output,
                ..*pair
            };
            let gradients = copy.objective.component(name, &pair, at)?.backward();
            let gradients = GradientsParams::from_grads(gradients, &copy.student);
            let squared = squared_norm(&copy.student, &gradients);
            let norm = squared.map_or(0.0, |s| f64::from(s.into_scalar::<f32>()).sqrt());
            norms.insert(name.to_string(), norm);
        }
        if !wanted.is_empty() {
            let factors = objective.factors_from(&norms)?;
            self.set_factors(&factors)?;
        }
        self.accumulator.norms = norms;
        Ok(())
    }

    /// Adds a batch's gradient to the step, `share` times.
    fn backward(&mut self, pair: &Pair, at: &Step, share: f64) -> Result<(), Error> {
        let mut accumulator = std::mem::take(&mut self.accumulator);
        let trainee = self.trainee();
        let Evaluation { total, components } = trainee.objective.forward(pair, at)?;
        accumulator.names = components
            .iter()
            .map(|c| (c.name.clone(), c.weight))
            .collect();
        accumulator.scalars.push(total.clone().inner());
        let values = components.into_iter().map(|c| c.value.inner());
        accumulator.scalars.extend(values);
        let gradients = (total * share).backward();
        let gradients = GradientsParams::from_grads(gradients, trainee);
        accumulator.gradients.accumulate(trainee, gradients);
        self.accumulator = accumulator;
        Ok(())
    }
}
