//! Numbers that were moved but not yet copied.

use super::compile::{Wrong, wrong};

/// In the place of a map: a channel of zeros.
pub(super) const ZEROS: usize = usize::MAX;

pub(super) const ALL: [f32; 2] = [f32::NEG_INFINITY, f32::INFINITY];

/// Channels of maps, in some order, with what is still to be done to each number.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// Map and channel of each channel.
    pub taken: Vec<(usize, usize)>,
    /// Sizes along the axes that the channels are on.
    pub axes: Vec<usize>,
    /// Height and width.
    pub size: [usize; 2],
    /// Whether height and width are axes.
    pub spatial: bool,
    /// A factor and a summand of each channel.
    pub affine: Option<[Vec<f32>; 2]>,
    /// Bounds, after that.
    pub clip: [f32; 2],
}

impl View {
    /// A whole map.
    pub fn of(map: usize, channels: usize, size: [usize; 2], spatial: bool) -> Self {
        Self {
            taken: (0..channels).map(|channel| (map, channel)).collect(),
            axes: vec![channels],
            size,
            spatial,
            affine: None,
            clip: ALL,
        }
    }

    /// Zeros.
    pub fn zeros(channels: usize, size: [usize; 2]) -> Self {
        let taken = vec![(ZEROS, 0); channels];
        Self {
            taken,
            ..Self::of(0, channels, size, true)
        }
    }

    /// The maps that channels come from, each once.
    pub fn sources(&self) -> Vec<usize> {
        let maps = self.taken.iter().map(|(map, _)| *map);
        let mut sources: Vec<usize> = maps.filter(|map| *map != ZEROS).collect();
        sources.sort_unstable();
        sources.dedup();
        sources
    }

    /// Whether nothing is left to be done but copying.
    pub fn is_plain(&self) -> bool {
        self.affine.is_none() && self.clip == ALL
    }

    /// The map that this is all of, in its order.
    pub fn whole(&self, channels: impl Fn(usize) -> usize) -> Option<usize> {
        let (map, _) = *self.taken.first().filter(|(map, _)| *map != ZEROS)?;
        let in_order = self
            .taken
            .iter()
            .copied()
            .eq((0..channels(map)).map(|c| (map, c)));
        (self.is_plain() && in_order).then_some(map)
    }

    /// The same numbers with axes of these sizes, without that of images.
    pub fn reshaped(mut self, sizes: &[usize]) -> Result<Self, Wrong> {
        let count: usize = sizes.iter().product();
        if count != self.taken.len() * self.size[0] * self.size[1] {
            return wrong("a reshape that mixes images");
        }
        (self.axes, self.spatial) = match sizes {
            [axes @ .., height, width] if !axes.is_empty() && [*height, *width] == self.size => {
                (axes.to_vec(), true)
            }
            sizes if self.size == [1, 1] => (sizes.to_vec(), false),
            _ => return wrong("a reshape that mixes channels and pixels"),
        };
        Ok(self)
    }

    /// Axes in another order.
    pub fn transposed(mut self, order: &[i64]) -> Result<Self, Wrong> {
        let (count, last) = (self.axes.len(), self.axes.len() + 1);
        let fixed = [0, last as i64, last as i64 + 1];
        let places = |place: usize| order.get(place).copied();
        let stays = places(0) == Some(0)
            && (!self.spatial
                || fixed[1..]
                    .iter()
                    .all(|at| places(*at as usize) == Some(*at)));
        if !stays || order.len() != 1 + count + 2 * usize::from(self.spatial) {
            return wrong("a transposition that moves images or pixels");
        }
        let order: Vec<usize> = order[1..=count]
            .iter()
            .map(|axis| *axis as usize - 1)
            .collect();
        let axes: Vec<usize> = order.iter().map(|axis| self.axes[*axis]).collect();
        self.taken = each(&axes)
            .map(|at| {
                let mut from = vec![0; count];
                for (axis, at) in order.iter().zip(at) {
                    from[*axis] = at;
                }
                self.taken[place(&self.axes, &from)]
            })
            .collect();
        self.axes = axes;
        Ok(self)
    }

    /// Some of an axis: from `start` to before `end`, every `step`.
    pub fn sliced(mut self, axis: usize, [start, end, step]: [i64; 3]) -> Result<Self, Wrong> {
        let size = match axis {
            0 => return wrong("a slice of images"),
            axis if axis <= self.axes.len() => self.axes[axis - 1],
            axis => self.size[(axis - 1 - self.axes.len()).min(1)],
        } as i64;
        let within = |at: i64| (if at < 0 { at + size } else { at }).clamp(0, size);
        let (start, end) = (within(start), within(end));
        if [start, end, step] == [0, size, 1] {
            return Ok(self);
        }
        if axis > self.axes.len() || step < 1 || start >= end {
            return wrong("a slice of pixels, or backwards");
        }
        let kept: Vec<usize> = (start..end)
            .step_by(step as usize)
            .map(|at| at as usize)
            .collect();
        let mut axes = self.axes.clone();
        axes[axis - 1] = kept.len();
        self.taken = each(&axes)
            .map(|mut at| {
                at[axis - 1] = kept[at[axis - 1]];
                self.taken[place(&self.axes, &at)]
            })
            .collect();
        self.axes = axes;
        Ok(self)
    }

