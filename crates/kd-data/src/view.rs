//! Where an image is moved and mirrored, and what is cut out of it: crop, flip and cutout.

use crate::Augment;
use crate::random::Stream;

/// How one image is seen in one epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// The view's column 0 is the image's column `dx` (before mirroring).
    pub dx: i32,
    /// The view's row 0 is the image's row `dy`.
    pub dy: i32,
    /// Whether the view is mirrored left to right.
    pub flip: bool,
    /// The part of the view that is cut out (after mirroring).
    pub cutout: Option<Hole>,
}

/// Rows `top..bottom` and columns `left..right`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "named by what they are")]
pub struct Hole {
    pub top: usize,
    pub bottom: usize,
    pub left: usize,
    pub right: usize,
}

impl Augment {
    /// The view of image `index` in `epoch`: a pure function of its arguments.
    pub fn view(
        &self,
        (height, width): (usize, usize),
        seed: u64,
        epoch: u64,
        index: usize,
    ) -> View {
        if (self.crop, self.flip, self.cutout) == (0, false, 0) {
            return View::default();
        }
        let mut random = Stream::new([seed, VIEW, epoch, index as u64]);
        // Beyond the image there is nothing to see, however far.
        let crop = self.crop.min(height.max(width));
        let cutout = self.cutout.min(2 * height.max(width));
        // Drawn whether used or not, so that switching one kind off leaves the others alone.
        let shift = |random: &mut Stream| random.below(2 * crop + 1) as i32 - crop as i32;
        let (dx, dy) = (shift(&mut random), shift(&mut random));
        let mirrored = random.below(2) == 1;
        let (row, column) = (random.below(height), random.below(width));
        // For an even side the hole is the original's: [centre - side/2, centre + side/2).
        let span = |centre: usize, end: usize| {
            let start = centre as i64 - (cutout / 2) as i64;
            let stop = start + cutout as i64;
            (start.max(0) as usize, stop.min(end as i64) as usize)
        };
        let ((top, bottom), (left, right)) = (span(row, height), span(column, width));
        View {
            dx,
            dy,
            flip: self.flip && mirrored,
            cutout: (cutout > 0).then_some(Hole {
                top,
                bottom,
                left,
                right,
            }),
        }
    }
}

/// Keeps these draws apart from others of the same seed.
const VIEW: u64 = 0x7669_6577;

