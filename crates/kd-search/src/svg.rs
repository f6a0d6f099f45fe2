//! The plots of a search, 400 units wide: readable on a phone.

use std::fmt::Write;

use crate::found::{Found, Trial};
use crate::space::{Parameter, Point, Values};

const WIDTH: f64 = 400.0;
/// Cells of a range that was not tried value by value.
const BINS: usize = 5;

/// Text inside an image.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// A number in few digits.
fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        v if v >= 1e6 => format!("{:.3}M", value / 1e6),
        v if v >= 1e4 => format!("{:.0}k", value / 1e3),
        v if (0.001..1e4).contains(&v) => {
            let digits = (2 - v.log10().floor() as i32).clamp(0, 4) as usize;
            let text = format!("{value:.digits$}");
            match text.contains('.') {
                true => text.trim_end_matches('0').trim_end_matches('.').into(),
                false => text,
            }
        }
        _ => format!("{value:.0e}"),
    }
}

/// Names of parameters without what stands before their last dots, as far as they differ then.
pub(crate) fn names(found: &Found) -> Vec<String> {
    let all: Vec<&str> = found
        .space
        .parameters
        .iter()
        .map(|p| p.name.as_str())
        .collect();
    let tail = |name: &str, parts: usize| {
        let pieces: Vec<&str> = name.split('.').collect();
        pieces[pieces.len().saturating_sub(parts)..].join(".")
    };
    all.iter()
        .map(|name| {
            let unique = |parts: &usize| {
                let own = tail(name, *parts);
                all.iter()
                    .filter(|other| tail(other, *parts) == own)
                    .count()
                    == 1
            };
            (1..8)
                .find(unique)
                .map_or((*name).to_owned(), |n| tail(name, n))
        })
        .collect()
}

/// A value of a parameter for people.
fn shown(parameter: &Parameter, point: &Point, at: usize) -> String {
    match &parameter.values {
        Values::Choice { choice } => {
            let place = point.number(at) as usize;
            choice[place.min(choice.len() - 1)].trim_matches('"').into()
        }
        _ => short(point.number(at)),
    }
}

/// An axis of the heat map: which cell a trial is in, and what the cells are called.
struct Cells {
    of: Vec<usize>,
    labels: Vec<String>,
}

fn cells(found: &Found, trials: &[&Trial], at: usize) -> Cells {
    let parameter = &found.space.parameters[at];
    let mut values: Vec<f64> = trials.iter().map(|t| t.point.number(at)).collect();
    values.sort_by(f64::total_cmp);
    values.dedup();
    if values.len() <= 8 {
        let of = trials.iter().map(|t| {
            let value = t.point.number(at);
            values.partition_point(|other| *other < value)
        });
        let labels = values.iter().filter_map(|value| {
            let trial = trials.iter().find(|t| t.point.number(at) == *value)?;
            Some(shown(parameter, &trial.point, at))
        });
        return Cells {
            of: of.collect(),
            labels: labels.collect(),
        };
    }
    let of = trials.iter().map(|t| {
        let place = parameter.values.share(t.point.number(at)) * BINS as f64;
        (place as usize).min(BINS - 1)
    });
    let end = |bin: usize| {
        let part = bin as f64 / BINS as f64;
        match &parameter.values {
            Values::Float {
                from,
                to,
                log: true,
                ..
            } => from * (to / from).powf(part),
            Values::Float { from, to, .. } => from + (to - from) * part,
            Values::Int { least, most } => *least as f64 + (most - least) as f64 * part,
            Values::Choice { choice } => choice.len() as f64 * part,
        }
    };
    Cells {
        of: of.collect(),
        labels: (0..BINS)
            .map(|bin| format!("{}–{}", short(end(bin)), short(end(bin + 1))))
            .collect(),
    }
}

/// The parameters of the heat map: temperature and weight where the search has them, else its first two.
pub(crate) fn pair(found: &Found) -> (usize, Option<usize>) {
    let parameters = &found.space.parameters;
    let ends = |with: &str| parameters.iter().position(|p| p.name.ends_with(with));
    let across = ends("temperature").unwrap_or(0);
    let other = ends("weight").filter(|at| *at != across);
    (
        across,
        other.or_else(|| (0..parameters.len()).find(|at| *at != across)),
    )
}

