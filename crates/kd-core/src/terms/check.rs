//! What every loss asks of its arguments before it computes.

use burn::tensor::{Int, Tensor};

use crate::{Error, Output};

/// Refuses two tensors of different shapes and an empty batch.
pub(crate) fn same_shape<const D: usize>(
    loss: &'static str,
    student: &Tensor<D>,
    teacher: &Tensor<D>,
) -> Result<(), Error> {
    let (student, teacher) = (student.dims(), teacher.dims());
    if student != teacher {
        return Err(Error::Shape {
            loss,
            problem: format!("the student has shape {student:?} and the teacher {teacher:?}"),
        });
    }
    not_empty(loss, &student)
}

/// Refuses a tensor without elements, whose mean would be NaN.
pub(super) fn not_empty(loss: &'static str, shape: &[usize]) -> Result<(), Error> {
    if shape.contains(&0) {
        return Err(Error::Shape {
            loss,
            problem: format!("a tensor of shape {shape:?} holds no numbers"),
        });
    }
    Ok(())
}

/// Refuses tensors of different batch sizes and tensors without elements; the rest of the shapes may
/// differ.
pub(super) fn same_batch<const D: usize>(
    loss: &'static str,
    student: &Tensor<D>,
    teacher: &Tensor<D>,
) -> Result<(), Error> {
    let (student, teacher) = (student.dims(), teacher.dims());
    if student[0] != teacher[0] {
        return Err(Error::Shape {
            loss,
            problem: format!(
                "the student has shape {student:?} and the teacher {teacher:?}: batch sizes differ"
            ),
        });
    }
    not_empty(loss, &student)?;
    not_empty(loss, &teacher)
}

/// Refuses maps `[batch, channels, ..]` whose channels differ.
pub(super) fn same_channels<const D: usize>(
    loss: &'static str,
    student: &Tensor<D>,
    teacher: &Tensor<D>,
) -> Result<(), Error> {
    same_second(loss, student.dims(), teacher.dims(), "channels")
}

/// Refuses sequences `[batch, tokens, width]` whose numbers of tokens differ.
pub(super) fn same_tokens(
    loss: &'static str,
    student: &Tensor<3>,
    teacher: &Tensor<3>,
) -> Result<(), Error> {
    same_second(loss, student.dims(), teacher.dims(), "numbers of tokens")
}

fn same_second<const D: usize>(
    loss: &'static str,
    student: [usize; D],
    teacher: [usize; D],
    what: &str,
) -> Result<(), Error> {
    if student[1] == teacher[1] {
        return Ok(());
    }
    Err(Error::Shape {
        loss,
        problem: format!(
            "the student has shape {student:?} and the teacher {teacher:?}: {what} differ"
        ),
    })
}

/// Refuses what [`same_batch`] does, and a batch without pairs.
pub(super) fn same_batch_of_pairs<const D: usize>(
    loss: &'static str,
    student: &Tensor<D>,
    teacher: &Tensor<D>,
) -> Result<(), Error> {
    same_batch(loss, student, teacher)?;
    let batch = student.dims()[0];
    if batch < 2 {
        return Err(Error::Shape {
            loss,
            problem: format!(
                "relations need a batch of at least 2, this one has {batch}; drop the last \
                 incomplete batch or change the batch size"
            ),
        });
    }
    Ok(())
}

/// Refuses labels that are not one a row of the logits.
pub(super) fn labels_fit(
    loss: &'static str,
    logits: &Tensor<2>,
    labels: &Tensor<1, Int>,
) -> Result<(), Error> {
    let ([batch, classes], [count]) = (logits.dims(), labels.dims());
    if batch != count {
        return Err(Error::Shape {
            loss,
            problem: format!("{count} labels for logits of shape [{batch}, {classes}]"),
        });
    }
    not_empty(loss, &[batch, classes])
}

/// Refuses two networks that do not tell the same number of classes apart.
pub(super) fn same_classes(
    loss: &'static str,
    student: &Output,
    teacher: &Output,
) -> Result<(), Error> {
    let ([_, student], [_, teacher]) = (student.logits.dims(), teacher.logits.dims());
    if student == teacher {
        return Ok(());
    }
    Err(Error::Shape {
        loss,
        problem: format!(
            "the student has {student} classes and the teacher {teacher}; \
             logits can be compared only class by class"
        ),
    })
}

/// Refuses levels that do not form pairs of neighbours: fewer than two, or out of order.
pub(super) fn neighbours(key: &str, levels: &[[usize; 2]]) -> Result<(), Error> {
    if levels.len() >= 2 && levels.is_sorted() {
        return Ok(());
    }
    let listed: Vec<_> = levels.iter().map(|[level, _]| level).collect();
    Err(Error::Config {
        key: key.into(),
        value: format!("{listed:?}"),
        expected: "must be at least two levels, from the first to the last".into(),
    })
}

/// Whether levels are below `end`, each listed once.
pub(super) fn each_once_below(levels: &[usize], end: usize) -> bool {
    let new = |i: usize| !levels[..i].contains(&levels[i]);
    (0..levels.len()).all(|i| levels[i] < end && new(i))
}

/// Refuses a value that is not a finite number above zero.
pub(crate) fn positive(key: &str, value: f64) -> Result<(), Error> {
    check(key, value, value > 0.0, "must be a number above 0")
}

/// Refuses a value that is not a finite number of at least zero.
pub(crate) fn not_negative(key: &str, value: f64) -> Result<(), Error> {
    check(key, value, value >= 0.0, "must be a number of at least 0")
}

/// Refuses a value that is not a finite number above `bound`.
pub(crate) fn above(key: &str, value: f64, bound: f64) -> Result<(), Error> {
    let expected = format!("must be a number above {bound}");
    check(key, value, value > bound, &expected)
}

/// Refuses a value outside `[0, 1)`.
pub(crate) fn fraction(key: &str, value: f64) -> Result<(), Error> {
    let fits = (0.0..1.0).contains(&value);
    check(key, value, fits, "must be at least 0 and below 1")
}

/// Refuses a value outside `[0, 1]`.
pub(crate) fn share(key: &str, value: f64) -> Result<(), Error> {
    let fits = (0.0..=1.0).contains(&value);
    check(key, value, fits, "must be a number from 0 to 1")
}

fn check(key: &str, value: f64, fits: bool, expected: &str) -> Result<(), Error> {
    if fits && value.is_finite() {
        return Ok(());
    }
    Err(Error::Config {
        key: key.into(),
        value: value.to_string(),
        expected: expected.into(),
    })
}
