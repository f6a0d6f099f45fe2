//! What a term sees of one batch, and when it sees it.

use std::sync::Arc;

use burn::tensor::{Bool, Device, Int, Tensor};

use crate::detection::Objects;
use crate::{Error, Output};

/// What the data say of a batch.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Targets {
    /// The class of each row, `[rows]`; of a mixed row, that of its own image.
    pub labels: Tensor<1, Int>,
    /// The share of each class in each row, `[rows, classes]`, where rows are mixed of several classes; none where
    /// each has one.
    pub shares: Option<Tensor<2>>,
    /// The objects of each image, for networks that find objects: which row is to find which of them is decided by a
    /// loss, and there are no labels.
    pub objects: Option<Arc<[Objects]>>,
    /// The rows whose class may be learned from, `[rows]`: of a graph the training nodes, of a language model the masked
    /// tokens. All of them when absent. Losses between networks compare the other rows too.
    pub labelled: Option<Tensor<1, Bool>>,
}

impl Targets {
    /// Targets of a classification: a class for each row, `[rows]`.
    pub fn labels(labels: Tensor<1, Int>) -> Self {
        Self {
            labels,
            shares: None,
            labelled: None,
            objects: None,
        }
    }

    /// Targets of a detection: the objects of each image.
    pub fn objects(objects: impl Into<Arc<[Objects]>>, device: &Device) -> Self {
        Self {
            objects: Some(objects.into()),
            ..Self::labels(Tensor::zeros([0], device))
        }
    }

    /// Targets of rows of which only some have a class to learn from, `[rows]`; the other classes may be anything.
    pub fn some_labels(labels: Tensor<1, Int>, labelled: Tensor<1, Bool>) -> Self {
        Self {
            labelled: Some(labelled),
            ..Self::labels(labels)
        }
    }

    /// Targets of mixed rows, such as those of mixup: the share of each class in each row, `[rows, classes]`, beside
    /// the class of its own image, `[rows]`.
    pub fn mixed(labels: Tensor<1, Int>, shares: Tensor<2>) -> Self {
        Self {
            labels,
            shares: Some(shares),
            objects: None,
            labelled: None,
        }
    }

    /// The targets on the autodiff device; themselves when they are there.
    pub fn lift(self) -> Self {
        if self.labels.device().is_autodiff() {
            return self;
        }
        Self {
            labels: Tensor::from_inner(self.labels),
            shares: self.shares.map(Tensor::from_inner),
            objects: self.objects,
            labelled: self.labelled.map(Tensor::from_inner),
        }
    }

    /// The targets on the plain device; themselves when they are there.
    pub fn lower(self) -> Self {
        Self {
            labels: self.labels.without_autodiff(),
            shares: self.shares.map(Tensor::without_autodiff),
            objects: self.objects,
            labelled: self.labelled.map(Tensor::without_autodiff),
        }
    }

    fn select_rows(&self, rows: &Tensor<1, Int>) -> Self {
        let (shares, labelled) = (self.shares.clone(), self.labelled.clone());
        Self {
            labels: self.labels.clone().select(0, rows.clone()),
            shares: shares.map(|shares| shares.select(0, rows.clone())),
            // Objects are of images, and rows are boxes.
            objects: self.objects.clone(),
            labelled: labelled.map(|labelled| labelled.select(0, rows.clone())),
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

    /// The class of each row, `[rows]`; of a mixed row, that of its own image.
    pub fn labels(&self) -> &'a Tensor<1, Int> {
        &self.targets.labels
    }

    /// The one class of each row, `[rows]`, for a loss that cannot work with shares of several.
    ///
    /// # Errors
    /// [`Error::Mixed`] where rows are mixed, and [`Error::Unlabelled`] where not every row has a class to learn from.
    pub fn class(&self) -> Result<&'a Tensor<1, Int>, Error> {
        match (&self.targets.shares, &self.targets.labelled) {
            (None, None) => Ok(self.labels()),
            (Some(_), _) => Err(Error::Mixed),
            (None, Some(_)) => Err(Error::Unlabelled),
        }
    }

    /// The objects of each image.
    ///
    /// # Errors
    /// [`Error::NoObjects`] where the data have none, as those of a classification.
    pub fn objects(&self) -> Result<&'a [Objects], Error> {
        self.targets.objects.as_deref().ok_or(Error::NoObjects)
    }

    /// The place of each sample in the training set.
    ///
    /// # Errors
    /// [`Error::NoIndices`] when the trainer did not say.
    pub fn indices(&self) -> Result<&'a [usize], Error> {
        self.indices.ok_or(Error::NoIndices)
    }

    /// The batch without the rows that do not count for one of the networks; none when all count.
    ///
    /// # Errors
    /// [`Error::Shape`] for a mask that is not as long as the logits.
    pub(crate) fn counted(&self) -> Result<Option<Counted>, Error> {
        let mut counts: Option<Tensor<1, Bool>> = None;
        let networks = [("student", Some(self.student)), ("teacher", self.teacher)];
        for (name, network) in networks {
            let Some((network, mask)) = network.and_then(|n| Some((n, n.counted.clone()?))) else {
                continue;
            };
            let ([rows, _], [marks]) = (network.logits.dims(), mask.dims());
            if rows != marks || rows != self.labels().dims()[0] {
                return Err(Error::Shape {
                    loss: "counted",
                    problem: format!(
                        "the {name} marks {marks} rows as counting or not, has logits for {rows}, \
                         and there are {} labels",
                        self.labels().dims()[0]
                    ),
                });
            }
            counts = Some(match counts {
                None => mask,
                Some(others) => others.bool_and(mask),
            });
        }
        Ok(counts.map(|mask| self.only(&mask.argwhere().squeeze_dim(1))))
    }

    /// Some rows of the batch.
    fn only(&self, rows: &Tensor<1, Int>) -> Counted {
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
        Counted {
            student: self.student.select_rows(rows),
            teacher: self.teacher.map(|teacher| teacher.select_rows(rows)),
            targets: self.targets.select_rows(rows),
            indices,
        }
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
