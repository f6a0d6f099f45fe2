//! What a term sees of one batch, and when it sees it.

use burn::tensor::{Int, Tensor};

use crate::{Error, Output};

/// What the data say of a batch.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Targets {
    /// The class of each row, `[rows]`.
    pub labels: Tensor<1, Int>,
}

impl Targets {
    /// Targets of a classification: a class for each row, `[rows]`.
    pub fn labels(labels: Tensor<1, Int>) -> Self {
        Self { labels }
    }

    /// The targets on the autodiff device; themselves when they are there.
    pub fn lift(self) -> Self {
        if self.labels.device().is_autodiff() {
            return self;
        }
        Self {
            labels: Tensor::from_inner(self.labels),
        }
    }

    /// The targets on the plain device; themselves when they are there.
    pub fn lower(self) -> Self {
        Self {
            labels: self.labels.without_autodiff(),
        }
    }

    fn select_rows(&self, rows: &Tensor<1, Int>) -> Self {
        Self {
            labels: self.labels.clone().select(0, rows.clone()),
        }
    }
}

impl From<Tensor<1, Int>> for Targets {
    fn from(labels: Tensor<1, Int>) -> Self {
        Self::labels(labels)
    }
}

/// One batch as student, teacher and data see it.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// The student's output, on the autodiff device.
    pub student: &'a Output,
    /// The teacher's output, lifted to the same device; none when a student trains alone.
    pub teacher: Option<&'a Output>,
    /// What the data say, on the same device.
    pub targets: &'a Targets,
    /// The place of each sample in the training set, the same in every epoch, `[batch]`. Only terms
    /// that keep something of every sample need it.
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

    /// The class of each row, `[rows]`.
    pub fn labels(&self) -> &'a Tensor<1, Int> {
        &self.targets.labels
    }

    /// The place of each sample in the training set.
    ///
    /// # Errors
    /// [`Error::NoIndices`] when the trainer did not say.
    pub fn indices(&self) -> Result<&'a [usize], Error> {
        self.indices.ok_or(Error::NoIndices)
    }

    /// The batch without the rows that do not count for one of the networks; none when all count.
    pub(crate) fn counted(&self) -> Option<Counted> {
        let masks = [Some(self.student), self.teacher];
        let mut masks = masks
            .into_iter()
            .flatten()
            .filter_map(|o| o.counted.clone());
        let first = masks.next()?;
        let mask = masks.fold(first, Tensor::bool_and);
        let rows = mask.argwhere().squeeze_dim::<1>(1);
        let [all] = self.labels().dims();
        let indices = self.indices.map(|indices| {
            if indices.len() == all {
                let rows = rows.clone().into_data();
                rows.iter::<i64>()
                    .map(|row| indices[row as usize])
                    .collect()
            } else {
                indices.to_vec()
            }
        });
        Some(Counted {
            student: self.student.select_rows(&rows),
            teacher: self.teacher.map(|teacher| teacher.select_rows(&rows)),
            targets: self.targets.select_rows(&rows),
            indices,
        })
    }
}

/// The rows of a batch that count.
pub(crate) struct Counted {
    student: Output,
    teacher: Option<Output>,
    targets: Targets,
    indices: Option<Vec<usize>>,
}

impl Counted {
    pub(crate) fn pair(&self) -> Pair<'_> {
        Pair {
            student: &self.student,
            teacher: self.teacher.as_ref(),
            targets: &self.targets,
            indices: self.indices.as_deref(),
        }
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
