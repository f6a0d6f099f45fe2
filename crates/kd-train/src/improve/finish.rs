//! The end: the test split, and what is written.

use kd_improve::TestSplit;

use super::run::{ImproveObserver, Procedure, Within};
use crate::Error;
use crate::folder::write_atomically;
use crate::study::{self, Shared, Study, Variant};

/// What was found so far.
pub(super) const FILE: &str = "improve.json";

impl Procedure<'_> {
    /// Measures the given and the best recipe on the test split, with all seeds. Their trainings are there.
    pub(super) fn measure(&mut self, observer: &mut dyn ImproveObserver) -> Result<(), Error> {
        let variant =
            |name: &str, changes: &[String], alone: bool, observer: &mut dyn ImproveObserver| {
                let all = [changes, &[format!("compare={alone}")]].concat();
                Ok::<_, Error>(Variant {
                    name: name.into(),
                    changes: changes.into(),
                    recipe: self.trainer.recipe(
                        &format!("{}-{name}", self.found.name),
                        &all,
                        observer,
                    )?,
                })
            };
        let mut variants = vec![variant("given", &[], true, observer)?];
        if !self.changes.is_empty() {
            variants.push(variant("best", &self.changes, false, observer)?);
        }
        let study = Study {
            name: self.found.name.clone(),
            recipe: self.trainer.path.into(),
            seeds: self.options.seeds,
            variants,
        };
        let (out, shared) = (
            self.options.out.join("test"),
            Shared::new(&self.options.out),
        );
        let (device, name) = (self.device, &self.options.device_name);
        let results = study::from(
            &study,
            &out,
            Some(&shared),
            device,
            name,
            &mut Within(observer),
        )?;
        let of = |name: &str| results.variants.iter().find(|v| v.name == name);
        let values = |name: &str| of(name).map_or(Vec::new(), |v| v.score.values.clone());
        let difference = of("best").and_then(|best| best.above_first.as_ref());
        self.found.test = Some(TestSplit {
            images: results.data.test,
            teacher: results.teacher.as_ref().map(|t| t.score.mean),
            alone: results
                .alone
                .as_ref()
                .map_or(Vec::new(), |alone| alone.score.values.clone()),
            given: values("given"),
            best: values("best"),
            gain: difference.map(|d| (d.verdict.mean, d.verdict.seed_interval)),
            shown: difference.is_some_and(|d| d.verdict.gained()),
            sentence: difference.map_or(String::new(), |d| d.verdict.sentence()),
        });
        self.link("The measurement on test images", "test/study.html");
        Ok(())
    }

    /// Names a file beside the page.
    pub(super) fn link(&mut self, title: &str, path: &str) {
        self.found.links.retain(|(known, _)| known != title);
        self.found.links.push((title.into(), path.into()));
    }

    /// Writes what is known so far.
    pub(super) fn write(&mut self, observer: &mut dyn ImproveObserver) -> Result<(), Error> {
        self.trainer.clock();
        self.found.spent = self.trainer.ledger.spent;
        self.found.changes.clone_from(&self.changes);
        let out = &self.options.out;
        let all = [&self.changes[..], &["compare=true".into()]].concat();
        let best = self
            .trainer
            .recipe(&format!("{}-best", self.found.name), &all, observer)?;
        write_atomically(&out.join("best.toml"), best.to_toml()?.as_bytes())?;
        self.link("The best recipe", "best.toml");
        let path = out.join(FILE);
        let json = serde_json::to_string_pretty(&self.found).map_err(|e| Error::Format {
            path: path.clone(),
            problem: e.to_string(),
        })?;
        write_atomically(&path, (json + "\n").as_bytes())?;
        let page = self.found.to_html(study::STYLE);
        let page = page.map_err(|e| Error::Report(e.to_string()))?;
        write_atomically(&out.join("improve.html"), page.as_bytes())
    }
}
