//! Latency as bars.

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use super::rows::Row;

const WIDTH: u32 = 900;
const BAR: u32 = 26;
const LEFT: i32 = 330;
const RIGHT: i32 = 110;
const TOP: u32 = 50;
const COLORS: [RGBColor; 4] = [
    RGBColor(37, 99, 160),
    RGBColor(214, 120, 40),
    RGBColor(95, 150, 90),
    RGBColor(130, 110, 160),
];

/// The median milliseconds of one image with each number of threads, a bar a row, as SVG.
pub fn latency(rows: &[Row], names: &[String]) -> Result<String> {
    let single = rows.iter().filter(|row| row.setting.batch == 1);
    let bars: Vec<(&Row, f64)> = single
        .filter_map(|row| Some((row, row.times()?.median)))
        .collect();
    let longest = bars
        .iter()
        .fold(f64::MIN_POSITIVE, |most, bar| most.max(bar.1));
    let mut svg = String::new();
    {
        let height = TOP + BAR * bars.len() as u32 + 10;
        let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        draw(&root, &bars, longest, names)
            .and_then(|()| root.present())
            .map_err(|problem| anyhow!("draw the plot: {problem}"))?;
    }
    Ok(svg)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type DrawError<'a> = DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>;

fn draw<'a>(
    root: &Area<'a>,
    bars: &[(&Row, f64)],
    longest: f64,
    names: &[String],
) -> Result<(), DrawError<'a>> {
    let text = |size: u32| ("sans-serif", size).into_font();
    root.fill(&WHITE)?;
    let title = "One image: median milliseconds";
    root.draw(&Text::new(title, (12, 14), text(20)))?;
    let across = f64::from(WIDTH as i32 - LEFT - RIGHT);
    for (place, (row, median)) in bars.iter().enumerate() {
        let y = (TOP + BAR * place as u32) as i32;
        let threads = match row.setting.threads {
            1 => "1 thread".to_owned(),
            threads => format!("{threads} threads"),
        };
        let label = format!("{}, {}, {threads}", names[row.network], row.runtime);
        root.draw(&Text::new(label, (12, y + 4), text(15)))?;
        let color = match row.runtime {
            _ if row.is_ours() => COLORS[0],
            "onnxruntime" => COLORS[1],
            "openvino" => COLORS[2],
            _ => COLORS[3],
        };
        let end = LEFT + (across * median / longest).round() as i32;
        let corners = [(LEFT, y + 2), (end.max(LEFT + 1), y + BAR as i32 - 4)];
        root.draw(&Rectangle::new(corners, color.filled()))?;
        root.draw(&Text::new(
            format!("{median:.3}"),
            (end + 6, y + 4),
            text(15),
        ))?;
    }
    Ok(())
}