/// The best score of every combination of two parameters, with the curve of every trial that has it.
pub(crate) fn heat(found: &Found) -> Option<String> {
    let trials = found.scored();
    let (across, up) = pair(found);
    let columns = cells(found, &trials, across);
    let rows = match up {
        Some(up) => cells(found, &trials, up),
        None => Cells {
            of: vec![0; trials.len()],
            labels: vec![String::new()],
        },
    };
    let curves: Vec<Vec<f64>> = trials.iter().map(|t| t.curve()).collect();
    let longest = curves.iter().map(Vec::len).max()?.max(2);
    let all = || curves.iter().flatten().filter(|v| v.is_finite());
    let (low, high) = (
        all().copied().fold(f64::INFINITY, f64::min),
        all().copied().fold(f64::NEG_INFINITY, f64::max),
    );
    let gains: Vec<f64> = trials.iter().filter_map(|t| found.gain(t)).collect();
    let (worst, best) = (
        gains.iter().copied().fold(f64::INFINITY, f64::min),
        gains.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    );
    // Room for the longest label.
    let longest_label = rows.labels.iter().map(|label| label.chars().count());
    let left = (14.0 + 7.0 * longest_label.max().unwrap_or(0) as f64).max(58.0);
    let top = 26.0;
    let width = (WIDTH - left - 4.0) / columns.labels.len() as f64;
    let tall = (width * 0.8).clamp(44.0, 72.0);
    let height = top + tall * rows.labels.len() as f64 + 24.0;
    let mut svg =
        format!("<svg class=\"plot heat\" viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\">");
    let names = names(found);
    let title = match up {
        Some(up) => format!("{} (down) by {} (across)", names[up], names[across]),
        None => names[across].clone(),
    };
    let _ = write!(
        svg,
        "<text class=\"axis\" x=\"{left}\" y=\"14\">{}</text>",
        escaped(&title)
    );
    for (column, label) in columns.labels.iter().enumerate() {
        let x = left + width * (column as f64 + 0.5);
        let _ = write!(
            svg,
            "<text class=\"axis\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            height - 8.0,
            escaped(label)
        );
    }
    for (row, label) in rows.labels.iter().enumerate() {
        let y = top + tall * row as f64;
        let _ = write!(
            svg,
            "<text class=\"axis\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            left - 6.0,
            y + tall / 2.0 + 4.0,
            escaped(label)
        );
        for column in 0..columns.labels.len() {
            let x = left + width * column as f64;
            let inside: Vec<usize> = (0..trials.len())
                .filter(|at| (columns.of[*at], rows.of[*at]) == (column, row))
                .collect();
            let top_one = inside
                .iter()
                .copied()
                .max_by(|a, b| gains[*a].total_cmp(&gains[*b]));
            let shade = top_one.map_or(0.0, |at| match best > worst {
                true => 0.06 + 0.5 * (gains[at] - worst) / (best - worst),
                false => 0.3,
            });
            let _ = write!(
                svg,
                "<rect class=\"cell\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill-opacity=\"{shade:.2}\"/>",
                width - 2.0,
                tall - 2.0
            );
            for at in &inside {
                let points = curves[*at]
                    .iter()
                    .enumerate()
                    .filter(|(_, v)| v.is_finite());
                let points: Vec<String> = points
                    .map(|(epoch, value)| {
                        let along = epoch as f64 / (longest - 1) as f64;
                        let part = if high > low {
                            (value - low) / (high - low)
                        } else {
                            0.5
                        };
                        format!(
                            "{:.1},{:.1}",
                            x + 4.0 + (width - 10.0) * along,
                            y + tall - 7.0 - (tall - 26.0) * part
                        )
                    })
                    .collect();
                let _ = write!(
                    svg,
                    "<polyline class=\"curve\" points=\"{}\"/>",
                    points.join(" ")
                );
            }
            if let Some(at) = top_one {
                let score = found.score_of(trials[at]).unwrap_or(f64::NAN);
                let _ = write!(
                    svg,
                    "<text class=\"value\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                    x + width / 2.0,
                    y + 13.0,
                    short(score)
                );
            }
        }
    }
    svg.push_str("</svg>");
    Some(svg)
}

