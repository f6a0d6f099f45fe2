//! What pruning, quantisation and the trainings between them did, stage by stage.

use std::fmt::Write;

use serde::Serialize;

use super::words::{count, prefixed, signed, significant};
use crate::summary::{NetworkChange, NetworkSummary, Summary};
use crate::{Role, Score};

/// The section of the page.
#[derive(Serialize)]
pub(super) struct Section {
    /// What the first score is called.
    score: String,
    rows: Vec<Row>,
    plots: Vec<Plot>,
    files: Vec<[String; 4]>,
}

/// A network, or what it was on its way.
#[derive(Serialize)]
struct Row {
    name: String,
    /// What happened.
    what: String,
    /// Whether it is on the way to the network below.
    between: bool,
    cells: Vec<String>,
}

/// The score against a cost.
#[derive(Serialize)]
struct Plot {
    title: &'static str,
    svg: String,
}

/// The section; none for a recipe that neither prunes nor quantises.
pub(super) fn section(summary: &Summary) -> Option<Section> {
    let compressed = |n: &&NetworkSummary| n.made_of.is_some() || !n.changed.is_empty();
    summary.networks.iter().find(compressed)?;
    let networks = summary.distinct_roles().into_iter();
    let networks = networks.map(|role| Measured::of(summary, role));
    let networks: Vec<Measured> = networks.collect();
    let score = summary.scores().first()?;
    let files = summary.exported.iter().map(|file| {
        [
            file.file.clone(),
            file.of.clone(),
            format!(
                "{}, packed {}",
                prefixed(file.size.bytes as f64, "B"),
                prefixed(file.size.gzip as f64, "B")
            ),
            format!("{:.1e}", file.difference),
        ]
    });
    let plots = [
        plot("As ONNX, packed", "B", score, &networks, |n| {
            Some(n.first.onnx?.gzip as f64)
        }),
        plot("Multiply-accumulates", "", score, &networks, |n| {
            Some(n.first.macs? as f64)
        }),
        plot("Latency here, one image", "ms", score, &networks, |n| {
            n.mean(|n| Some(n.latency.median_ms))
        }),
    ];
    Some(Section {
        score: score.title.clone(),
        rows: networks
            .iter()
            .flat_map(|network| rows(network, &networks))
            .collect(),
        plots: plots.into_iter().flatten().collect(),
        files: files.collect(),
    })
}

/// A network of a run, over all seeds.
struct Measured<'a> {
    of_seeds: Vec<&'a NetworkSummary>,
    first: &'a NetworkSummary,
}

impl<'a> Measured<'a> {
    fn of(summary: &'a Summary, role: &Role) -> Self {
        let of_seeds = summary.networks.iter().filter(|n| n.role == *role);
        let of_seeds: Vec<_> = of_seeds.collect();
        Self {
            first: of_seeds[0],
            of_seeds,
        }
    }

    fn mean(&self, value: impl Fn(&NetworkSummary) -> Option<f64>) -> Option<f64> {
        let values: Option<Vec<f64>> = self.of_seeds.iter().map(|n| value(n)).collect();
        let values = values?;
        Some(values.iter().sum::<f64>() / values.len() as f64)
    }

    fn score(&self) -> Option<f64> {
        self.mean(|n| Some(n.test.first()?.value))
    }

    /// The network whose weights it began with.
    fn made_of<'b>(&self, all: &'b [Measured<'a>]) -> Option<&'b Measured<'a>> {
        let role = &self.first.made_of.as_ref()?.role;
        all.iter().find(|other| other.first.role == *role)
    }
}

/// The lines of a network: each change on its way, and itself.
fn rows(network: &Measured, all: &[Measured]) -> Vec<Row> {
    let first = network.first;
    let mut before = network.made_of(all).and_then(Measured::score);
    let mut step = |value: Option<f64>| {
        let change = value.zip(before).map(|(new, old)| signed(new - old));
        before = value;
        let shown = |value: Option<f64>| match (value, first.test.first()) {
            (Some(value), Some(score)) => score.show(value),
            _ => "–".into(),
        };
        [shown(value), change.unwrap_or("–".into())]
    };
    let mut rows = Vec::new();
    for (place, changed) in first.changed.iter().enumerate() {
        let value = network.mean(|n| Some(n.changed.get(place)?.test.first()?.value));
        let what = match changed.change {
            NetworkChange::ChannelsRemoved => "channels removed",
            NetworkChange::StatisticsRenewed => "statistics of batch normalisation taken anew",
            NetworkChange::OnGrids => "layers on integer grids",
        };
        rows.push(Row {
            name: String::new(),
            what: what.into(),
            between: true,
            cells: step(value).to_vec(),
        });
    }
    let agreement = network.mean(|n| n.made_of.as_ref()?.agreement);
    let ece = network.mean(|n| n.test.get("ece"));
    let percent = |value: Option<f64>| value.map_or("–".into(), |v| format!("{v:.2} %"));
    let bytes = |bytes: Option<u64>| bytes.map_or("–".into(), |b| prefixed(b as f64, "B"));
    let mut cells = step(network.score()).to_vec();
    cells.extend([
        percent(agreement),
        percent(network.mean(|n| n.agreement)),
        percent(ece),
        count(first.parameters),
        first.macs.map_or("–".into(), |m| prefixed(m as f64, "")),
        bytes(first.onnx.map(|size| size.bytes)),
        bytes(first.onnx.map(|size| size.gzip)),
        bytes(first.activations),
    ]);
    let learned = match (&first.training, first.learned_from.as_slice()) {
        (None, _) if first.made_of.is_some() => "not trained".into(),
        (None, _) => "loaded".into(),
        (Some(_), []) => "trained on labels".into(),
        (Some(_), from) => format!("learned from {}", from.join(", ")),
    };
    let what = match &first.made_of {
        Some(made_of) => format!("made of the {}; {learned}", made_of.role.title()),
        None => learned,
    };
    rows.push(Row {
        name: super::table::title(&first.role),
        what,
        between: false,
        cells,
    });
    rows
}

