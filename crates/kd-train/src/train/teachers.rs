//! Who students learn from.

use burn::module::Module;
use kd_core::{Combine, Output, Taps};
use kd_kernels::PreparedWeights;
use kd_models::Backbone;

use crate::Error;
use crate::cache::TeacherCache;

/// Who students learn from.
pub struct Teachers<'a, T: Module> {
    /// Teachers, on the plain device with BatchNorm frozen.
    pub networks: Vec<&'a T>,
    /// How several become one.
    pub combine: Combine,
    /// Whether each student learns from the other students as well (deep mutual learning: Zhang et al.,
    /// CVPR 2018): from their outputs on the same batch, without a gradient to them.
    pub mutual: bool,
    /// Keeps the outputs of the only teacher.
    pub cache: Option<&'a mut TeacherCache>,
    /// The teachers' weights as the kernels read them.
    pub prepared: PreparedWeights,
}

impl<T: Module> Teachers<'_, T> {
    /// Labels alone.
    pub fn none() -> Self {
        Self {
            networks: Vec::new(),
            combine: Combine::default(),
            mutual: false,
            cache: None,
            prepared: PreparedWeights::new(),
        }
    }
}

impl<T: Backbone> Teachers<'_, T> {
    /// The outputs of every teacher for a batch on the plain device. `samples` are the number and the view
    /// of each of its samples.
    pub(super) fn outputs(
        &mut self,
        input: T::Input,
        taps: &Taps,
        samples: &[(usize, u64)],
    ) -> Result<Vec<Output>, Error> {
        let prepared = self.prepared.clone();
        prepared.run(|| match (self.networks.as_slice(), &mut self.cache) {
            ([teacher], Some(cache)) => Ok(vec![cache.output(*teacher, input, samples)?]),
            (teachers, _) => Ok(teachers
                .iter()
                .map(|teacher| teacher.forward(input.clone(), taps))
                .collect()),
        })
    }
}
