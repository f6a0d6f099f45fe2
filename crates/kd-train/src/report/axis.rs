//! What an axis shows: its range, its labels, and how far a value beyond it went.

use serde::Serialize;

use super::downsample::{Line, Span, extent, padded};
use super::words::{prefixed, significant, without_zeros};

pub(super) const Y_LABELS: usize = 6;

/// How an axis follows its values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scale {
    /// From the lowest to the highest.
    Linear,
    /// From zero, so that noise is not made to look large.
    FromZero,
    /// From 0 to 100 %, spikes and all.
    Percent,
    /// Logarithmic for positive values over more than two decades, otherwise linear.
    Wide,
}

/// Where the data lie in the image, for the values under the pointer.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Frame {
    pub x: Span,
    pub y: Span,
    pub log: bool,
    pub pixels: (i32, i32, i32, i32),
}

impl Frame {
    /// Holds all lines but for spikes; none when they hold no point.
    pub fn of(lines: &[Line], scale: Scale) -> Option<Self> {
        let (x, y) = extent(lines)?;
        let log = scale == Scale::Wide && y.0 > 0.0 && y.1 > 100.0 * y.0;
        let y = match scale {
            _ if log => y,
            Scale::Percent => (0.0, 100.0),
            _ => without_spikes(lines, y),
        };
        Some(Self {
            x: padded(x, 0.0, 0.5),
            y: match scale {
                _ if log => padded((y.0.log10(), y.1.log10()), 0.04, 0.5),
                // A line at 100 % is whole.
                Scale::Percent => (y.0, y.1 + 2.0),
                Scale::FromZero if y.0 >= 0.0 => (0.0, (y.1 * 1.06).max(1e-3)),
                // Only zeros: an accuracy or a weight that cannot be below.
                _ if y == (0.0, 0.0) => (0.0, 1.0),
                _ => padded(y, 0.06, (y.0.abs() * 0.1).max(1e-3)),
            },
            log,
            pixels: (0, 0, 0, 0),
        })
    }

    /// The place of a value on the axis, cut at its ends.
    pub fn place(&self, value: f64) -> f64 {
        let value = if self.log { value.log10() } else { value };
        value.clamp(self.y.0, self.y.1)
    }

    /// Whether a value lies beyond the axis.
    pub fn beyond(&self, value: f64) -> bool {
        !self.log && (value < self.y.0 || value > self.y.1)
    }
}

/// Points of a line below which it has no spikes.
const FEW: usize = 5;
/// A spike is so many times as far from the other values as they are from each other.
const FAR: f64 = 4.0;

/// The range of all lines without spikes, which would make a flat line of everything else. What a spike is
/// each line says by its own values: those beyond the 5 % and 95 % quantiles, far from both.
fn without_spikes(lines: &[Line], all: Span) -> Span {
    let own = lines.iter().filter_map(|line| {
        let mut values: Vec<f64> = line.points.iter().map(|p| p.1).collect();
        values.sort_by(f64::total_cmp);
        let (first, last) = (*values.first()?, *values.last()?);
        let top = (values.len() - 1) as f64;
        let low = values[(0.05 * top).ceil() as usize];
        let high = values[(0.95 * top).floor() as usize];
        let spread = high - low;
        if values.len() < FEW || spread <= 0.0 {
            return Some((first, last));
        }
        let far = FAR * spread;
        Some((
            if low - first > far {
                low - spread
            } else {
                first
            },
            if last - high > far {
                high + spread
            } else {
                last
            },
        ))
    });
    let kept = own.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
    let kept = kept.unwrap_or(all);
    // The band around a line may be cut where the line is, and only then.
    let cut = |kept: Span, all: Span| kept.1 < all.1 || kept.0 > all.0;
    let lines_only = lines.iter().flat_map(|line| &line.points);
    let span = lines_only.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), p| {
        (l.min(p.1), h.max(p.1))
    });
    match cut(kept, span) {
        true => kept,
        false => all,
    }
}

/// A value beside its axis, with the decimals that tell it from its neighbours.
pub(super) fn value_label(value: f64, frame: Frame) -> String {
    if frame.log {
        return significant(10f64.powf(value), 2);
    }
    let least_step = (frame.y.1 - frame.y.0) / Y_LABELS as f64;
    if least_step >= 100.0 {
        return prefixed(value, "");
    }
    // What is left of rounding where the axis passes zero is zero.
    let value = if value.abs() < 1e-9 * least_step {
        0.0
    } else {
        value
    };
    let decimals = (-least_step.log10().floor()).clamp(0.0, 12.0) as usize;
    without_zeros(&format!("{value:.decimals$}"))
}

/// At most one label for each whole number of the axis, and never more than six.
pub(super) fn whole_ticks((low, high): (f64, f64)) -> usize {
    ((high - low).floor() as usize + 1).clamp(1, 6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::palette::NETWORKS;

    fn line(points: Vec<(f64, f64)>) -> Line {
        Line {
            name: "distilled".into(),
            color: NETWORKS[0],
            dashed: false,
            points,
            band: Vec::new(),
        }
    }

    fn over_epochs(values: impl Iterator<Item = f64>) -> Line {
        line(values.enumerate().map(|(x, y)| (x as f64, y)).collect())
    }

    #[test]
    fn one_spike_does_not_flatten_the_axis() {
        let loss = |epoch: usize| {
            if epoch == 7 {
                40.0
            } else {
                2.0 - 0.05 * epoch as f64
            }
        };
        let spiky = over_epochs((0..20).map(loss));
        let frame = Frame::of(std::slice::from_ref(&spiky), Scale::Linear).unwrap();
        assert!(frame.y.1 < 4.0, "{:?}", frame.y);
        assert!(frame.beyond(40.0) && !frame.beyond(2.0));
        assert_eq!(frame.place(40.0), frame.y.1);
        // The first epoch of a short training, whose running statistics are not yet any.
        let short = over_epochs([150.0, 3.0, 1.0, 0.8, 0.7].into_iter());
        assert!(Frame::of(&[short], Scale::Linear).unwrap().y.1 < 10.0);
        // A spike downwards, and the same beside a line without one.
        let down = over_epochs((0..20).map(|e| -loss(e)));
        assert!(Frame::of(&[down], Scale::Wide).unwrap().y.0 > -4.0);
        let calm = over_epochs((0..20).map(|e| 3.0 - 0.05 * e as f64));
        let both = Frame::of(&[spiky, calm], Scale::Linear).unwrap();
        assert!((3.0..5.0).contains(&both.y.1), "{:?}", both.y);
    }

    #[test]
    fn what_is_no_spike_is_shown_whole() {
        let whole = |line: Line, highest: f64| {
            let frame = Frame::of(&[line], Scale::Linear).unwrap();
            assert!(frame.y.1 >= highest, "{:?}", frame.y);
        };
        // A loss that falls, few points, and a level far above the others.
        whole(
            over_epochs((0..40).map(|e| 4.0 * (-0.2 * f64::from(e)).exp())),
            4.0,
        );
        whole(line(vec![(0.0, 1.0), (1.0, 1.1), (2.0, 50.0)]), 50.0);
        let level = line(vec![(1.0, 90.0), (20.0, 90.0)]);
        let low = over_epochs((0..20).map(|e| 10.0 + 0.1 * f64::from(e)));
        let frame = Frame::of(&[low, level], Scale::Linear).unwrap();
        assert!(frame.y.1 > 90.0);
    }
}
