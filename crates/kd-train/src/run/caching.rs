//! The teacher cache of a run: forecast before, opened once, shared by all seeds and stages.

use std::num::NonZeroU64;
use std::path::Path;

use burn::module::Module;
use kd_models::Network;

use super::Job;
use crate::cache::{Budget, CacheConfig, Forecast, Identity, Place, TeacherCache, Views};
use crate::recipe::TEACHER;
use crate::report::words::{count, prefixed};
use crate::summary::CacheSummary;
use crate::{Error, Event, Observer};

impl Job<'_> {
    pub(super) fn cache_config(&self) -> Option<&CacheConfig> {
        self.recipe.teacher.as_ref()?.cache.as_ref()
    }

    /// How many views of an image the students are shown; none for all that are drawn.
    pub(super) fn bounded_views(&self) -> Option<NonZeroU64> {
        match self.cache_config()?.views {
            Views::All => None,
            Views::Count(count) => Some(count),
        }
    }

    /// Says what is to be expected of the cache.
    pub(super) fn forecast_cache(
        &self,
        seeds: usize,
        observer: &mut dyn Observer,
    ) -> Result<(), Error> {
        let (Some(config), Some(model)) = (self.cache_config(), self.recipe.model_of(TEACHER))
        else {
            return Ok(());
        };
        let network = Network::new(&self.shape.network(model), self.device)?;
        let teacher = self.shape.dry_run(&network.valid(), self.device);
        let images = self.shape.train;
        let budget = Budget::new(
            self.recipe,
            seeds,
            images,
            (self.shape.height, self.shape.width),
        );
        let forecast = Forecast::new(config, &self.recipe.data.augment, &budget);
        let [_, classes] = teacher.logits.dims();
        let embedding = teacher.embedding.as_ref().map_or(0, |e| e.dims()[1]);
        let bytes = forecast.bytes(config, images, classes, embedding)?;
        observer.event(Event::Note(&format!(
            "teacher cache: {:.0} showings of an image are about {:.1} different views, which saves \
             {:.0} % of the teacher's work and takes {} of {}",
            budget.shown,
            forecast.views,
            100.0 * forecast.saved,
            prefixed(bytes as f64, "B"),
            match config.place {
                Place::Memory => "memory",
                Place::File => "a file, less what it holds already",
            },
        )));
        Ok(())
    }

    /// Opens the recipe's cache of a teacher.
    pub(super) fn open_cache(
        &self,
        teacher: &Network,
        out: &Path,
        observer: &mut dyn Observer,
    ) -> Result<Option<TeacherCache>, Error> {
        let Some(config) = self.cache_config() else {
            return Ok(None);
        };
        let augment = self.recipe.data.augment;
        let model = &teacher.config().model;
        let identity = Identity::new(config, teacher, model, self.dataset, augment, self.device)?;
        let path = match (config.place, &config.path) {
            (Place::Memory, _) => return TeacherCache::open(identity, None).map(Some),
            (Place::File, Some(path)) => path.clone(),
            (Place::File, None) => {
                let folder = out.parent().unwrap_or(Path::new("")).join("teacher-cache");
                folder.join(identity.file_name())
            }
        };
        let cache = TeacherCache::open(identity, Some(&path))?;
        observer.event(Event::Note(&format!(
            "teacher cache: {} holds {} answers",
            path.display(),
            count(cache.len() as u64)
        )));
        Ok(Some(cache))
    }
}

/// What a run got out of its cache.
pub(super) fn summarise(cache: &TeacherCache) -> CacheSummary {
    let asked = cache.asked();
    CacheSummary {
        hits: asked.hits,
        misses: asked.misses,
        saved: asked.saved(),
        answers: cache.len() as u64,
        bytes: cache.bytes(),
        file: cache.path().map(Path::to_path_buf),
    }
}