    /// Views behind each other along an axis.
    pub fn joined(views: &[Self], axis: usize) -> Result<Self, Wrong> {
        let Some(first) = views.first() else {
            return wrong("a concatenation of nothing");
        };
        let others = |view: &Self| {
            let mut axes = view.axes.clone();
            if let Some(size) = axis.checked_sub(1).and_then(|axis| axes.get_mut(axis)) {
                *size = 0;
            }
            (axes, view.size, view.spatial)
        };
        let same = views.iter().all(|view| others(view) == others(first));
        if !same || axis == 0 || axis > first.axes.len() {
            return wrong("a concatenation along images or pixels");
        }
        let mut joined = first.clone();
        joined.axes[axis - 1] = views.iter().map(|view| view.axes[axis - 1]).sum();
        joined.taken = each(&joined.axes)
            .map(|mut at| {
                let mut source = &views[0];
                for view in views {
                    source = view;
                    let size = view.axes[axis - 1];
                    if at[axis - 1] < size {
                        break;
                    }
                    at[axis - 1] -= size;
                }
                source.taken[place(&source.axes, &at)]
            })
            .collect();
        Ok(joined)
    }

    /// Multiplied by, or added to, a constant of this shape.
    pub fn scaled(mut self, op: &str, shape: &[usize], by: &[f32]) -> Result<Self, Wrong> {
        let count = self.taken.len();
        let last = match self.spatial {
            true => vec![count, 1, 1],
            false => vec![count],
        };
        let along = shape.ends_with(&last) && self.axes.len() == 1;
        let by = match by {
            [one] => vec![*one; count],
            each if along && each.len() == count => each.to_vec(),
            _ => return wrong("a constant that is not one number for each channel"),
        };
        if self.clip != ALL {
            return wrong("a factor after a bound");
        }
        let affine = self.affine.take();
        let [mut factors, mut shifts] =
            affine.unwrap_or_else(|| [vec![1.0; count], vec![0.0; count]]);
        for ((factor, shift), by) in factors.iter_mut().zip(&mut shifts).zip(by) {
            match op {
                "Mul" => (*factor, *shift) = (*factor * by, *shift * by),
                "Sub" => *shift -= by,
                _ => *shift += by,
            }
        }
        self.affine = Some([factors, shifts]);
        Ok(self)
    }

    /// Bounded.
    pub fn clipped(mut self, [low, high]: [f32; 2]) -> Self {
        self.clip = self.clip.map(|end| end.max(low).min(high));
        self
    }
}

/// All places of axes of these sizes, the last one running fastest.
fn each(axes: &[usize]) -> impl Iterator<Item = Vec<usize>> {
    let axes = axes.to_vec();
    (0..axes.iter().product()).map(move |place: usize| {
        let mut left = place;
        let mut at = vec![0; axes.len()];
        for (at, size) in at.iter_mut().zip(&axes).rev() {
            (*at, left) = (left % size, left / size);
        }
        at
    })
}

fn place(axes: &[usize], at: &[usize]) -> usize {
    let pairs = axes.iter().zip(at);
    pairs.fold(0, |place, (size, at)| place * size + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channels(view: &View) -> Vec<usize> {
        view.taken.iter().map(|(_, channel)| *channel).collect()
    }

    #[test]
    fn a_shuffle_is_an_order_of_channels() {
        let view = View::of(0, 6, [4, 4], true);
        let view = view.reshaped(&[2, 3, 4, 4]).unwrap();
        let view = view.transposed(&[0, 2, 1, 3, 4]).unwrap();
        let view = view.reshaped(&[6, 4, 4]).unwrap();
        assert_eq!(channels(&view), [0, 3, 1, 4, 2, 5]);
        let half = view.clone().sliced(1, [3, i64::MAX, 1]).unwrap();
        assert_eq!(channels(&half), [4, 2, 5]);
        let joined = View::joined(&[half, view], 1).unwrap();
        assert_eq!(joined.axes, [9]);
        assert_eq!(channels(&joined), [4, 2, 5, 0, 3, 1, 4, 2, 5]);
    }

    #[test]
    fn parts_of_two_axes_are_interleaved() {
        let [a, b] = [0, 1].map(|map| {
            let view = View::of(map, 3, [2, 2], true);
            view.reshaped(&[3, 1, 2, 2]).unwrap()
        });
        let joined = View::joined(&[a, b], 2)
            .unwrap()
            .reshaped(&[6, 2, 2])
            .unwrap();
        assert_eq!(
            joined.taken,
            [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2)]
        );
    }

    #[test]
    fn what_mixes_pixels_is_refused() {
        let view = || View::of(0, 4, [2, 2], true);
        let told = |found: Result<View, Wrong>| found.unwrap_err().0;
        assert!(told(view().reshaped(&[16])).contains("channels and pixels"));
        assert!(told(view().transposed(&[0, 2, 1, 3])).contains("moves images or pixels"));
        assert!(told(view().sliced(2, [0, 1, 1])).contains("a slice of pixels"));
        assert!(told(View::joined(&[view(), view()], 3)).contains("along images or pixels"));
        assert_eq!(
            channels(&View::of(0, 4, [1, 1], true).reshaped(&[4]).unwrap()),
            [0, 1, 2, 3]
        );
    }

    #[test]
    fn bounds_and_factors_add_up() {
        let view = || View::of(0, 2, [1, 1], true);
        let each = view().scaled("Mul", &[1, 2, 1, 1], &[2.0, 3.0]).unwrap();
        let view = |view: View, op, by: f32| view.scaled(op, &[1], &[by]).unwrap();
        let view = view(view(each.clone(), "Add", 1.0), "Mul", 10.0);
        assert!(each.scaled("Mul", &[1, 1, 1, 2], &[2.0, 3.0]).is_err());
        assert_eq!(view.affine, Some([vec![20.0, 30.0], vec![10.0, 10.0]]));
        let view = view.clipped([0.0, f32::INFINITY]).clipped([-1.0, 6.0]);
        assert_eq!(view.clip, [0.0, 6.0]);
        assert!(!view.is_plain() && view.scaled("Mul", &[1], &[2.0]).is_err());
    }
}
