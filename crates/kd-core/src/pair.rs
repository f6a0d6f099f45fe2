//! What a term sees of one batch, and when it sees it.

use burn::tensor::{Int, Tensor};

use crate::{Error, Output};

/// One batch as student, teacher and data see it.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// The student's output, on the autodiff device.
    pub student: &'a Output,
    /// The teacher's output, lifted to the same device; none when a student trains alone.
    pub teacher: Option<&'a Output>,
    /// Class indices, `[batch]`.
    pub labels: &'a Tensor<1, Int>,
    /// Each sample's place in the training set, the same in every epoch, `[batch]`; only terms that
    /// keep something of every sample need it.
    pub indices: Option<&'a [usize]>,
}

impl<'a> Pair<'a> {
    /// The teacher's output.
    ///
    /// # Errors
    /// [`Error::NoTeacher`] when the student trains alone.
    pub fn teacher(&self) -> Result<&'a Output, Error> {
        self.teacher.ok_or(Error::NoTeacher)
    }

    /// Each sample's place in the training set.
    ///
    /// # Errors
    /// [`Error::NoIndices`] when the trainer did not say.
    pub fn indices(&self) -> Result<&'a [usize], Error> {
        self.indices.ok_or(Error::NoIndices)
    }
}

/// Where in training a batch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Epoch, counted from 1 as the literature does.
    pub epoch: usize,
    /// Epochs of the whole run.
    pub epochs: usize,
    /// Optimiser step of the run, counted from 0.
    pub index: usize,
}
