//! A verdict in words.

use super::{Evidence, Verdict};
use crate::report::words::count;

impl Verdict {
    /// In a cell of a table: `higher`, `lower on these images`, `not shown`.
    pub fn word(&self) -> &'static str {
        match (self.evidence, self.mean > 0.0, self.seeds) {
            (Evidence::Shown, true, _) => "higher",
            (Evidence::Shown, false, _) => "lower",
            (Evidence::TheseImages, true, _) => "higher on these images",
            (Evidence::TheseImages, false, _) => "lower on these images",
            (Evidence::TheseSeeds, true, 1) => "higher in this seed",
            (Evidence::TheseSeeds, false, 1) => "lower in this seed",
            (Evidence::TheseSeeds, true, _) => "higher in every seed",
            (Evidence::TheseSeeds, false, _) => "lower in every seed",
            (Evidence::NotShown, _, _) => "not shown",
        }
    }

    /// What so many seeds and images show, and what they do not, in a sentence or two.
    pub fn sentence(&self) -> String {
        let seeds = self.seeds;
        let over_seeds = self.seed_interval.map(|half| {
            format!(
                "the 95 % interval of the mean over {seeds} seeds (Student's t) is {} to {}",
                self.value(self.mean - half),
                self.show(self.mean + half)
            )
        });
        let over_images = self.image_interval.map(|half| {
            format!(
                "the {} that chance among {} test images explains",
                self.show(half).trim_start_matches('+'),
                count(self.images as u64)
            )
        });
        match (self.evidence, over_seeds, over_images) {
            (Evidence::Shown, Some(seeds), Some(images)) => format!(
                "This difference is shown: {seeds}, which leaves out 0, and it is larger than {images}."
            ),
            (Evidence::Shown, Some(seeds), None) => {
                format!("This difference is shown: {seeds}, which leaves out 0.")
            }
            (Evidence::TheseImages, Some(seeds), Some(images)) => format!(
                "The seeds agree on these test images ({seeds}), but the difference is smaller than {images}: \
                 on other images it may vanish."
            ),
            (Evidence::TheseSeeds, Some(over), Some(images)) => format!(
                "In each of the {seeds} seeds the difference is larger than {images}, so these networks do \
                 differ. How much others would, {seeds} seeds cannot say: {over}. More seeds (--seeds) tell it."
            ),
            (Evidence::TheseSeeds, None, Some(images)) => format!(
                "This is one seed: the difference is larger than {images}, so these two networks do differ, \
                 but another seed could turn out differently. Train with --seeds 3 to know more."
            ),
            (_, Some(seeds), images) => format!(
                "A difference is not shown, which is not the same as none: {seeds}, and 0 lies in it{}. More \
                 seeds may show one.",
                images.map_or(String::new(), |_| self.beside_images())
            ),
            (_, None, Some(images)) => format!(
                "This is one seed, and the difference is not larger than {images}: it may be chance. Train \
                 with --seeds 3 to know more."
            ),
            (_, None, None) => {
                "This is one seed: another could turn out differently. Train with --seeds 3 to \
                                know more."
                    .into()
            }
        }
    }

    /// What images say of a mean that the seeds do not show.
    fn beside_images(&self) -> String {
        self.image_interval.map_or(String::new(), |half| {
            format!(
                "; {} test images tell a difference from {} on",
                count(self.images as u64),
                self.show(half).trim_start_matches('+')
            )
        })
    }

    fn value(&self, value: f64) -> String {
        let decimals = self.unit.decimals();
        format!("{value:+.decimals$}").replace('-', "−")
    }

    fn show(&self, value: f64) -> String {
        let text = format!("{} {}", self.value(value), self.unit.difference());
        text.trim_end().into()
    }
}
