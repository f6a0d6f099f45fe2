//! Fine-grained feature imitation: near objects, the student's map is the teacher's.
//!
//! A cell counts for an object when one of its anchors has an IoU with it above `threshold` times the best that any
//! anchor of the level has. With `m` 1 at cells that count for any object:
//!
//! `L = Σ m · (s − t)² / (2 · Σ m)`, over batch, channels and positions; 0 where no cell counts.
//!
//! Source: T. Wang, L. Yuan, X. Zhang, J. Feng, "Distilling Object Detectors with Fine-Grained Feature Imitation",
//! CVPR 2019.

use burn::tensor::{Tensor, TensorData};

use crate::Error;
use crate::detection::{Corners, Overlaps};
use crate::terms::check;

/// Which cells count for the objects of an image: one value a cell, from the level's anchors, listed by cell. The
/// paper's threshold is 0.5.
///
/// # Panics
/// When the anchors are not equally many at each of `cells`.
pub fn imitation_mask(
    objects: &[Corners],
    anchors: &[Corners],
    cells: usize,
    threshold: f64,
) -> Vec<bool> {
    assert!(
        cells > 0 && anchors.len().is_multiple_of(cells),
        "{} anchors for {cells} cells",
        anchors.len()
    );
    let a_cell = anchors.len() / cells;
    let mut mask = vec![false; cells];
    for row in Overlaps::new(objects, anchors).rows() {
        let best = row.iter().fold(0.0_f64, |best, overlap| best.max(*overlap));
        for (counts, overlaps) in mask.iter_mut().zip(row.chunks(a_cell)) {
            *counts |= overlaps.iter().any(|overlap| *overlap > threshold * best);
        }
    }
    mask
}

/// Imitation of one level, from maps `[batch, channels, height, width]` of one shape and the cells that count of each
/// image ([`imitation_mask`]).
///
/// No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when the shapes differ or a mask is not one value a cell.
pub fn fine_grained_imitation(
    student: Tensor<4>,
    teacher: Tensor<4>,
    masks: &[Vec<bool>],
) -> Result<Tensor<1>, Error> {
    check::same_shape("fine_grained_imitation", &student, &teacher)?;
    let [batch, _, height, width] = student.dims();
    if masks.len() != batch || masks.iter().any(|mask| mask.len() != height * width) {
        return Err(Error::Shape {
            loss: "fine_grained_imitation",
            problem: format!(
                "masks of {:?} cells for maps of shape {:?}",
                masks.iter().map(Vec::len).collect::<Vec<_>>(),
                student.dims()
            ),
        });
    }
    let counts: Vec<f64> = masks
        .concat()
        .iter()
        .map(|c| f64::from(u8::from(*c)))
        .collect();
    let cells = counts.iter().sum::<f64>().max(1.0);
    let mask = TensorData::new(counts, [batch, 1, height, width]);
    let mask = Tensor::<4>::from_data(mask, (&student.device(), student.dtype()));
    Ok(((student - teacher.detach()).square() * mask).sum() / (2.0 * cells))
}
