//! `study.html`: a study on one page that needs nothing else.

use minijinja::{Environment, context};

use super::{dots, results::Results, words};
use crate::Error;

const TEMPLATE: &str = include_str!("study.html.j2");
/// The style of a page.
pub(crate) const STYLE: &str = include_str!("study.css");

/// The page; links to the variants' reports are relative to the study's folder.
pub(super) fn html(results: &Results) -> Result<String, Error> {
    let failed = |problem: minijinja::Error| Error::Report(format!("{problem:#}"));
    let mut templates = Environment::new();
    // The name's ending makes every value escaped as HTML.
    templates
        .add_template("study.html", TEMPLATE)
        .map_err(failed)?;
    let mut sentences = words::sentences(results);
    let reading = sentences.pop();
    let context = context! {
        style => STYLE,
        name => results.name,
        facts => facts(results),
        sentences => sentences,
        reading => reading,
        columns => words::columns(results),
        rows => words::rows(results),
        reports => results.variants.iter().map(|v| &v.name).collect::<Vec<_>>(),
        plots => [
            ("wide", dots::plot(results, dots::WIDE)),
            ("narrow", dots::plot(results, dots::NARROW)),
        ],
        score => format!("{} {}", results.score, results.unit.symbol()).trim_end(),
        has_alone => results.alone.is_some(),
        variants => results.variants,
    };
    templates
        .get_template("study.html")
        .and_then(|template| template.render(context))
        .map_err(failed)
}

/// Name and value of what the measurements depend on.
fn facts(results: &Results) -> Vec<(&'static str, String)> {
    let data = &results.data;
    let threads = match results.threads {
        1 => "1 CPU thread".into(),
        threads => format!("{threads} CPU threads"),
    };
    vec![
        (
            "Data",
            format!(
                "{}: {} training and {} test images",
                data.name, data.train, data.test
            ),
        ),
        ("SHA-256", data.sha256.chars().take(16).collect()),
        ("Seeds", results.seeds.to_string()),
        ("Device", format!("{}, {threads}", results.device)),
        ("Version", format!("kd {}", results.version)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{Pair, Spread, Verdict};
    use crate::study::{NetworkResult, PairedDifference, StudyData, VariantResult};
    use crate::{Better, Unit};

    fn paired(new: &[f64], old: &[f64]) -> Option<PairedDifference> {
        let pairs = new.iter().zip(old).map(|(&new, &old)| Pair::of(new, old));
        let pairs: Vec<_> = pairs.collect();
        let points = pairs.iter().map(|pair| pair.new - pair.old);
        Some(PairedDifference {
            points: Spread::of(&points.collect::<Vec<_>>()),
            verdict: Verdict::of(&pairs, Better::Higher, Unit::Percent, 2000, true)?,
        })
    }

    fn variant(
        name: &str,
        top1: &[f64],
        gain: Option<PairedDifference>,
        above_first: Option<PairedDifference>,
    ) -> VariantResult {
        VariantResult {
            name: name.into(),
            model: "resnet8".into(),
            changes: vec!["objective={ kd = { weight = 0.9 } }".into()],
            score: Spread::of(top1),
            gain,
            above_first,
            seconds: Some(75.0),
        }
    }

    const ALONE: [f64; 3] = [80.0, 81.0, 82.0];
    const KD: [f64; 3] = [85.0, 85.5, 86.0];
    const AT: [f64; 3] = [80.0, 82.0, 82.0];

    fn results() -> Results {
        Results {
            name: "a <b>".into(),
            version: "0".into(),
            device: "flex".into(),
            threads: 2,
            data: StudyData {
                name: "fashion".into(),
                sha256: "0123".into(),
                train: 2000,
                test: 2000,
            },
            score: "top-1".into(),
            unit: Unit::Percent,
            seeds: 3,
            planned: 3,
            teacher: None,
            alone: Some(NetworkResult {
                model: "resnet8".into(),
                score: Spread::of(&ALONE),
            }),
            why: Vec::new(),
            variants: vec![
                variant("kd", &KD, paired(&KD, &ALONE), None),
                variant("at", &AT, paired(&AT, &ALONE), paired(&AT, &KD)),
            ],
        }
    }

    #[test]
    fn the_table_tells_a_difference_from_chance() {
        let text = words::markdown(&results());
        for part in [
            " above kd |",
            "81.00 ± 1.00",
            "+4.50 ± 0.50",
            "higher (± 1.24)",
            "not shown (± 1.43)",
            "lower (± 1.90)",
            "1 min 15 s",
            "- 2 of 3 variants are finished.",
            "- Against the student alone at 3 seeds: higher: `kd`; not shown: `at`.",
            "- Against `kd`, the first variant, at 3 seeds: lower: `at`.",
            "is 2.5 standard deviations from it, at 3 seeds.",
            "2,000 test images tell two accuracies apart from 2.4 points on, at most",
            "Of 3 such comparisons",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }

    #[test]
    fn a_bad_teacher_is_named() {
        let mut results = results();
        results.why = vec!["the teacher has 11.00 % test top-1".into()];
        let line = "Why: the teacher has 11.00 % test top-1.";
        assert!(words::markdown(&results).contains(&format!("- {line}\n")));
        assert!(html(&results).unwrap().contains(line));
    }

    #[test]
    fn one_seed_shows_what_the_images_tell() {
        let mut results = results();
        results.seeds = 1;
        results.variants = vec![
            variant("kd", &KD[..1], paired(&KD[..1], &ALONE[..1]), None),
            variant(
                "at",
                &AT[..1],
                paired(&AT[..1], &ALONE[..1]),
                paired(&AT[..1], &KD[..1]),
            ),
        ];
        let text = words::markdown(&results);
        for part in [
            "One seed has no interval over seeds: use --seeds 3",
            "Against the student alone at one seed: higher in this seed: `kd`; not shown: `at`.",
            "| lower in this seed |",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }

    #[test]
    fn the_page_is_whole_and_escaped() {
        let page = html(&results()).unwrap();
        assert!(
            page.contains("<h1>a &lt;b&gt;</h1>") && !page.contains("<b>"),
            "{page}"
        );
        assert!(page.contains("href=\"at/report.html\""), "{page}");
        assert!(page.contains("higher: <code>kd</code>;"), "{page}");
        // A dot a seed, of the student alone and of two variants, once for wide and once for narrow screens.
        assert_eq!(page.matches("<circle").count(), 2 * 9);
        assert!(page.contains("dots narrow") && page.contains("dots wide"));
        // What is wider than the screen says so.
        assert!(!STYLE.contains("min-width") && STYLE.contains("no-repeat scroll"));
        for outside in ["http://", "https://", "src=", "<script", "NaN"] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.trim_end().ends_with("</html>"));
    }

    /// Writes a page to look at: `KD_REPORTS=DIR cargo test -p kd-train study::page -- --ignored`.
    #[test]
    #[ignore = "makes a page for people, and checks nothing"]
    fn page_to_look_at() {
        let target = std::env::var("KD_REPORTS").unwrap();
        let page = html(&results()).unwrap();
        std::fs::write(std::path::Path::new(&target).join("study.html"), page).unwrap();
    }
}
