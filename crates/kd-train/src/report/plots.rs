//! One plot of lines over training, as SVG.

use plotters::coord::Shift;
use plotters::prelude::*;
use serde::Serialize;

use crate::error::Error;

use super::axis::{Frame, Scale, Y_LABELS, value_label, whole_ticks};
use super::downsample::{Line, finite_and_thinned};
use super::palette::{GRID, INK};
use super::words::{prefixed, significant};

/// Twice the size that it is shown at, because plotters rounds to whole units.
const SIZE: (u32, u32) = (1040, 540);
const FONT: u32 = 30;
const FEW_POINTS: usize = 40;

/// How a plot is labelled and scaled.
#[derive(Clone, Debug)]
pub(super) struct Axes {
    pub x: &'static str,
    pub y: String,
    /// What the axis of values may do.
    pub scale: Scale,
}

/// A plot as the template shows it.
#[derive(Serialize)]
pub(super) struct Figure {
    title: String,
    /// Records that one point stands for, at most.
    bucket: usize,
    legend: Vec<Entry>,
    /// What lies beyond the axis, in words; none where everything is shown.
    beyond: Option<String>,
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
    /// Whether a band around it shows the range of several seeds.
    band: bool,
}

/// Draws lines; none when they hold no finite point.
pub(super) fn figure(
    title: impl Into<String>,
    axes: Axes,
    lines: &[Line],
) -> Result<Option<Figure>, Error> {
    let (lines, bucket) = finite_and_thinned(lines);
    let Some(mut frame) = Frame::of(&lines, axes.scale) else {
        return Ok(None);
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
        beyond: beyond(&lines, &frame),
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
        draw_band(&mut chart, line, &frame)?;
    }
    for line in lines {
        draw_line(&mut chart, line, &frame)?;
    }
    let (across, down) = chart.plotting_area().get_pixel_range();
    Ok((across.start, across.end, down.start, down.end))
}

type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, PlainAxes>;

/// The range of several seeds behind their mean.
fn draw_band(chart: &mut Chart<'_, '_>, line: &Line, frame: &Frame) -> Drawing<()> {
    if line.band.len() < 2 {
        return Ok(());
    }
    let above = line.band.iter().map(|&(x, _, high)| (x, frame.place(high)));
    let below = line.band.iter().rev();
    let below = below.map(|&(x, low, _)| (x, frame.place(low)));
    let around: Vec<_> = above.chain(below).collect();
    let fill = line.color.mix(0.18).filled();
    chart.draw_series([Polygon::new(around, fill)])?;
    Ok(())
}

fn draw_line(chart: &mut Chart<'_, '_>, line: &Line, frame: &Frame) -> Drawing<()> {
    let points = line.points.iter().map(|&(x, y)| (x, frame.place(y)));
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
    // Where a line leaves the axis, a mark points to where it went.
    let outside = line.points.iter().filter(|(_, y)| frame.beyond(*y));
    let marks = outside.map(|&(x, y)| {
        let tip = if y > frame.y.1 { -22 } else { 22 };
        EmptyElement::at((x, frame.place(y)))
            + Polygon::new(vec![(-13, 0), (13, 0), (0, tip)], line.color.filled())
    });
    chart.draw_series(marks)?;
    Ok(())
}

/// How far values beyond the axis go.
fn beyond(lines: &[Line], frame: &Frame) -> Option<String> {
    let outside = lines.iter().flat_map(|line| &line.points);
    let outside: Vec<f64> = outside.map(|p| p.1).filter(|y| frame.beyond(*y)).collect();
    let farthest = |of: &dyn Fn(&f64) -> bool, pick: fn(f64, f64) -> f64| {
        outside.iter().copied().filter(of).reduce(pick)
    };
    let high = farthest(&|y| *y > frame.y.1, f64::max).map(|y| ("▲", "up to", y));
    let low = farthest(&|y| *y < frame.y.0, f64::min).map(|y| ("▼", "down to", y));
    let parts: Vec<_> = [high, low]
        .into_iter()
        .flatten()
        .map(|(mark, to, y)| format!("{mark} beyond the axis, {to} {}", significant(y, 3)))
        .collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

type PlainAxes =
    Cartesian2d<plotters::coord::types::RangedCoordf64, plotters::coord::types::RangedCoordf64>;

fn legend(lines: &[Line]) -> Vec<Entry> {
    let mut entries = Vec::<Entry>::new();
    for line in lines {
        if entries.iter().all(|e| e.name != line.name) {
            let RGBColor(red, green, blue) = line.color;
            entries.push(Entry {
                name: line.name.clone(),
                color: format!("#{red:02X}{green:02X}{blue:02X}"),
                dashed: line.dashed,
                band: !line.band.is_empty(),
            });
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::palette::NETWORKS;

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
            color: NETWORKS[0],
            dashed: false,
            points,
            band: Vec::new(),
        }
    }

    #[test]
    fn nothing_finite_draws_nothing() {
        let lines = [line(vec![]), line(vec![(0.0, f64::NAN)])];
        assert!(figure("loss", axes(), &lines).unwrap().is_none());
    }

    #[test]
    fn a_spike_is_marked_with_how_far_it_went() {
        let value = |epoch: u32| {
            if epoch == 7 {
                40.0
            } else {
                2.0 - 0.05 * f64::from(epoch)
            }
        };
        let points = (0..20).map(|epoch| (f64::from(epoch), value(epoch)));
        let figure = figure("loss", axes(), &[line(points.collect())])
            .unwrap()
            .unwrap();
        assert_eq!(
            figure.beyond.as_deref(),
            Some("▲ beyond the axis, up to 40")
        );
        assert_eq!(figure.svg.matches("<polygon").count(), 1);
    }

    #[test]
    fn several_seeds_have_a_band() {
        let mut line = line(vec![(0.0, 1.0), (1.0, 2.0)]);
        line.band = vec![(0.0, 0.5, 1.5), (1.0, 1.0, 3.0)];
        let figure = figure("loss", axes(), &[line]).unwrap().unwrap();
        assert_eq!(figure.svg.matches("<polygon").count(), 1);
        assert!(figure.legend[0].band && figure.beyond.is_none());
        // The band is inside the frame.
        assert!(figure.frame.y.0 < 0.5 && figure.frame.y.1 > 3.0);
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