/// A line a trial over all parameters and the score; the best one stands out.
pub(crate) fn parallel(found: &Found) -> Option<String> {
    let trials = found.scored();
    let gains: Vec<f64> = trials.iter().filter_map(|t| found.gain(t)).collect();
    let (worst, best) = (
        gains.iter().copied().fold(f64::INFINITY, f64::min),
        gains.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    );
    if trials.is_empty() {
        return None;
    }
    let parameters = &found.space.parameters;
    let (top, bottom) = (46.0, 216.0);
    let axes = parameters.len() + 1;
    let x = |axis: usize| 30.0 + (WIDTH - 60.0) * axis as f64 / (axes - 1) as f64;
    let y = |share: f64| bottom - (bottom - top) * share.clamp(0.0, 1.0);
    let place = |gain: f64| match best > worst {
        true => (gain - worst) / (best - worst),
        false => 0.5,
    };
    let mut svg = format!("<svg class=\"plot parallel\" viewBox=\"0 0 {WIDTH} 240\" role=\"img\">");
    let chosen = found.best().map(|t| t.number);
    let mut order: Vec<usize> = (0..trials.len()).collect();
    // The best on top of all others.
    order.sort_by_key(|at| (Some(trials[*at].number) == chosen, *at));
    for at in order {
        let mut points: Vec<String> = parameters
            .iter()
            .enumerate()
            .map(|(axis, p)| {
                format!(
                    "{:.1},{:.1}",
                    x(axis),
                    y(p.values.share(trials[at].point.number(axis)))
                )
            })
            .collect();
        points.push(format!("{:.1},{:.1}", x(axes - 1), y(place(gains[at]))));
        let class = if Some(trials[at].number) == chosen {
            "line best"
        } else {
            "line"
        };
        let _ = write!(
            svg,
            "<polyline class=\"{class}\" stroke-opacity=\"{:.2}\" points=\"{}\"/>",
            0.2 + 0.6 * place(gains[at]),
            points.join(" ")
        );
    }
    let ends = |axis: usize| -> (String, String) {
        let Some(parameter) = parameters.get(axis) else {
            let sign = if found.lower { -1.0 } else { 1.0 };
            return (short(sign * worst), short(sign * best));
        };
        match &parameter.values {
            Values::Choice { choice } => {
                let text = |at: usize| choice[at].trim_matches('"').to_owned();
                (text(0), text(choice.len() - 1))
            }
            Values::Int { least, most } => (least.to_string(), most.to_string()),
            Values::Float { from, to, .. } => (short(*from), short(*to)),
        }
    };
    let mut names = names(found);
    names.push(found.score.clone());
    for (axis, name) in names.iter().enumerate() {
        let (anchor, shift) = match axis {
            0 => ("start", -26.0),
            a if a == axes - 1 => ("end", 26.0),
            _ => ("middle", 0.0),
        };
        let (low, high) = ends(axis);
        let at = x(axis);
        let _ = write!(
            svg,
            "<line class=\"rule\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{top}\" y2=\"{bottom}\"/>"
        );
        // Names of neighbours stand in two lines.
        let name_y = if axis % 2 == 0 { 12.0 } else { 26.0 };
        for (text, y, class) in [
            (name, name_y, "axis name"),
            (&high, top - 6.0, "axis"),
            (&low, bottom + 15.0, "axis"),
        ] {
            let _ = write!(
                svg,
                "<text class=\"{class}\" x=\"{:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>",
                at + shift,
                escaped(text)
            );
        }
    }
    svg.push_str("</svg>");
    Some(svg)
}

