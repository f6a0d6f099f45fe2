//! What is printed.

use std::fmt::Display;

use super::network::Deployed;
use super::rows::{Row, Setting, lead};
use crate::{format, table};

/// What each network costs.
pub fn networks(networks: &[Deployed]) -> impl Display {
    let rows = networks.iter().map(|network| {
        let peak = network.peak.map_or("-".to_owned(), format::bytes);
        [
            network.name.clone(),
            format::count(network.cost.parameters),
            format::count(network.cost.macs),
            format::bytes(network.cost.bytes),
            peak,
        ]
    });
    table::table(
        ["network", "parameters", "MACs", "file", "peak memory"],
        1..5,
        rows,
    )
}

/// What was measured.
pub fn rows(rows: &[Row], names: &[String]) -> impl Display {
    let lines = rows.iter().map(|row| {
        let Setting { threads, batch } = row.setting;
        let ms = |value: f64| format::short(value);
        let [median, p95, p99, rate] = match row.times() {
            Some(times) => [
                ms(times.median),
                ms(times.p95),
                ms(times.p99),
                format!("{:.0}", times.images_per_second),
            ],
            None => ["failed", "-", "-", "-"].map(str::to_owned),
        };
        let lead = row.is_ours().then(|| lead(rows, row)).flatten();
        let lead = lead.map_or(String::new(), |lead| format!("{lead:.2}"));
        [
            names[row.network].clone(),
            batch.to_string(),
            threads.to_string(),
            row.runtime.to_owned(),
            median,
            p95,
            p99,
            rate,
            lead,
        ]
    });
    let header = [
        "network",
        "batch",
        "threads",
        "runtime",
        "median ms",
        "p95",
        "p99",
        "images/s",
        "x the best other",
    ];
    table::table(header, 1..9, lines)
}
