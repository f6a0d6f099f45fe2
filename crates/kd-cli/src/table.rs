//! The table that ends a run.

use std::path::Path;

use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};
use kd_train::{CacheSummary, Gain, NetworkSummary, Role, Score, Summary, stats::Spread};

use crate::format::{bytes, count};

/// A table in Markdown, so that it can be pasted, with the columns of `numbers` to the right.
pub fn table<const N: usize>(
    header: [&str; N],
    numbers: std::ops::Range<usize>,
    rows: impl IntoIterator<Item = [String; N]>,
) -> Table {
    let header = header.map(String::from).to_vec();
    of_columns(header, numbers, rows.into_iter().map(Vec::from))
}

fn of_columns(
    header: Vec<String>,
    numbers: std::ops::Range<usize>,
    rows: impl IntoIterator<Item = Vec<String>>,
) -> Table {
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN).set_header(header);
    for row in rows {
        table.add_row(row);
    }
    for index in numbers {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// What a run measured: a row for each network (the mean over its seeds), then the gain.
pub fn results(summary: &Summary) -> String {
    let rows = summary.distinct_roles().into_iter().filter_map(|role| {
        let runs: Vec<_> = summary
            .networks
            .iter()
            .filter(|n| n.role == *role)
            .collect();
        row(role, &runs, summary.scores())
    });
    let fixed = |titles: &[&str]| titles.iter().map(|t| String::from(*t)).collect::<Vec<_>>();
    let scores = summary.scores().iter().map(Score::heading);
    let header = fixed(&["network", "parameters", "MACs", "size"])
        .into_iter()
        .chain(scores)
        .chain(fixed(&["agreement %", "latency ms (p95)", "images/s"]))
        .collect::<Vec<_>>();
    let mut text = of_columns(header.clone(), 1..header.len(), rows).to_string();
    if let Some(gain) = &summary.gain {
        text.push_str("\n\n");
        text.push_str(&gain_line(gain));
    }
    if let Some(verdict) = summary.verdict() {
        text.push('\n');
        text.push_str(&verdict.sentence());
    }
    for reason in summary.why() {
        text.push_str(&format!("\n{}: {reason}", summary.why_word()));
    }
    if let Some(cache) = &summary.cache {
        text.push('\n');
        text.push_str(&cache_line(cache));
    }
    text
}

/// Where the results are, and whose weights the student's file holds.
pub fn places(folder: &Path, summary: &Summary) -> String {
    let report = folder.join("report.html");
    let student = summary.student.as_ref();
    let student = student.map_or(String::new(), |student| {
        format!("\nstudent     {}", student.sentence())
    });
    format!(
        "run folder  {}\nreport      {}{student}",
        folder.display(),
        report.display()
    )
}

fn row(role: &Role, runs: &[&NetworkSummary], scores: &[Score]) -> Option<Vec<String>> {
    let first = runs.first()?;
    let over = |f: &dyn Fn(&NetworkSummary) -> f64| {
        Spread::of(&runs.iter().map(|run| f(run)).collect::<Vec<_>>())
    };
    let mut cells = vec![
        format!("{} ({})", role.title(), first.model),
        count(first.parameters),
        first.macs.map_or("-".into(), count),
        bytes(first.bytes),
    ];
    for score in scores {
        let values: Option<Vec<f64>> = runs.iter().map(|run| run.test.get(&score.key)).collect();
        cells.push(values.map_or("-".into(), |values| {
            Spread::of(&values).show_with(score.unit.decimals())
        }));
    }
    let agreement: Option<Vec<f64>> = runs.iter().map(|run| run.agreement).collect();
    cells.extend([
        // A teacher always agrees with itself.
        match agreement {
            Some(values) if *role != Role::Teacher => Spread::of(&values).show(),
            _ => "-".into(),
        },
        format!(
            "{:.2} ({:.2})",
            over(&|r| r.latency.median_ms).mean,
            over(&|r| r.latency.p95_ms).mean
        ),
        format!("{:.0}", over(&|r| r.images_per_second).mean),
    ]);
    Some(cells)
}

fn gain_line(gain: &Gain) -> String {
    let of = match gain.unit.difference() {
        "" => format!("test {}", gain.score),
        unit => format!("{unit} of test {}", gain.score),
    };
    let points = if gain.per_seed.len() > 1 {
        let each: Vec<_> = gain.per_seed.iter().map(|g| format!("{g:+.2}")).collect();
        let std = gain.std.map_or(String::new(), |s| format!(" ± {s:.2}"));
        format!(
            "{:+.2}{std} {of} over {} seeds ({})",
            gain.mean,
            gain.per_seed.len(),
            each.join(", ")
        )
    } else {
        format!("{:+.2} {of} (one seed)", gain.mean)
    };
    format!("distilled minus alone: {points}")
}

fn cache_line(cache: &CacheSummary) -> String {
    let place = match &cache.file {
        None => "memory".into(),
        Some(file) => file.display().to_string(),
    };
    format!(
        "teacher cache: {:.1} % of the teacher's work saved ({} of {} images answered from {} of \
         {place})",
        cache.saved,
        count(cache.hits),
        count(cache.hits + cache.misses),
        bytes(cache.bytes)
    )
}

#[cfg(test)]
mod tests {
    use kd_train::{DataSummary, Latency, Scores, Unit};

    use super::*;

    fn role(role: Role, seed: Option<u64>, top1: f64) -> NetworkSummary {
        NetworkSummary {
            made_of: None,
            changed: Vec::new(),
            onnx: None,
            activations: None,
            role,
            seed,
            model: "resnet8".into(),
            parameters: 78_042,
            macs: Some(12_000_000),
            bytes: 320_000,
            adapter_parameters: 0,
            learned_from: Vec::new(),
            validation: None,
            test: Scores {
                list: vec![
                    Score::percent("top1", "top-1", top1),
                    Score::nats("loss", "cross-entropy", 0.5),
                ],
                per_class: vec![Some(top1)],
                found: Vec::new(),
                resampled: Vec::new(),
            },
            agreement: Some(90.0),
            latency: Latency {
                median_ms: 1.25,
                p95_ms: 2.5,
            },
            images_per_second: 1234.4,
            training: None,
        }
    }

    fn summary(networks: Vec<NetworkSummary>, gain: Option<Gain>) -> Summary {
        Summary {
            exported: Vec::new(),
            name: "test".into(),
            version: "0".into(),
            device: "flex".into(),
            threads: 1,
            data: DataSummary {
                name: "fashion".into(),
                sha256: String::new(),
                train: 1,
                validation: 1,
                test: 1,
                classes: vec!["a".into()],
            },
            networks,
            gain,
            temperature: None,
            pictures: Vec::new(),
            student: None,
            cache: None,
        }
    }

    #[test]
    fn seeds_become_mean_and_deviation() {
        let text = results(&summary(
            vec![
                role(Role::Teacher, None, 90.0),
                role(Role::Baseline, Some(1), 80.0),
                role(Role::Baseline, Some(2), 82.0),
                role(Role::Distilled, Some(1), 83.0),
                role(Role::Distilled, Some(2), 85.0),
            ],
            Some(Gain {
                score: "top-1".into(),
                unit: Unit::Percent,
                mean: 3.0,
                std: Some(0.0),
                per_seed: vec![3.0, 3.0],
            }),
        ));
        assert!(text.contains("81.00 ± 1.41"), "{text}");
        assert!(
            text.contains("+3.00 ± 0.00 points of test top-1 over 2 seeds"),
            "{text}"
        );
        // The sentence of reports and studies.
        assert!(text.contains("\nA difference is not shown"), "{text}");
        assert!(
            text.contains("78.0 K") && text.contains("1.25 (2.50)"),
            "{text}"
        );
        assert_eq!(
            text.lines().filter(|l| l.starts_with('|')).count(),
            5,
            "{text}"
        );
    }

    #[test]
    fn a_cache_is_one_line() {
        let mut summary = summary(vec![role(Role::Distilled, Some(1), 83.0)], None);
        assert!(!results(&summary).contains("cache"));
        summary.cache = Some(CacheSummary {
            hits: 9_000,
            misses: 3_000,
            saved: 75.0,
            answers: 3_000,
            bytes: 1_200_000,
            file: None,
        });
        let text = results(&summary);
        let want = "\nteacher cache: 75.0 % of the teacher's work saved (9.00 K of 12.0 K images \
                    answered from 1.20 MB of memory)";
        assert!(text.ends_with(want), "{text}");
    }

    #[test]
    fn one_seed_has_no_deviation() {
        let networks = vec![role(Role::Distilled, Some(1), 83.0)];
        let text = results(&summary(networks, None));
        assert!(text.contains("83.00") && !text.contains('±'), "{text}");
        assert!(!text.contains("minus") && !text.contains("shown"), "{text}");
    }
}