/// Score against a cost; the trials that nothing beats are joined.
pub(crate) fn front(found: &Found, cost: usize) -> Option<String> {
    let mut trials = found.scored();
    trials.retain(|t| t.costs.len() > cost);
    let range = |values: &[f64]| {
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        match low < high {
            true => (low, high),
            false => (low - 1.0, high + 1.0),
        }
    };
    let costs: Vec<f64> = trials.iter().map(|t| t.costs[cost]).collect();
    let scores: Vec<f64> = trials.iter().filter_map(|t| found.score_of(t)).collect();
    if trials.is_empty() {
        return None;
    }
    let (cheap, dear) = range(&costs);
    let (low, high) = range(&scores);
    let (left, right, top, bottom) = (52.0, 384.0, 14.0, 200.0);
    let x = |value: f64| left + (right - left) * (value - cheap) / (dear - cheap);
    let y = |value: f64| bottom - (bottom - top) * (value - low) / (high - low);
    let mut svg = format!("<svg class=\"plot front\" viewBox=\"0 0 {WIDTH} 240\" role=\"img\">");
    for (value, text_y) in [(low, bottom), (high, top)] {
        let _ = write!(
            svg,
            "<line class=\"rule\" x1=\"{left}\" x2=\"{right}\" y1=\"{text_y}\" y2=\"{text_y}\"/>\
             <text class=\"axis\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            left - 8.0,
            text_y + 4.0,
            short(value)
        );
    }
    for (value, anchor) in [(cheap, "start"), (dear, "end")] {
        let _ = write!(
            svg,
            "<text class=\"axis\" x=\"{:.1}\" y=\"218\" text-anchor=\"{anchor}\">{}</text>",
            x(value),
            short(value)
        );
    }
    let _ = write!(
        svg,
        "<text class=\"axis name\" x=\"{:.1}\" y=\"234\" text-anchor=\"middle\">{}</text>",
        (left + right) / 2.0,
        escaped(&found.costs[cost])
    );
    let mut best: Vec<(f64, f64)> = Vec::new();
    let unbeaten: Vec<usize> = found.front().iter().map(|t| t.number).collect();
    for (at, trial) in trials.iter().enumerate() {
        let place = (x(costs[at]), y(scores[at]));
        let class = match unbeaten.contains(&trial.number) {
            true => {
                best.push(place);
                "dot best"
            }
            false => "dot",
        };
        let _ = write!(
            svg,
            "<circle class=\"{class}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"5\"><title>trial {}: {}</title></circle>",
            place.0,
            place.1,
            trial.number,
            short(scores[at])
        );
    }
    best.sort_by(|a, b| a.0.total_cmp(&b.0));
    let points: Vec<String> = best.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ = write!(
        svg,
        "<polyline class=\"line best\" points=\"{}\"/></svg>",
        points.join(" ")
    );
    Some(svg)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::found::tests::made;

    #[test]
    fn every_combination_is_a_cell_and_every_trial_a_curve() {
        let found = made();
        let svg = heat(&found).unwrap();
        assert_eq!(svg.matches("class=\"cell\"").count(), 9);
        assert_eq!(svg.matches("class=\"curve\"").count(), 9);
        assert!(
            svg.contains(">75<") && svg.contains("weight (down) by temperature (across)"),
            "{svg}"
        );
        let svg = parallel(&found).unwrap();
        assert_eq!(svg.matches("<polyline").count(), 9);
        assert_eq!(svg.matches("line best").count(), 1);
        let svg = front(&found, 0).unwrap();
        assert_eq!(
            (
                svg.matches("<circle").count(),
                svg.matches("dot best").count()
            ),
            (9, 1)
        );
    }

    #[test]
    fn many_values_of_a_range_share_cells() {
        let mut found = made();
        for trial in &mut found.trials {
            trial.point.0[0] = crate::Value::Float(1.0 + trial.number as f64);
        }
        let svg = heat(&found).unwrap();
        assert_eq!(svg.matches("class=\"cell\"").count(), 3 * BINS);
        assert_eq!(svg.matches("class=\"curve\"").count(), 9);
        found.trials.clear();
        assert!(heat(&found).is_none() && parallel(&found).is_none() && front(&found, 0).is_none());
    }

    #[test]
    fn names_are_as_short_as_they_differ() {
        let mut found = made();
        assert_eq!(names(&found), ["temperature", "weight", "model"]);
        found.space.parameters[0].name = "objective.at.weight".into();
        assert_eq!(names(&found)[..2], ["at.weight", "kd.weight"]);
        assert_eq!(
            [
                short(78_042.0),
                short(0.25),
                short(1_233_540.0),
                short(71.25),
                short(5e-4)
            ]
            .join(" "),
            "78k 0.25 1.234M 71.2 5e-4"
        );
    }
}
