//! The plot of a study: every seed a dot, with mean and interval.

use serde::Serialize;

use super::results::Results;
use crate::stats::Spread;

/// Where things are in the image, in units that the page scales.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    width: f64,
    left: f64,
    right: f64,
    row: f64,
    /// From the top of a row to its dots.
    dots: f64,
    /// From the top of a row to the line of its name.
    name: f64,
    /// Labels of the axis, at most.
    ticks: f64,
}

/// Names stand to the left of their dots.
pub(super) const WIDE: Layout = Layout {
    width: 1000.0,
    left: 210.0,
    right: 970.0,
    row: 34.0,
    dots: 17.0,
    name: 23.0,
    ticks: 8.0,
};
/// Names stand above their dots: for a phone.
pub(super) const NARROW: Layout = Layout {
    width: 400.0,
    left: 14.0,
    right: 386.0,
    row: 58.0,
    dots: 40.0,
    name: 20.0,
    ticks: 5.0,
};
const TOP: f64 = 12.0;

/// What the template draws.
#[derive(Serialize)]
pub(super) struct Plot {
    width: f64,
    height: f64,
    left: f64,
    right: f64,
    bottom: f64,
    rows: Vec<Row>,
    ticks: Vec<Tick>,
    /// Where the mean of the student alone is.
    alone: Option<f64>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    /// The report of its run, relative to the page; none for the student alone.
    report: Option<String>,
    y: f64,
    /// Of the line that its name stands on.
    name_y: f64,
    dots: Vec<Dot>,
    mean: f64,
    /// The 95 % interval of the mean, cut at the frame.
    interval: Option<(f64, f64)>,
    is_alone: bool,
}

#[derive(Serialize)]
struct Dot {
    x: f64,
    title: String,
}

#[derive(Serialize)]
struct Tick {
    x: f64,
    label: String,
}

/// A plot of the first test score, the student alone first.
pub(super) fn plot(results: &Results, layout: Layout) -> Plot {
    let alone = results.alone.as_ref().map(|a| ("student alone", &a.score));
    let variants = results.variants.iter().map(|v| (v.name.as_str(), &v.score));
    let lines: Vec<(&str, &Spread)> = alone.into_iter().chain(variants).collect();
    let scale = Scale::of(
        layout,
        lines.iter().flat_map(|(_, s)| s.values.iter().copied()),
    );
    let grain = 100.0 / results.data.test.max(1) as f64;
    let rows: Vec<Row> = lines
        .iter()
        .enumerate()
        .map(|(at, (name, score))| {
            let is_alone = at == 0 && results.alone.is_some();
            Row {
                name: (*name).into(),
                report: (!is_alone).then(|| format!("{name}/report.html")),
                y: TOP + layout.row * at as f64 + layout.dots,
                name_y: TOP + layout.row * at as f64 + layout.name,
                dots: dots(score, &scale),
                mean: scale.place(score.mean),
                interval: score.uncertainty(grain).map(|half| {
                    (
                        scale.place(score.mean - half),
                        scale.place(score.mean + half),
                    )
                }),
                is_alone,
            }
        })
        .collect();
    let bottom = TOP + layout.row * rows.len() as f64;
    Plot {
        width: layout.width,
        height: bottom + 58.0,
        left: layout.left,
        right: layout.right,
        bottom,
        ticks: scale.ticks(),
        alone: rows.first().filter(|row| row.is_alone).map(|row| row.mean),
        rows,
    }
}

fn dots(score: &Spread, scale: &Scale) -> Vec<Dot> {
    score
        .values
        .iter()
        .map(|value| Dot {
            x: scale.place(*value),
            title: format!("{value:.2} %"),
        })
        .collect()
}

/// From percent to units of the image.
struct Scale {
    layout: Layout,
    low: f64,
    high: f64,
}

impl Scale {
    /// Holds all values, with room beside them.
    fn of(layout: Layout, values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), v| {
            (low.min(v), high.max(v))
        });
        let room = ((high - low) * 0.12).max(0.5);
        Self {
            layout,
            low: (low - room).max(0.0),
            high: (high + room).min(100.0),
        }
    }

    /// Cut at the frame.
    fn place(&self, value: f64) -> f64 {
        let share = (value - self.low) / (self.high - self.low);
        // Tenths of a unit are finer than a screen.
        let Layout { left, right, .. } = self.layout;
        ((left + share.clamp(0.0, 1.0) * (right - left)) * 10.0).round() / 10.0
    }

    fn ticks(&self) -> Vec<Tick> {
        let steps = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0];
        let fits = |step: &&f64| (self.high - self.low) / **step <= self.layout.ticks;
        let step = steps.iter().find(fits).copied().unwrap_or(20.0);
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step).floor() as i64;
        let digits = usize::from(step < 1.0);
        (first..=last)
            .map(|at| at as f64 * step)
            .map(|value| Tick {
                x: self.place(value),
                label: format!("{value:.digits$}"),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_keep_their_order_inside_the_frame() {
        let scale = Scale::of(WIDE, [80.0, 85.0, 90.0].into_iter());
        let places = [80.0, 85.0, 90.0].map(|v| scale.place(v));
        assert!(WIDE.left < places[0] && places[0] < places[1] && places[2] < WIDE.right);
        assert_eq!(
            [scale.place(0.0), scale.place(100.0)],
            [WIDE.left, WIDE.right]
        );
    }

    #[test]
    fn an_axis_has_a_few_round_labels() {
        for (low, high) in [(80.0, 80.0), (85.1, 86.0), (1.0, 99.0)] {
            let ticks = Scale::of(WIDE, [low, high].into_iter()).ticks();
            assert!(
                (2..=9).contains(&ticks.len()),
                "{low} {high}: {}",
                ticks.len()
            );
        }
        let ticks = Scale::of(NARROW, [80.0, 90.0].into_iter()).ticks();
        assert_eq!(ticks[0].label, "80");
    }
}
