//! Which maps of two networks are compared, and at which size.

use burn::tensor::{Device, Tensor};
use kd_kernels::average_pool;

use super::check;
use crate::{Error, Output, PairTaps, Part};

/// A level of the student with the level of the teacher that it is compared with.
pub(super) type LevelPair = [usize; 2];

/// Levels of the student, each with its counterpart in the teacher.
///
/// Networks are aligned at their last level: a network with more stages has its additional ones at the
/// front, where maps are large and features general. Without a list, these are all levels that
/// both networks have after their stems.
///
/// `loss` is the term that asks; both outputs are dry runs that kept their maps.
pub(super) fn pair_levels(
    loss: &'static str,
    listed: &[usize],
    student: &Output,
    teacher: &Output,
) -> Result<Vec<LevelPair>, Error> {
    let refuse = |expected: String| Error::Config {
        key: "levels".into(),
        value: format!("{listed:?}"),
        expected,
    };
    let counts = [student.levels(Part::Maps), teacher.levels(Part::Maps)];
    for (network, count) in ["student", "teacher"].into_iter().zip(counts) {
        if count == 0 {
            return Err(refuse(format!("the {network} has no feature maps")));
        }
    }
    let common = counts[0].min(counts[1]);
    let levels: Vec<usize> = match listed {
        [] if common == 1 => {
            return Err(refuse(
                "a network has no map but its stem's: list the student's levels to compare".into(),
            ));
        }
        [] => (counts[0] - common + 1..counts[0]).collect(),
        _ => listed.to_vec(),
    };
    let first = counts[0] - common;
    let mut pairs: Vec<LevelPair> = Vec::with_capacity(levels.len());
    for level in levels {
        if level < first || level >= counts[0] {
            return Err(refuse(format!(
                "the levels of the student that the teacher has too are {first} to {}, \
                 counted from the last",
                counts[0] - 1
            )));
        }
        if pairs.iter().any(|[known, _]| *known == level) {
            return Err(refuse(format!("{level} is listed twice")));
        }
        let pair = [level, level + counts[1] - counts[0]];
        check::not_empty(loss, &student.map(pair[0])?.dims())?;
        check::not_empty(loss, &teacher.map(pair[1])?.dims())?;
        pairs.push(pair);
    }
    Ok(pairs)
}

/// A level of the student, listed under the key `level`, with its counterpart in the teacher: both are as far from
/// the last.
pub(super) fn pair_level(
    loss: &'static str,
    level: usize,
    student: &Output,
    teacher: &Output,
) -> Result<LevelPair, Error> {
    match pair_levels(loss, &[level], student, teacher) {
        Ok(pairs) => Ok(pairs[0]),
        Err(Error::Config { expected, .. }) => Err(Error::Config {
            key: "level".into(),
            value: level.to_string(),
            expected,
        }),
        Err(other) => Err(other),
    }
}

/// As [`pair_levels`], for networks that show their maps before the activation too.
pub(super) fn pair_preact_levels(
    loss: &'static str,
    listed: &[usize],
    student: &Output,
    teacher: &Output,
) -> Result<Vec<LevelPair>, Error> {
    let pairs = pair_levels(loss, listed, student, teacher)?;
    for [of_student, of_teacher] in &pairs {
        student.map_preact(*of_student)?;
        teacher.map_preact(*of_teacher)?;
    }
    Ok(pairs)
}

/// The last level of both networks.
pub(super) fn last_levels(
    loss: &'static str,
    student: &Output,
    teacher: &Output,
) -> Result<LevelPair, Error> {
    let pair = [student, teacher].map(|network| network.levels(Part::Maps).saturating_sub(1));
    // A network without maps is reported as one, not as a wrong level.
    check::not_empty(loss, &student.map(pair[0])?.dims())?;
    check::not_empty(loss, &teacher.map(pair[1])?.dims())?;
    Ok(pair)
}

/// What a term asks of the networks when it compares these levels.
pub(super) fn taps(pairs: &[LevelPair]) -> PairTaps {
    PairTaps::levels(Part::Maps, pairs)
}

/// What a term asks of the networks when it compares these levels before their activation.
pub(super) fn taps_preact(pairs: &[LevelPair]) -> PairTaps {
    PairTaps::levels(Part::MapsPreact, pairs)
}

/// Sum of a loss over pairs of levels.
pub(super) fn sum_over(
    pairs: &[LevelPair],
    student: &Output,
    teacher: &Output,
    loss: impl Fn(Tensor<4>, Tensor<4>) -> Result<Tensor<1>, Error>,
) -> Result<Tensor<1>, Error> {
    let losses = pairs
        .iter()
        .map(|[of_student, of_teacher]| loss(student.map(*of_student)?, teacher.map(*of_teacher)?));
    sum(&student.logits.device(), losses)
}

/// Sum of losses; 0 on `device` when there is none.
pub(super) fn sum(
    device: &Device,
    losses: impl IntoIterator<Item = Result<Tensor<1>, Error>>,
) -> Result<Tensor<1>, Error> {
    let mut losses = losses.into_iter();
    let Some(first) = losses.next() else {
        return Ok(Tensor::zeros([1], device));
    };
    losses.try_fold(first?, |sum, loss| Ok(sum + loss?))
}

/// A map's mean over positions: `[batch, channels, height, width]` to `[batch, channels]`.
pub(super) fn average(map: Tensor<4>) -> Tensor<2> {
    map.flatten::<3>(2, 3).mean_dim(2).squeeze_dim(2)
}

/// Two maps `[batch, channels, height, width]` at one size: the larger is averaged down (adaptive
/// pooling), height and width each by itself.
pub(super) fn at_one_size(student: Tensor<4>, teacher: Tensor<4>) -> [Tensor<4>; 2] {
    let [_, _, height, width] = student.dims();
    let [_, _, other_height, other_width] = teacher.dims();
    let size = [height.min(other_height), width.min(other_width)];
    [student, teacher].map(|map| average_pool(map, size))
}
