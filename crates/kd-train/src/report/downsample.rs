//! Lines over training, made fit to draw.

use plotters::style::RGBColor;

const MOST_POINTS: usize = 300;

/// A named line; lines of one name share its colour and its entry in the legend.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub name: String,
    pub color: RGBColor,
    pub dashed: bool,
    pub points: Vec<(f64, f64)>,
    /// `(x, lowest, highest)` of several seeds around their mean; empty for a single one.
    pub band: Vec<(f64, f64, f64)>,
}

/// Keeps finite points, in order, and at most [`MOST_POINTS`] of a line; says how many points the
/// longest line put into one.
pub(super) fn finite_and_thinned(lines: &[Line]) -> (Vec<Line>, usize) {
    let mut longest = 1;
    let thinned = lines.iter().filter_map(|line| {
        let mut points = line.points.clone();
        points.retain(|(x, y)| x.is_finite() && y.is_finite());
        let bucket = points.len().div_ceil(MOST_POINTS);
        longest = longest.max(bucket);
        let mean = |bucket: &[(f64, f64)]| {
            let n = bucket.len() as f64;
            let sum = bucket
                .iter()
                .fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
            (sum.0 / n, sum.1 / n)
        };
        (!points.is_empty()).then(|| Line {
            points: points.chunks(bucket).map(mean).collect(),
            band: thinned_band(&line.band, bucket),
            ..line.clone()
        })
    });
    let thinned = thinned.collect();
    (thinned, longest)
}

/// The widest range of every `bucket` places.
fn thinned_band(band: &[(f64, f64, f64)], bucket: usize) -> Vec<(f64, f64, f64)> {
    let mut finite = band.to_vec();
    finite.retain(|(x, low, high)| x.is_finite() && low.is_finite() && high.is_finite());
    let chunks = finite.chunks(bucket.max(1));
    let widest = chunks.map(|chunk| {
        let x = chunk.iter().map(|b| b.0).sum::<f64>() / chunk.len() as f64;
        let low = chunk.iter().map(|b| b.1).fold(f64::INFINITY, f64::min);
        let high = chunk.iter().map(|b| b.2).fold(f64::NEG_INFINITY, f64::max);
        (x, low, high)
    });
    widest.collect()
}

pub(super) type Span = (f64, f64);

pub(super) fn extent(lines: &[Line]) -> Option<(Span, Span)> {
    let span = |numbers: &mut dyn Iterator<Item = f64>| {
        numbers.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), n| {
            (low.min(n), high.max(n))
        })
    };
    let points = || lines.iter().flat_map(|line| &line.points);
    let edges = || lines.iter().flat_map(|line| &line.band);
    points().next()?;
    let values = points().map(|p| p.1);
    let mut values = values.chain(edges().flat_map(|b| [b.1, b.2]));
    Some((span(&mut points().map(|p| p.0)), span(&mut values)))
}

/// A share of room on both sides, or `least` where all values are the same.
pub(super) fn padded((low, high): Span, share: f64, least: f64) -> Span {
    let room = if high > low {
        (high - low) * share
    } else {
        least
    };
    (low - room, high + room)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_thinned_to_means() {
        let points = (0..100_000).map(|i| (f64::from(i), f64::from(i % 2)));
        let line = Line {
            name: "distilled".into(),
            color: RGBColor(0, 0, 0),
            dashed: false,
            points: points.collect(),
            band: Vec::new(),
        };
        let (thinned, bucket) = finite_and_thinned(&[line]);
        assert_eq!((bucket, thinned[0].points.len()), (334, 300));
        assert_eq!(thinned[0].points[0], (166.5, 0.5));
    }

    #[test]
    fn points_that_are_no_numbers_are_left_out() {
        let line = |points: Vec<(f64, f64)>| Line {
            name: "distilled".into(),
            color: RGBColor(0, 0, 0),
            dashed: false,
            points,
            band: Vec::new(),
        };
        let lines = [
            line(vec![(0.0, f64::NAN)]),
            line(vec![(1.0, 2.0), (2.0, f64::INFINITY)]),
        ];
        let (kept, _) = finite_and_thinned(&lines);
        assert_eq!(kept.len(), 1);
        assert_eq!(extent(&kept), Some(((1.0, 1.0), (2.0, 2.0))));
    }
}