impl View {
    /// Writes the normalised view of a channel.
    ///
    /// `table[p]` is what a pixel of value `p` becomes; `out` and `plane` are `height × width`.
    pub(crate) fn write(&self, plane: &[u8], table: &[f32; 256], width: usize, out: &mut [f32]) {
        let height = plane.len() / width.max(1);
        let shift = self.dx.unsigned_abs() as usize;
        // Columns of the view that lie in the image, before mirroring.
        let (first, last) = match self.dx {
            0.. => (0, width.saturating_sub(shift)),
            _ => (shift.min(width), width),
        };
        for (y, row) in out.chunks_exact_mut(width.max(1)).enumerate() {
            let from = y as i64 + i64::from(self.dy);
            if from < 0 || from >= height as i64 {
                row.fill(table[0]);
                continue;
            }
            let start = from as usize * width;
            let source = match self.dx {
                0.. => &plane[start + shift.min(width)..start + width],
                _ => &plane[start..start + width - first],
            };
            row[..first].fill(table[0]);
            row[last..].fill(table[0]);
            for (value, &pixel) in row[first..last].iter_mut().zip(source) {
                *value = table[usize::from(pixel)];
            }
            if self.flip {
                row.reverse();
            }
        }
        if let Some(hole) = self.cutout {
            for row in out
                .chunks_exact_mut(width.max(1))
                .take(hole.bottom)
                .skip(hole.top)
            {
                row[hole.left..hole.right].fill(0.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: (usize, usize) = (5, 7);

    /// The definition, pixel by pixel.
    fn plain(view: &View, plane: &[u8], (height, width): (usize, usize)) -> Vec<f32> {
        let mut out = Vec::new();
        for y in 0..height {
            for x in 0..width {
                let cut = view.cutout.is_some_and(|h| {
                    (h.top..h.bottom).contains(&y) && (h.left..h.right).contains(&x)
                });
                let column = if view.flip { width - 1 - x } else { x } as i32 + view.dx;
                let row = y as i32 + view.dy;
                let inside =
                    (0..width as i32).contains(&column) && (0..height as i32).contains(&row);
                out.push(match (cut, inside) {
                    (true, _) => 0.0,
                    (_, true) => f32::from(plane[row as usize * width + column as usize]) - 100.0,
                    (_, false) => -100.0,
                });
            }
        }
        out
    }

    #[test]
    fn a_written_view_is_the_definition() {
        let plane: Vec<u8> = (0..35).map(|i| i * 7 + 1).collect();
        let table: [f32; 256] = std::array::from_fn(|p| p as f32 - 100.0);
        let augment = Augment {
            crop: 9,
            cutout: 3,
            ..Augment::default()
        };
        for index in 0..2000 {
            let view = augment.view(SIZE, 3, 1, index);
            let mut out = vec![f32::NAN; 35];
            view.write(&plane, &table, SIZE.1, &mut out);
            assert_eq!(out, plain(&view, &plane, SIZE), "{view:?}");
        }
    }

    #[test]
    fn a_view_depends_on_seed_epoch_and_index_alone() {
        let augment = Augment {
            cutout: 8,
            ..Augment::default()
        };
        let views = |seed, epoch| -> Vec<View> {
            (0..100)
                .map(|i| augment.view((32, 32), seed, epoch, i))
                .collect()
        };
        assert_eq!(views(1, 1), views(1, 1));
        assert_ne!(views(1, 1), views(2, 1));
        assert_ne!(views(1, 1), views(1, 2));
        assert_ne!(views(1, 1)[0], views(1, 1)[1]);
        let plain = Augment {
            crop: 4,
            ..Augment::none()
        };
        for (index, view) in views(1, 1).iter().enumerate() {
            let moved = plain.view((32, 32), 1, 1, index);
            assert_eq!((moved.dx, moved.dy), (view.dx, view.dy));
            assert!(!moved.flip && moved.cutout.is_none());
        }
    }

    #[test]
    fn moves_and_flips_are_uniform_and_holes_have_their_size() {
        let augment = Augment {
            cutout: 5,
            ..Augment::default()
        };
        let (mut moves, mut flips) = ([[0u32; 9]; 2], 0);
        for index in 0..9000 {
            let view = augment.view((32, 32), 0, 0, index);
            moves[0][(view.dx + 4) as usize] += 1;
            moves[1][(view.dy + 4) as usize] += 1;
            flips += u32::from(view.flip);
            let hole = view.cutout.unwrap();
            for (start, stop) in [(hole.top, hole.bottom), (hole.left, hole.right)] {
                assert!(stop <= 32 && (3..=5).contains(&(stop - start)));
                assert!(stop - start == 5 || start == 0 || stop == 32);
            }
        }
        // Five standard deviations around 1,000 of 9,000 and 4,500 of 9,000.
        assert!(
            moves.iter().flatten().all(|n| (850..1150).contains(n)),
            "{moves:?}"
        );
        assert!((4263..4737).contains(&flips), "{flips}");
    }

    #[test]
    fn a_view_never_changes() {
        let augment = Augment {
            cutout: 8,
            ..Augment::default()
        };
        let hole = Hole {
            top: 24,
            bottom: 32,
            left: 9,
            right: 17,
        };
        let view = View {
            dx: 3,
            dy: 4,
            flip: true,
            cutout: Some(hole),
        };
        let message = "old runs could not be repeated any more";
        assert_eq!(augment.view((32, 32), 7, 3, 11), view, "{message}");
    }

    #[test]
    fn none_leaves_an_image_alone() {
        assert_eq!(Augment::none().view(SIZE, 1, 2, 3), View::default());
    }
}
