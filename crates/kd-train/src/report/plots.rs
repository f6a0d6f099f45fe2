//! One plot of lines over training, as SVG.
//!
//! The colours below are also the light theme: `report.css` finds the dark one's by these values,
//! so a change here is a change there.

use plotters::coord::Shift;
use plotters::prelude::*;
use serde::Serialize;

use crate::error::Error;

use super::downsample::{Line, extent, finite_and_thinned, padded};
use super::words::{prefixed, significant, without_zeros};

/// Text and axes.
const INK: RGBColor = RGBColor(0x44, 0x44, 0x44);
/// Grid lines.
const GRID: RGBColor = RGBColor(0xE2, 0xE2, 0xE2);
/// Lines of a plot, told apart by people of every colour vision (Okabe and Ito 2008).
pub(super) const PALETTE: [RGBColor; 7] = [
    RGBColor(0x00, 0x72, 0xB2),
    RGBColor(0xD5, 0x5E, 0x00),
    RGBColor(0x00, 0x9E, 0x73),
    RGBColor(0xCC, 0x79, 0xA7),
    RGBColor(0xE6, 0x9F, 0x00),
    RGBColor(0x56, 0xB4, 0xE9),
    RGBColor(0x77, 0x77, 0x77),
];

/// Twice the size that it is shown at, because plotters rounds to whole units.
const SIZE: (u32, u32) = (1040, 540);
const FONT: u32 = 30;
const FEW_POINTS: usize = 40;
const Y_LABELS: usize = 6;

/// How a plot is labelled and scaled.
#[derive(Clone, Debug)]
pub(super) struct Axes {
    pub x: &'static str,
    pub y: String,
    /// What the axis of values may do.
    pub scale: Scale,
}

/// How an axis follows its values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scale {
    /// From the lowest to the highest.
    Linear,
    /// From zero, so that noise is not made to look large.
    FromZero,
    /// Logarithmic for positive values over more than two decades, otherwise linear.
    Wide,
}

/// A plot as the template shows it.
#[derive(Serialize)]
pub(super) struct Figure {
    title: String,
    /// Records that one point stands for, at most.
    bucket: usize,
    legend: Vec<Entry>,
    svg: String,
    #[serde(serialize_with = "as_json")]
    frame: Frame,
}

/// A value for a script: the template has no JSON of its own.
fn as_json<S: serde::Serializer>(frame: &Frame, serializer: S) -> Result<S::Ok, S::Error> {
    let json = serde_json::to_string(frame).map_err(serde::ser::Error::custom)?;
    serializer.serialize_str(&json)
}

#[derive(Serialize)]
struct Entry {
    name: String,
    color: String,
    dashed: bool,
}

/// Where the data lie in the image, for the values under the pointer.
#[derive(Clone, Copy, Serialize)]
struct Frame {
    x: (f64, f64),
    y: (f64, f64),
    log: bool,
    pixels: (i32, i32, i32, i32),
}

/// Draws lines; none when they hold no finite point.
pub(super) fn figure(
    title: impl Into<String>,
    axes: Axes,
    lines: &[Line],
) -> Result<Option<Figure>, Error> {
    let (lines, bucket) = finite_and_thinned(lines);
    let Some((x, y)) = extent(&lines) else {
        return Ok(None);
    };
    let log = axes.scale == Scale::Wide && y.0 > 0.0 && y.1 > 100.0 * y.0;
    let mut frame = Frame {
        x: padded(x, 0.0, 0.5),
        y: match axes.scale {
            _ if log => padded((y.0.log10(), y.1.log10()), 0.04, 0.5),
            Scale::FromZero if y.0 >= 0.0 => (0.0, (y.1 * 1.06).max(1e-3)),
            // Only zeros: an accuracy or a weight that cannot be below.
            _ if y == (0.0, 0.0) => (0.0, 1.0),
            _ => padded(y, 0.06, (y.0.abs() * 0.1).max(1e-3)),
        },
        log,
        pixels: (0, 0, 0, 0),
    };
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        frame.pixels = draw(&root, &axes, &lines, frame)
            .and_then(|pixels| root.present().map(|()| pixels))
            .map_err(|problem| Error::Report(format!("could not draw a plot: {problem}")))?;
    }
    Ok(Some(Figure {
        title: title.into(),
        bucket,
        legend: legend(&lines),
        svg,
        frame,
    }))
}

type Drawing<T> = Result<T, DrawingAreaErrorKind<std::io::Error>>;

