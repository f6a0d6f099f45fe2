//! The table that ends a run.

use std::path::Path;

use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};
use kd_train::{Arm, ArmSummary, CacheSummary, Gain, Summary, study::Spread};

use crate::format::{bytes, count};

/// A table in Markdown, so that it can be pasted, with the columns of `numbers` to the right.
pub fn table<const N: usize>(
    header: [&str; N],
    numbers: std::ops::Range<usize>,
    rows: impl IntoIterator<Item = [String; N]>,
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
    let rows = summary.distinct_arms().into_iter().filter_map(|arm| {
        let runs: Vec<_> = summary.arms.iter().filter(|a| a.arm == *arm).collect();
        row(arm, &runs)
    });
    let header = [
        "network",
        "parameters",
        "MACs",
        "size",
        "top-1 %",
        "top-5 %",
        "agreement %",
        "ECE %",
        "latency ms (p95)",
        "images/s",
    ];
    let mut text = table(header, 1..header.len(), rows).to_string();
    if let Some(gain) = &summary.gain {
        text.push_str("\n\n");
        text.push_str(&gain_line(gain));
    }
    if let Some(cache) = &summary.cache {
        text.push('\n');
        text.push_str(&cache_line(cache));
    }
    text
}

/// Where the results are.
pub fn places(folder: &Path) -> String {
    let report = folder.join("report.html");
    format!(
        "run folder  {}\nreport      {}",
        folder.display(),
        report.display()
    )
}

fn row(arm: &Arm, runs: &[&ArmSummary]) -> Option<[String; 10]> {
    let first = runs.first()?;
    let name = format!("{} ({})", arm.title(), first.model);
    let over = |f: &dyn Fn(&ArmSummary) -> f64| {
        Spread::of(&runs.iter().map(|run| f(run)).collect::<Vec<_>>())
    };
    let agreement: Option<Vec<f64>> = runs.iter().map(|run| run.agreement).collect();
    Some([
        name,
        count(first.parameters),
        count(first.macs),
        bytes(first.bytes),
        over(&|r| r.test.top1).show(),
        over(&|r| r.test.top5).show(),
        // A teacher always agrees with itself.
        match agreement {
            Some(values) if *arm != Arm::Teacher => Spread::of(&values).show(),
            _ => "-".into(),
        },
        over(&|r| r.test.ece).show(),
        format!(
            "{:.2} ({:.2})",
            over(&|r| r.latency.median_ms).mean,
            over(&|r| r.latency.p95_ms).mean
        ),
        format!("{:.0}", over(&|r| r.images_per_second).mean),
    ])
}

fn gain_line(gain: &Gain) -> String {
    let points = if gain.per_seed.len() > 1 {
        let each: Vec<_> = gain.per_seed.iter().map(|g| format!("{g:+.2}")).collect();
        let std = gain.std.map_or(String::new(), |s| format!(" ± {s:.2}"));
        format!(
            "{:+.2}{std} points of test top-1 over {} seeds ({})",
            gain.mean,
            gain.per_seed.len(),
            each.join(", ")
        )
    } else {
        format!("{:+.2} points of test top-1 (one seed)", gain.mean)
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
    use kd_train::{Accuracy, DataSummary, Latency};

    use super::*;

    fn arm(arm: Arm, seed: Option<u64>, top1: f64) -> ArmSummary {
        ArmSummary {
            arm,
            seed,
            model: "resnet8".into(),
            parameters: 78_042,
            macs: 12_000_000,
            bytes: 320_000,
            adapter_parameters: 0,
            learned_from: Vec::new(),
            test: Accuracy {
                top1,
                top5: 99.0,
                loss: 0.5,
                ece: 2.0,
                per_class: vec![Some(top1)],
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

    fn summary(arms: Vec<ArmSummary>, gain: Option<Gain>) -> Summary {
        Summary {
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
            arms,
            gain,
            temperature: None,
            cache: None,
        }
    }

    #[test]
    fn seeds_become_mean_and_deviation() {
        let text = results(&summary(
            vec![
                arm(Arm::Teacher, None, 90.0),
                arm(Arm::Alone, Some(1), 80.0),
                arm(Arm::Alone, Some(2), 82.0),
                arm(Arm::Distilled, Some(1), 83.0),
                arm(Arm::Distilled, Some(2), 85.0),
            ],
            Some(Gain {
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
        let mut summary = summary(vec![arm(Arm::Distilled, Some(1), 83.0)], None);
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
        let arms = vec![arm(Arm::Distilled, Some(1), 83.0)];
        let text = results(&summary(arms, None));
        assert!(text.contains("83.00") && !text.contains('±'), "{text}");
        assert!(!text.contains("minus"), "{text}");
    }
}
