//! `study.html`: a study on one page that needs nothing else.

use minijinja::{Environment, context};

use super::{dots, results::Results, words};
use crate::Error;

const TEMPLATE: &str = include_str!("study.html.j2");
const STYLE: &str = include_str!("study.css");

/// The page; links to the variants' reports are relative to the study's folder.
pub(super) fn html(results: &Results) -> Result<String, Error> {
    let failed = |problem: minijinja::Error| Error::Report(format!("{problem:#}"));
    let mut templates = Environment::new();
    // The name's ending makes every value escaped as HTML.
    templates
        .add_template("study.html", TEMPLATE)
        .map_err(failed)?;
    let mut sentences = words::sentences(results);
    let reading = (results.seeds > 1).then(|| sentences.pop()).flatten();
    let context = context! {
        style => STYLE,
        name => results.name,
        facts => facts(results),
        sentences => sentences,
        reading => reading,
        columns => words::columns(results),
        rows => words::rows(results),
        reports => results.variants.iter().map(|v| &v.name).collect::<Vec<_>>(),
        plot => dots::plot(results),
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
    use crate::study::{NetworkResult, PairedDifference, Spread, StudyData, VariantResult};

    fn paired(values: &[f64]) -> Option<PairedDifference> {
        let points = Spread::of(values);
        Some(PairedDifference {
            uncertainty: points.uncertainty(0.05),
            difference: points.difference(0.05),
            points,
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
            unit: crate::Unit::Percent,
            seeds: 3,
            planned: 3,
            teacher: None,
            alone: Some(NetworkResult {
                model: "resnet8".into(),
                score: Spread::of(&[80.0, 81.0, 82.0]),
            }),
            variants: vec![
                variant("kd", &[85.0, 85.5, 86.0], paired(&[4.0, 4.5, 5.0]), None),
                variant(
                    "at",
                    &[80.0, 82.0, 82.0],
                    paired(&[0.0, 1.0, 0.0]),
                    paired(&[-5.0, -3.5, -4.0]),
                ),
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
            "- Against the student alone at 3 seeds: higher: `kd`; no difference shown: `at`.",
            "- Against `kd`, the first variant, at 3 seeds: lower: `at`.",
            "2.5 standard deviations at 3 seeds. Of 3 such comparisons",
            "2000 test images, which tell an accuracy to about ± 0.8 points",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }

    #[test]
    fn one_seed_is_no_comparison() {
        let mut results = results();
        results.seeds = 1;
        let text = words::markdown(&results);
        assert!(text.contains("One seed cannot tell"), "{text}");
        assert!(!text.contains("Against"), "{text}");
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
        // A dot a seed, of the student alone and of two variants.
        assert_eq!(page.matches("<circle").count(), 9);
        for outside in ["http://", "https://", "src=", "<script", "NaN"] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.trim_end().ends_with("</html>"));
    }
}
