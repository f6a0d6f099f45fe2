//! The results of a study as a table in Markdown, and what they do and do not show.

use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};

use super::results::{PairedDifference, Results, VariantResult};
use super::statistics::{Difference, Spread};

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
        Some(paired) => [paired.points.show_signed(), verdict(paired)],
    }
}

/// `higher (± 1.6)`.
fn verdict(paired: &PairedDifference) -> String {
    let word = paired.difference.word();
    match paired.uncertainty {
        None => word.into(),
        Some(half) => format!("{word} (± {half:.2})"),
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
    if results.seeds < 2 {
        found.push("One seed cannot tell a difference from chance: use --seeds 3 or more.".into());
        return found;
    }
    found.extend(about("the student alone", results, |v| v.gain.as_ref()));
    if let Some(first) = results.variants.first() {
        let name = format!("`{}`, the first variant,", first.name);
        found.extend(about(&name, results, |v| v.above_first.as_ref()));
    }
    found.push(reading(results));
    found
}

/// Which variants are above and below something.
fn about(
    what: &str,
    results: &Results,
    paired: impl Fn(&VariantResult) -> Option<&PairedDifference>,
) -> Option<String> {
    let of = |wanted: Difference| {
        let names: Vec<_> = results
            .variants
            .iter()
            .filter(|v| paired(v).is_some_and(|p| p.difference == wanted))
            .map(|v| format!("`{}`", v.name))
            .collect();
        names.join(", ")
    };
    let parts: Vec<_> = [
        ("higher", of(Difference::Higher)),
        ("lower", of(Difference::Lower)),
        ("no difference shown", of(Difference::NotShown)),
    ]
    .into_iter()
    .filter(|(_, names)| !names.is_empty())
    .map(|(how, names)| format!("{how}: {names}"))
    .collect();
    (!parts.is_empty()).then(|| {
        format!(
            "Against {what} at {} seeds: {}.",
            results.seeds,
            parts.join("; ")
        )
    })
}

/// How to read the table.
fn reading(results: &Results) -> String {
    let seeds = results.seeds;
    // A standard deviation of 1.
    let unit: Vec<f64> = (0..seeds)
        .map(|i| if i % 2 == 0 { 1.0 } else { -1.0 })
        .collect();
    let unit = Spread::of(&unit);
    let factor = unit.uncertainty(0.0).unwrap_or(0.0) / unit.std.unwrap_or(1.0);
    let comparisons = results
        .variants
        .iter()
        .map(|v| usize::from(v.gain.is_some()) + usize::from(v.above_first.is_some()))
        .sum::<usize>();
    let test = results.data.test;
    let share = results
        .variants
        .first()
        .map_or(0.5, |v| v.score.mean / 100.0);
    let of_images = 100.0 * (share * (1.0 - share) / test.max(1) as f64).sqrt();
    format!(
        "± after a mean is the standard deviation over {seeds} seeds; differences are between \
         networks of the same seed. A difference is called one when the 95 % interval of its mean \
         (in brackets; Student's t) leaves out 0, which takes {factor:.1} standard deviations at \
         {seeds} seeds. Of {comparisons} such comparisons, one in twenty is expected to be called a \
         difference when none is one. \"Not shown\" is not \"none\": more seeds may show it. And all \
         seeds are measured on the same {test} test images, which tell an accuracy to about \
         ± {of_images:.1} points (standard error): the intervals do not say what other images would \
         give, so a difference that is small beside this may be one of these images only."
    )
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
