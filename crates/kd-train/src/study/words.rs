//! The results of a study as a table in Markdown, and what they do and do not show.

use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};

use super::results::{PairedDifference, Results, VariantResult};
use crate::report::words::count;
use crate::stats::{Spread, Verdict};

/// Titles of the columns.
pub(super) fn columns(results: &Results) -> [String; 7] {
    let first = results.variants.first().map_or("the first", |v| &v.name);
    [
        "variant".into(),
        format!("test {} {}", results.score, results.unit.symbol())
            .trim_end()
            .into(),
        "above alone".into(),
        "a difference?".into(),
        format!("above {first}"),
        "a difference?".into(),
        "time a seed".into(),
    ]
}

/// The cells of every row, the student alone first.
pub(super) fn rows(results: &Results) -> Vec<[String; 7]> {
    let alone = results.alone.iter().map(|network| {
        let mut cells: [String; 7] = std::array::from_fn(|_| "-".into());
        cells[0] = "student alone".into();
        cells[1] = network.score.show();
        cells
    });
    alone.chain(results.variants.iter().map(row)).collect()
}

fn row(variant: &VariantResult) -> [String; 7] {
    let [gain, is_gain] = cells(variant.gain.as_ref());
    let [above, is_different] = cells(variant.above_first.as_ref());
    [
        variant.name.clone(),
        variant.score.show(),
        gain,
        is_gain,
        above,
        is_different,
        variant.seconds.map_or("-".into(), duration),
    ]
}

fn cells(difference: Option<&PairedDifference>) -> [String; 2] {
    match difference {
        None => ["-".into(), "-".into()],
        Some(paired) => [paired.points.show_signed(), word(&paired.verdict)],
    }
}

/// `higher (± 1.6)`.
fn word(verdict: &Verdict) -> String {
    match verdict.seed_interval {
        None => verdict.word().into(),
        Some(half) => format!("{} (± {half:.2})", verdict.word()),
    }
}

/// A duration: `42 s`, `3 min 20 s`, `5 h 10 min`, `12 days`.
fn duration(seconds: f64) -> String {
    let s = seconds.round().max(0.0) as u64;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min {} s", s / 60, s % 60),
        3600..172_800 => format!("{} h {} min", s / 3600, s % 3600 / 60),
        _ => format!("{} days", (s as f64 / 86_400.0).round()),
    }
}

/// `table.md`.
pub(super) fn markdown(results: &Results) -> String {
    let mut table = Table::new();
    table
        .load_preset(ASCII_MARKDOWN)
        .set_header(columns(results));
    table.add_rows(rows(results));
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let mut text = format!("{table}\n\n");
    for sentence in sentences(results) {
        text.push_str(&format!("- {sentence}\n"));
    }
    text
}

/// What the seeds show and what they do not.
pub(super) fn sentences(results: &Results) -> Vec<String> {
    let mut found = Vec::new();
    let finished = results.variants.len();
    if finished < results.planned {
        found.push(format!(
            "{finished} of {} variants are finished.",
            results.planned
        ));
    }
    if let Some(teacher) = &results.teacher {
        found.push(format!(
            "The teacher, {}, has {} test {}.",
            teacher.model,
            format!("{} {}", teacher.score.show(), results.unit.symbol()).trim_end(),
            results.score
        ));
    }
    found.extend(results.why.iter().map(|reason| format!("Why: {reason}.")));
    found.extend(about("the student alone", results, |v| v.gain.as_ref()));
    if let Some(first) = results.variants.first() {
        let name = format!("`{}`, the first variant,", first.name);
        found.extend(about(&name, results, |v| v.above_first.as_ref()));
    }
    found.push(reading(results));
    found
}

/// Which variants are above and below something, those that are shown first.
fn about(
    what: &str,
    results: &Results,
    paired: impl Fn(&VariantResult) -> Option<&PairedDifference>,
) -> Option<String> {
    let mut groups: Vec<(&str, Vec<String>)> = Vec::new();
    let mut compared: Vec<_> = results
        .variants
        .iter()
        .filter_map(|v| Some((&v.name, &paired(v)?.verdict)))
        .collect();
    compared.sort_by_key(|(_, verdict)| (verdict.evidence as u8, verdict.mean <= 0.0));
    for (name, verdict) in compared {
        let name = format!("`{name}`");
        match groups.last_mut() {
            Some((word, names)) if *word == verdict.word() => names.push(name),
            _ => groups.push((verdict.word(), vec![name])),
        }
    }
    let parts = groups.iter();
    let parts: Vec<_> = parts
        .map(|(word, names)| format!("{word}: {}", names.join(", ")))
        .collect();
    let seeds = match results.seeds {
        1 => "one seed".into(),
        seeds => format!("{seeds} seeds"),
    };
    (!parts.is_empty()).then(|| format!("Against {what} at {seeds}: {}.", parts.join("; ")))
}

/// How to read the table.
fn reading(results: &Results) -> String {
    let verdicts = || {
        let variants = results.variants.iter();
        let paired = variants.flat_map(|v| [v.gain.as_ref(), v.above_first.as_ref()]);
        paired.flatten().map(|paired| &paired.verdict)
    };
    let comparisons = verdicts().count();
    let widest = verdicts().filter_map(|v| v.image_interval);
    let widest = widest.fold(f64::NAN, f64::max);
    let seeds = results.seeds;
    let mut text = String::from("Differences are between networks of the same seed. ");
    if seeds > 1 {
        // A standard deviation of 1.
        let unit: Vec<f64> = (0..seeds)
            .map(|i| if i % 2 == 0 { 1.0 } else { -1.0 })
            .collect();
        let unit = Spread::of(&unit);
        let factor = unit.uncertainty(0.0).unwrap_or(0.0) / unit.std.unwrap_or(1.0);
        text.push_str(&format!(
            "± after a mean is the standard deviation over {seeds} seeds. In brackets is half the 95 % interval \
             of the mean difference (Student's t): it leaves out 0 when the mean is {factor:.1} standard \
             deviations from it, at {seeds} seeds. "
        ));
    } else {
        text.push_str("One seed has no interval over seeds: use --seeds 3 or more. ");
    }
    if widest.is_finite() {
        let (what, how) = match results.score.starts_with("top-1") {
            true => ("accuracies", "Agresti and Caffo 2000"),
            false => (
                "networks",
                "by sets of images drawn with replacement, Efron 1979",
            ),
        };
        text.push_str(&format!(
            "{} test images tell two {what} apart from {widest:.1} points on, at most (95 %; {how}). \"Higher\" and \"lower\" are what both find. \"On these images\": the seeds agree, but \
             on other images the difference may vanish. \"In every seed\": the networks do differ, but the \
             seeds cannot say by how much others would. ",
            count(results.data.test as u64)
        ));
    }
    text.push_str(&format!(
        "\"Not shown\" is not \"none\": more seeds may show it. Of {comparisons} such comparisons, one in twenty \
         is expected to be called a difference when none is one."
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units_at_most() {
        assert_eq!(duration(59.4), "59 s");
        assert_eq!(duration(200.0), "3 min 20 s");
        assert_eq!(duration(18_600.0), "5 h 10 min");
        assert_eq!(duration(1_000_000.0), "12 days");
    }
}