fn draw(
    root: &DrawingArea<SVGBackend<'_>, Shift>,
    axes: &Axes,
    lines: &[Line],
    frame: Frame,
) -> Drawing<(i32, i32, i32, i32)> {
    let text = ("sans-serif", FONT).into_font().color(&INK);
    let value = |v: &f64| value_label(*v, frame);
    let longest = value(&frame.y.0).len().max(value(&frame.y.1).len()) as u32;
    let mut chart = ChartBuilder::on(root)
        .margin(10)
        .margin_right(28)
        .x_label_area_size(82)
        .y_label_area_size(58 + 15 * longest)
        .build_cartesian_2d(frame.x.0..frame.x.1, frame.y.0..frame.y.1)?;
    let whole_only = |v: &f64| {
        if (v - v.round()).abs() < 1e-6 {
            prefixed(v.round(), "")
        } else {
            String::new()
        }
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID.stroke_width(2))
        .axis_style(INK.stroke_width(2))
        .x_labels(whole_ticks(frame.x))
        .y_labels(if frame.log {
            whole_ticks(frame.y)
        } else {
            Y_LABELS
        })
        .x_label_formatter(&whole_only)
        .y_label_formatter(&value)
        .label_style(text.clone())
        .axis_desc_style(text)
        .x_desc(axes.x)
        .y_desc(if frame.log {
            format!("{} (log)", axes.y)
        } else {
            axes.y.clone()
        })
        .draw()?;
    for line in lines {
        draw_line(&mut chart, line, frame.log)?;
    }
    let (across, down) = chart.plotting_area().get_pixel_range();
    Ok((across.start, across.end, down.start, down.end))
}

/// A value beside its axis, with the decimals that tell it from its neighbours.
fn value_label(value: f64, frame: Frame) -> String {
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

fn draw_line(
    chart: &mut ChartContext<'_, SVGBackend<'_>, PlainAxes>,
    line: &Line,
    log: bool,
) -> Drawing<()> {
    let place = |&(x, y): &(f64, f64)| (x, if log { y.log10() } else { y });
    let points = line.points.iter().map(place);
    let style = line.color.mix(0.9).stroke_width(4);
    if line.dashed {
        chart.draw_series(DashedLineSeries::new(points, 14, 10, style))?;
        return Ok(());
    }
    chart.draw_series(LineSeries::new(points.clone(), style))?;
    if line.points.len() <= FEW_POINTS {
        let dots = points.map(|at| Circle::new(at, 6, line.color.filled()));
        chart.draw_series(dots)?;
    }
    Ok(())
}

type PlainAxes =
    Cartesian2d<plotters::coord::types::RangedCoordf64, plotters::coord::types::RangedCoordf64>;

/// At most one label for each whole number of the axis, and never more than six.
fn whole_ticks((low, high): (f64, f64)) -> usize {
    ((high - low).floor() as usize + 1).clamp(1, 6)
}

fn legend(lines: &[Line]) -> Vec<Entry> {
    let mut entries = Vec::<Entry>::new();
    for line in lines {
        if entries.iter().all(|e| e.name != line.name) {
            let RGBColor(red, green, blue) = line.color;
            entries.push(Entry {
                name: line.name.clone(),
                color: format!("#{red:02X}{green:02X}{blue:02X}"),
                dashed: line.dashed,
            });
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axes() -> Axes {
        Axes {
            x: "step",
            y: "loss".into(),
            scale: Scale::Wide,
        }
    }

    fn line(points: Vec<(f64, f64)>) -> Line {
        Line {
            name: "distilled".into(),
            color: PALETTE[0],
            dashed: false,
            points,
        }
    }

    #[test]
    fn nothing_finite_draws_nothing() {
        let lines = [line(vec![]), line(vec![(0.0, f64::NAN)])];
        assert!(figure("loss", axes(), &lines).unwrap().is_none());
    }

    #[test]
    fn a_single_point_is_a_dot_inside_the_frame() {
        let figure = figure("loss", axes(), &[line(vec![(7.0, 2.0)])])
            .unwrap()
            .unwrap();
        assert!(figure.svg.contains("<circle"));
        assert_eq!(figure.frame.x, (6.5, 7.5));
        assert!(figure.frame.y.0 < 2.0 && figure.frame.y.1 > 2.0);
    }

    #[test]
    fn labels_of_close_values_differ() {
        let lines = [line(vec![(0.0, 0.028_682), (1.0, 0.028_667)])];
        let figure = figure("loss", axes(), &lines).unwrap().unwrap();
        let mut labels: Vec<_> = figure
            .svg
            .lines()
            .filter(|l| l.starts_with("0.0286"))
            .collect();
        let all = labels.len();
        labels.dedup();
        assert!(all > 2 && all == labels.len(), "{labels:?}");
    }

    #[test]
    fn only_zeros_stand_on_the_axis() {
        let figure = figure("loss", axes(), &[line(vec![(1.0, 0.0)])])
            .unwrap()
            .unwrap();
        assert_eq!(figure.frame.y, (0.0, 1.0));
    }

    #[test]
    fn only_wide_positive_values_get_a_logarithmic_axis() {
        let log = |low: f64| {
            let lines = [line(vec![(0.0, 500.0), (1.0, low)])];
            figure("loss", axes(), &lines).unwrap().unwrap().frame.log
        };
        assert_eq!([log(1.0), log(100.0), log(-1.0)], [true, false, false]);
    }
}
