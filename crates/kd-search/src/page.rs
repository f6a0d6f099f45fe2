//! A search as a page that loads nothing.

use minijinja::{Environment, context};
use serde::Serialize;

use crate::Error;
use crate::found::Found;
use crate::svg;

const PAGE: &str = include_str!("page.html.j2");
const PLOTS: &str = include_str!("page.css");

#[derive(Serialize)]
struct Row {
    number: usize,
    best: bool,
    front: bool,
    cells: Vec<String>,
}

impl Found {
    /// The page. `style` is the style of all pages; that of the plots is added.
    ///
    /// # Errors
    /// [`Error`] when the page cannot be made.
    pub fn to_html(&self, style: &str) -> Result<String, Error> {
        let failed = |problem: minijinja::Error| Error(format!("{problem:#}"));
        let mut templates = Environment::new();
        // The name's ending makes every value escaped as HTML.
        templates
            .add_template("search.html", PAGE)
            .map_err(failed)?;
        let (shares, trials) = self.importance();
        let names = self.space.parameters.iter().map(|p| p.name.clone());
        let mut importance: Vec<(String, f64)> = names
            .zip(shares)
            .map(|(name, share)| (name, (100.0 * share).round()))
            .collect();
        importance.sort_by(|a, b| b.1.total_cmp(&a.1));
        let fronts = (0..self.costs.len()).filter_map(|cost| svg::front(self, cost));
        let (across, up) = svg::pair(self);
        let more = self.space.parameters.len() > 1 + usize::from(up.is_some());
        let context = context! {
            style => format!("{style}{PLOTS}"),
            name => self.name,
            facts => self.facts,
            sentences => self.sentences(),
            command => self.command,
            score => self.score,
            heat => svg::heat(self),
            across => self.space.parameters[across].name,
            up => up.map(|up| &self.space.parameters[up].name),
            more => more,
            parallel => svg::parallel(self),
            importance => importance,
            trials => trials,
            fronts => fronts.collect::<Vec<_>>(),
            columns => self.columns(),
            rows => self.rows(),
            rungs => self.rungs,
        };
        let page = templates.get_template("search.html").map_err(failed)?;
        page.render(context).map_err(failed)
    }

    fn columns(&self) -> Vec<String> {
        let mut columns = vec!["trial".to_owned(), format!("validation {}", self.score)];
        columns.extend(svg::names(self));
        columns.extend(self.costs.iter().cloned());
        columns.extend(["epochs".to_owned(), "seconds".into()]);
        columns
    }

    /// The best first.
    fn rows(&self) -> Vec<Row> {
        let best = self.best().map(|t| t.number);
        let front: Vec<usize> = match self.costs.is_empty() {
            true => Vec::new(),
            false => self.front().iter().map(|t| t.number).collect(),
        };
        let mut trials: Vec<_> = self.trials.iter().collect();
        trials.sort_by(|a, b| {
            let [ours, theirs] = [a, b].map(|t| self.gain(t).unwrap_or(f64::NEG_INFINITY));
            let first = (Some(b.number) == best).cmp(&(Some(a.number) == best));
            first
                .then(theirs.total_cmp(&ours))
                .then(a.number.cmp(&b.number))
        });
        let rows = trials.into_iter().map(|trial| {
            let score = self
                .score_of(trial)
                .map_or("-".into(), |s| format!("{s:.2}"));
            let mut cells = vec![score];
            let values = trial.changes.iter().filter_map(|c| c.split_once('='));
            cells.extend(values.map(|(_, value)| value.trim_matches('"').to_owned()));
            cells.extend(trial.costs.iter().map(|cost| format!("{cost}")));
            cells.resize(1 + trial.changes.len() + self.costs.len(), "-".into());
            cells.push(match trial.same_as {
                Some(other) => format!("as trial {other}"),
                None => trial.epochs().to_string(),
            });
            cells.push(format!("{:.0}", trial.seconds));
            Row {
                number: trial.number,
                best: Some(trial.number) == best,
                front: front.contains(&trial.number),
                cells,
            }
        });
        rows.collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::found::tests::made;

    #[test]
    fn the_page_is_whole_and_escaped() {
        let page = made().to_html("body { margin: 0 }").unwrap();
        assert!(
            page.contains("<h1>a &lt;b&gt;</h1>") && !page.contains("<b>"),
            "{page}"
        );
        for part in [
            "id=\"heat\"",
            "id=\"parallel\"",
            "id=\"importance\"",
            "id=\"front\"",
            "kd train best.toml",
            "margin: 0",
        ] {
            assert!(page.contains(part), "{part}");
        }
        assert_eq!(page.matches("<tr class=\"best\">").count(), 1);
        assert_eq!(page.matches("<tr").count(), 10);
        for outside in ["http://", "https://", "src=", "<script", "NaN"] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.trim_end().ends_with("</html>"));
        let mut none = made();
        none.trials.clear();
        let page = none.to_html("").unwrap();
        assert!(
            !page.contains("id=\"heat\"") && page.contains("0 trials"),
            "{page}"
        );
    }

    /// Writes a page to look at: `KD_REPORTS=DIR KD_STYLE=FILE cargo test -p kd-search page -- --ignored`.
    #[test]
    #[ignore = "makes a page for people, and checks nothing"]
    fn page_to_look_at() {
        let target = std::env::var("KD_REPORTS").unwrap();
        let style = std::fs::read_to_string(std::env::var("KD_STYLE").unwrap()).unwrap();
        let page = made().to_html(&style).unwrap();
        std::fs::write(std::path::Path::new(&target).join("search.html"), page).unwrap();
    }
}
