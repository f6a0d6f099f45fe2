//! Lines as an image, readable on a phone too: 400 units wide.

use std::fmt::Write;

use crate::finding::Line;

const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 388.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 200.0;

/// Where a value is on an axis.
struct Axis {
    from: f64,
    to: f64,
    log: bool,
}

impl Axis {
    /// Over finite values; none without one.
    fn over(values: impl Iterator<Item = f64> + Clone, log: bool) -> Option<Self> {
        let finite = values.filter(|v| v.is_finite() && (!log || *v > 0.0));
        let from = finite.clone().fold(f64::INFINITY, f64::min);
        let to = finite.fold(f64::NEG_INFINITY, f64::max);
        if from > to {
            return None;
        }
        let room = if from == to {
            from.abs().max(1.0) / 2.0
        } else {
            0.0
        };
        Some(match log {
            true => Self {
                from,
                to: to.max(from * 1.01),
                log,
            },
            false => Self {
                from: from - room,
                to: to + room,
                log,
            },
        })
    }

    fn share(&self, value: f64) -> f64 {
        let place = |v: f64| if self.log { v.ln() } else { v };
        (place(value) - place(self.from)) / (place(self.to) - place(self.from))
    }

    /// Round values inside, at most six.
    fn ticks(&self) -> Vec<f64> {
        if self.log {
            let rounds = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0];
            let inside = rounds
                .into_iter()
                .filter(|v| (self.from..=self.to).contains(v));
            return inside.collect();
        }
        let rough = (self.to - self.from) / 5.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power);
        let step = step
            .into_iter()
            .find(|s| *s >= rough * 0.999)
            .unwrap_or(rough);
        let first = (self.from / step).ceil() as i64;
        let last = (self.to / step).floor() as i64;
        (first..=last).map(|at| at as f64 * step).collect()
    }
}

/// A value in few digits.
pub(crate) fn short(value: f64) -> String {
    let text = match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 0.01 || v == 0.0 => format!("{value:.2}"),
        _ => return format!("{value:.0e}").replace('-', "−"),
    };
    let text = match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    };
    match text.as_str() {
        "-0" => "0".into(),
        _ => text.replace('-', "−"),
    }
}

/// The image; empty where no value is a number. `x` and `mark` are escaped by the caller.
pub(crate) fn lines(lines: &[Line], x: &str, log: bool, mark: Option<(f64, &str)>) -> String {
    let points = lines.iter().flat_map(|line| line.points.iter());
    let Some(across) = Axis::over(points.clone().map(|p| p.0), log) else {
        return String::new();
    };
    let Some(up) = Axis::over(points.map(|p| p.1), false) else {
        return String::new();
    };
    let place = |(a, b): (f64, f64)| {
        (
            LEFT + (RIGHT - LEFT) * across.share(a).clamp(0.0, 1.0),
            BOTTOM - (BOTTOM - TOP) * up.share(b),
        )
    };
    let mut svg = format!("<svg class=\"lines\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">");
    for tick in up.ticks() {
        let (_, y) = place((across.from, tick));
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/><text x=\"{:.1}\" y=\"{:.1}\" \
             text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            y + 4.0,
            short(tick)
        );
    }
    for tick in across.ticks() {
        let (x, _) = place((tick, up.from));
        let _ = write!(
            svg,
            "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            BOTTOM + 18.0,
            short(tick)
        );
    }
    let _ = write!(
        svg,
        "<text x=\"{RIGHT}\" y=\"{:.1}\" text-anchor=\"end\">{x}</text>",
        BOTTOM + 35.0
    );
    if let Some((at, name)) = mark {
        let (x, _) = place((at, up.from));
        let anchor = if x > WIDTH / 2.0 {
            ("end", -5.0)
        } else {
            ("start", 5.0)
        };
        let _ = write!(
            svg,
            "<line class=\"mark\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{BOTTOM}\"/><text x=\"{:.1}\" y=\"{:.1}\" \
             text-anchor=\"{}\">{name}</text>",
            x + anchor.1,
            TOP + 8.0,
            anchor.0
        );
    }
    for (at, line) in lines.iter().enumerate() {
        let finite = line
            .points
            .iter()
            .filter(|(a, b)| a.is_finite() && b.is_finite());
        let points: Vec<(f64, f64)> = finite.map(|p| place(*p)).collect();
        let path: Vec<String> = points
            .iter()
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        let _ = write!(
            svg,
            "<polyline class=\"line{}\" points=\"{}\"/>",
            at % 4,
            path.join(" ")
        );
    }
    svg + "</svg>"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_short_and_nothing_is_no_image() {
        let shown = [0.0, 0.5, -0.25, 12.34, 123.4, 0.001].map(short);
        assert_eq!(shown, ["0", "0.5", "−0.25", "12.3", "123", "1e−3"]);
        assert_eq!(lines(&[], "x", false, None), "");
        let one = Line {
            name: "one".into(),
            points: vec![(1.0, 2.0), (2.0, f64::NAN)],
        };
        let svg = lines(&[one], "T", true, Some((1.0, "T = 1")));
        assert!(svg.contains("<polyline") && !svg.contains("NaN"), "{svg}");
    }
}
