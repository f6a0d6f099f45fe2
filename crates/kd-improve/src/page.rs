//! The procedure as a page that loads nothing.

use minijinja::{Environment, context};
use serde::Serialize;

use crate::found::mean;
use crate::ladder::{self, ladder};
use crate::{Candidate, Decision, Error, Improved, Outcome};

const PAGE: &str = include_str!("page.html.j2");
const STYLE: &str = include_str!("page.css");

#[derive(Serialize)]
struct Shown<'a> {
    title: &'a str,
    reason: &'a str,
    sentence: String,
    class: &'static str,
    changes: &'a [String],
    candidates: &'a [Candidate],
    /// Scores of every seed, a row each: so far, with the change, the gain.
    seeds: Vec<[String; 3]>,
}

impl Improved {
    /// The page. `style` is the style of all pages; that of the ladder is added.
    ///
    /// # Errors
    /// [`Error`] when the page cannot be made.
    pub fn to_html(&self, style: &str) -> Result<String, Error> {
        let failed = |problem: minijinja::Error| Error(format!("{problem:#}"));
        let mut templates = Environment::new();
        // The name's ending makes every value escaped as HTML.
        templates
            .add_template("improve.html", PAGE)
            .map_err(failed)?;
        let ladders = [ladder::WIDE, ladder::NARROW];
        let ladders: Vec<String> = ladders
            .into_iter()
            .filter_map(|layout| ladder(self, layout))
            .collect();
        let context = context! {
            style => format!("{style}{STYLE}"),
            name => self.name,
            facts => self.facts,
            verdict => self.verdict(),
            cost => self.cost(),
            limits => self.limits(),
            score => self.score,
            ladders => ladders,
            checks => self.checks,
            findings => self.findings,
            steps => self.shown(),
            changes => self.changes,
            test => self.test,
            test_rows => self.test_rows(),
            links => self.links,
        };
        let page = templates.get_template("improve.html").map_err(failed)?;
        page.render(context).map_err(failed)
    }

    fn shown(&self) -> Vec<Shown<'_>> {
        let steps = self.steps.iter().map(|step| {
            let (class, changes, seeds): (_, &[String], _) = match &step.outcome {
                Outcome::Skipped(_) | Outcome::Failed(_) => ("skipped", &[], Vec::new()),
                Outcome::Tested(tested) => {
                    let seeds = tested.old.iter().zip(&tested.new).zip(&tested.gains);
                    let seeds = seeds.map(|((old, new), gain)| {
                        [
                            format!("{old:.2}"),
                            format!("{new:.2}"),
                            format!("{gain:+.2}"),
                        ]
                    });
                    let class = match tested.decision {
                        Decision::Kept => "kept",
                        _ => "dropped",
                    };
                    (class, &tested.changes, seeds.collect())
                }
            };
            Shown {
                title: &step.title,
                reason: &step.reason,
                sentence: self.sentence(step),
                class,
                changes,
                candidates: &step.candidates,
                seeds,
            }
        });
        steps.collect()
    }

    /// Name, mean and every seed.
    fn test_rows(&self) -> Vec<[String; 3]> {
        let Some(test) = &self.test else {
            return Vec::new();
        };
        let rows = test.rows().into_iter().map(|(name, values)| {
            let each: Vec<String> = values.iter().map(|v| format!("{v:.2}")).collect();
            [
                name.to_owned(),
                format!("{:.2}", mean(values)),
                each.join("  "),
            ]
        });
        rows.collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::words::tests::made;

    #[test]
    fn the_page_is_whole_and_escaped() {
        let page = made().to_html("body { margin: 0 }").unwrap();
        assert!(
            page.contains("<h1>a &lt;b&gt;</h1>") && !page.contains("<b>"),
            "{page}"
        );
        for part in [
            "Take the new recipe",
            "class=\"ladder wide\"",
            "class=\"ladder narrow\"",
            "margin: 0",
            "href=\"best.toml\"",
            "the loss was no number",
            "at most 7.5 %",
        ] {
            assert!(page.contains(part), "{part}");
        }
        assert_eq!(page.matches("<article class=\"step").count(), 5);
        for outside in ["http://", "https://", "src=", "<script", "NaN"] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.trim_end().ends_with("</html>"));
        let mut none = made();
        none.given.clear();
        none.steps.clear();
        none.test = None;
        let page = none.to_html("").unwrap();
        assert!(
            !page.contains("<svg") && page.contains("not finished"),
            "{page}"
        );
    }

    /// Writes a page to look at: `KD_REPORTS=DIR KD_STYLE=FILE cargo test -p kd-improve page -- --ignored`.
    #[test]
    #[ignore = "makes a page for people, and checks nothing"]
    fn page_to_look_at() {
        let target = std::env::var("KD_REPORTS").unwrap();
        let style = std::fs::read_to_string(std::env::var("KD_STYLE").unwrap()).unwrap();
        let page = made().to_html(&style).unwrap();
        std::fs::write(std::path::Path::new(&target).join("improve.html"), page).unwrap();
    }
}
