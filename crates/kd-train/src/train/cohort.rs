//! Students that train in one pass over the data, and who teaches them.

use burn::module::{Module, ModuleDisplay};
use burn::tensor::Tensor;
use kd_core::{Combine, Output, Pair, Step, Taps};
use kd_data::{Batch, Loader, View};
use kd_models::Backbone;

use super::member::Member;
use crate::Error;
use crate::cache::TeacherCache;
use crate::learner::{Examples, LossValues};

/// Who students learn from.
pub struct Lessons<'a, T: Module> {
    /// Teachers, on the plain device with BatchNorm frozen.
    pub teachers: Vec<&'a T>,
    /// How several become one.
    pub combine: Combine,
    /// Whether each student learns from the other students as well (deep mutual learning: Zhang et al.,
    /// CVPR 2018): from what they say of the same batch, without a gradient to them.
    pub mutual: bool,
    /// Keeps what the only teacher says.
    pub cache: Option<&'a mut TeacherCache>,
}

impl<T: Module> Lessons<'_, T> {
    /// Labels alone.
    pub fn none() -> Self {
        Self {
            teachers: Vec::new(),
            combine: Combine::default(),
            mutual: false,
            cache: None,
        }
    }
}

/// All students of a training with their lessons.
pub(super) struct Cohort<'a, S: Module + ModuleDisplay, T: Module> {
    pub members: Vec<Member<S>>,
    pub lessons: Lessons<'a, T>,
}

impl<S, T> Cohort<'_, S, T>
where
    S: Backbone<Input = Tensor<4>>,
    T: Backbone<Input = Tensor<4>>,
{
    /// One optimiser step of every student over a group of batches of an epoch; with `measure`, the
    /// gradient of every component on the first batch is measured, else those that a balance asks for.
    pub fn step(
        &mut self,
        group: &[Batch],
        examples: Vec<Examples>,
        train: &Loader,
        at: &Step,
        lr: f64,
        measure: bool,
    ) -> Result<Vec<LossValues>, Error> {
        let share = 1.0 / group.len().max(1) as f64;
        let asked = self.asked();
        for (place, (batch, examples)) in group.iter().zip(examples).enumerate() {
            let first = place == 0;
            let images: Vec<_> = batch
                .indices
                .iter()
                .map(|&index| (index, train.view(at.epoch as u64, index)))
                .collect();
            let plain = examples.images.clone().inner();
            let shown = self.shown(plain, &asked, &images)?;
            let outputs: Vec<Output> = self
                .members
                .iter()
                .map(|member| {
                    let own = member.learner.objective().taps().student;
                    let taps = match self.lessons.mutual {
                        true => own.union(asked.clone()),
                        false => own,
                    };
                    member.learner.forward(examples.images.clone(), &taps)
                })
                .collect();
            let labels = examples.labels.clone().inner();
            for (number, member) in self.members.iter_mut().enumerate() {
                let mut teachers = shown.clone();
                if self.lessons.mutual {
                    let others = outputs.iter().enumerate().filter(|(i, _)| *i != number);
                    teachers.extend(others.map(|(_, output)| output.clone().lower()));
                }
                let teacher = match teachers.is_empty() {
                    true => None,
                    false => Some(self.lessons.combine.apply(teachers, &labels)?.lift()),
                };
                let pair = Pair {
                    student: &outputs[number],
                    teacher: teacher.as_ref(),
                    labels: &examples.labels,
                    indices: examples.places.as_deref(),
                };
                if first {
                    let images = &examples.images;
                    member.learner.measure(measure, images, &pair, at)?;
                }
                member.learner.gather(&pair, at, share)?;
            }
        }
        let members = self.members.iter_mut();
        Ok(members.map(|m| m.learner.finish(share, lr)).collect())
    }

    /// What the objectives together ask of a teacher.
    fn asked(&self) -> Taps {
        self.members
            .iter()
            .map(|member| member.learner.objective().taps().teacher)
            .fold(Taps::none(), Taps::union)
    }

    /// What every teacher says of a batch on the plain device.
    fn shown(
        &mut self,
        images: Tensor<4>,
        taps: &Taps,
        images: &[(usize, View)],
    ) -> Result<Vec<Output>, Error> {
        let Lessons {
            teachers, cache, ..
        } = &mut self.lessons;
        match (teachers.as_slice(), cache) {
            ([teacher], Some(cache)) => Ok(vec![cache.output(*teacher, images, images)?]),
            (teachers, _) => Ok(teachers
                .iter()
                .map(|teacher| teacher.forward(images.clone(), taps))
                .collect()),
        }
    }
}