const WIDTH: f64 = 400.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 384.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 196.0;

/// The score against a cost on a logarithmic axis, with a line from each network to what was made of it; none where fewer
/// than two networks have the cost.
fn plot(
    title: &'static str,
    unit: &str,
    score: &Score,
    networks: &[Measured],
    cost: impl Fn(&Measured) -> Option<f64>,
) -> Option<Plot> {
    let point = |network: &Measured| {
        let cost = cost(network).filter(|cost| *cost > 0.0)?;
        Some((cost.ln(), network.score()?))
    };
    let points: Vec<Option<(f64, f64)>> = networks.iter().map(point).collect();
    let known: Vec<(f64, f64)> = points.iter().flatten().copied().collect();
    if known.len() < 2 {
        return None;
    }
    let range = |value: fn(&(f64, f64)) -> f64| {
        let low = known.iter().map(value).fold(f64::INFINITY, f64::min);
        let high = known.iter().map(value).fold(f64::NEG_INFINITY, f64::max);
        let margin = (0.06 * (high - low)).max(1e-3);
        (low - margin, high + margin)
    };
    let ((cheap, dear), (low, high)) = (range(|p| p.0), range(|p| p.1));
    let place = |(cost, score): (f64, f64)| {
        let x = LEFT + (RIGHT - LEFT) * (cost - cheap) / (dear - cheap);
        let y = BOTTOM - (BOTTOM - TOP) * (score - low) / (high - low);
        (x, y)
    };
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} 236\" role=\"img\" aria-label=\"{title}\">");
    for (value, y) in [(low, BOTTOM), (high, TOP)] {
        let _ = write!(
            svg,
            "<line stroke=\"#E2E2E2\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y}\" y2=\"{y}\"/>\
             <text fill=\"#444444\" font-size=\"11\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            y + 4.0,
            score.show(value)
        );
    }
    for (value, x, anchor) in [(cheap, LEFT, "start"), (dear, RIGHT, "end")] {
        let _ = write!(
            svg,
            "<text fill=\"#444444\" font-size=\"11\" x=\"{x}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>",
            BOTTOM + 18.0,
            quantity(value.exp(), unit)
        );
    }
    for (network, to) in networks.iter().zip(&points) {
        let Some(to) = to else { continue };
        let role = network.first.made_of.as_ref().map(|made_of| &made_of.role);
        let from = networks.iter().position(|n| Some(&n.first.role) == role);
        if let Some(from) = from.and_then(|from| points[from]) {
            let ((x1, y1), (x2, y2)) = (place(from), place(*to));
            let _ = write!(
                svg,
                "<line stroke=\"#777777\" stroke-dasharray=\"4 3\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" \
                 y2=\"{y2:.1}\"/>"
            );
        }
    }
    for (number, (network, point)) in networks.iter().zip(&points).enumerate() {
        let Some(point) = point else { continue };
        let (x, y) = place(*point);
        let _ = write!(
            svg,
            "<circle fill=\"#0072B2\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"9\"><title>{}: {}, {}</title></circle>\
             <text fill=\"#ffffff\" font-size=\"11\" font-weight=\"600\" x=\"{x:.1}\" y=\"{:.1}\" \
             text-anchor=\"middle\" pointer-events=\"none\">{}</text>",
            super::table::title(&network.first.role),
            score.show(point.1),
            quantity(point.0.exp(), unit),
            y + 4.0,
            number + 1
        );
    }
    svg.push_str("</svg>");
    Some(Plot { title, svg })
}

fn quantity(value: f64, unit: &str) -> String {
    match unit {
        "ms" => format!("{} ms", significant(value, 3)),
        unit => prefixed(value, unit),
    }
}
