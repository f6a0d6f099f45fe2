//! The teacher cache of a run: forecast before, opened once, shared by all seeds and stages.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use burn::module::Module;

use super::RunContext;
use super::trained::TrainedNetwork;
use crate::cache::{CacheConfig, Forecast, Identity, Place, TeacherCache, Views, showings};
use crate::check::dry_run;
use crate::recipe::TEACHER;
use crate::report::words::{count, prefixed};
use crate::summary::CacheSummary;
use crate::task::Task;
use crate::{Error, Event, Observer};

impl<T: Task> RunContext<'_, T> {
    pub(super) fn cache_config(&self) -> Option<&CacheConfig> {
        self.recipe.teacher.as_ref()?.cache.as_ref()
    }

    /// How many views of a sample the students are shown; none for all that are drawn.
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
        let (Some(config), Some(spec)) = (self.cache_config(), &self.recipe.teacher) else {
            return Ok(());
        };
        let network = self.task.build_teacher(spec, self.device)?;
        let teacher = dry_run(self.task, &network.valid(), self.device);
        let samples = self.task.train_samples();
        let shown = showings(self.recipe, seeds, samples);
        let forecast = Forecast::new(config, self.task.views(), shown);
        let bytes = forecast.bytes(config, samples, &teacher)?;
        observer.event(Event::Note(&format!(
            "teacher cache: {shown:.0} showings of an image are about {:.1} different views, which saves \
             {:.0} % of the teacher's work and takes {} of {}",
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
        teacher: &TrainedNetwork<T::Network>,
        out: &Path,
        observer: &mut dyn Observer,
    ) -> Result<Option<TeacherCache>, Error> {
        let Some(config) = self.cache_config() else {
            return Ok(None);
        };
        let identity = self.cache_identity(config, teacher)?;
        if config.place == Place::Memory {
            return TeacherCache::open(identity, None).map(Some);
        }
        let path = self.cache_file(config, &identity, out);
        let cache = TeacherCache::open(identity, Some(&path))?;
        observer.event(Event::Note(&format!(
            "teacher cache: {} holds {} answers",
            path.display(),
            count(cache.len() as u64)
        )));
        Ok(Some(cache))
    }

    /// What the answers of this teacher follow from.
    pub(super) fn cache_identity(
        &self,
        config: &CacheConfig,
        teacher: &TrainedNetwork<T::Network>,
    ) -> Result<Identity, Error> {
        let mut parts = self.task.cache_parts();
        if let Some(normalize) = self.recipe.normalize_of(TEACHER) {
            let spelled = serde_json::json!(normalize).to_string();
            parts.push(("teacher.normalize", spelled));
        }
        if let Some(size) = self.recipe.size_of(TEACHER) {
            parts.push(("teacher.size", size.to_string()));
        }
        if self.recipe.data.augment.is_endless() {
            // Views without end are told apart by their draw, of this seed.
            parts.push(("seed of the views", self.recipe.seed.to_string()));
        }
        Identity::new(
            config,
            &teacher.network,
            &self.task.name(&teacher.network, &teacher.model),
            self.task.example(2, self.device),
            parts,
            self.task.views(),
        )
    }

    /// Where a run with the folder `out` keeps them.
    pub(super) fn cache_file(
        &self,
        config: &CacheConfig,
        identity: &Identity,
        out: &Path,
    ) -> PathBuf {
        match &config.path {
            Some(path) => path.clone(),
            None => {
                let folder = out.parent().unwrap_or(Path::new("")).join("teacher-cache");
                folder.join(identity.file_name())
            }
        }
    }
}

/// What a run got out of its cache.
pub(super) fn summarise(cache: &TeacherCache) -> CacheSummary {
    let asked = cache.stats();
    CacheSummary {
        hits: asked.hits,
        misses: asked.misses,
        saved: asked.saved(),
        answers: cache.len() as u64,
        bytes: cache.bytes(),
        file: cache.path().map(Path::to_path_buf),
    }
}
