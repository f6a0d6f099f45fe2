//! The trainings of a run in their order: teacher, then for every seed the stages, the student alone and
//! the student distilled.

use burn::module::Module;

use super::evaluate::Measured;
use super::teachers::KnownScores;
use super::trained::{Done, Origin, TrainedNetwork};
use super::{RunContext, RunOptions, caching};
use crate::folder::Folder;
use crate::recipe::{ClassifierStart, STUDENT, TEACHER, Work};
use crate::summary::{CacheSummary, ExportedFile};
use crate::task::{Evaluated, Task, WeightsUse};
use crate::{Error, Event, Observer, Recipe, Role, weights};

/// The networks of a run before they are measured.
pub(super) struct AllTrained<N> {
    pub teacher: Option<TrainedNetwork<N>>,
    /// The teacher on the test split, where it was measured there before the trainings.
    pub teacher_test: Option<Evaluated>,
    /// What an earlier run measured of the teacher.
    pub teacher_kept: Option<Measured>,
    pub students: Vec<TrainedNetwork<N>>,
    pub cache: Option<CacheSummary>,
    /// Files that stages wrote.
    pub exported: Vec<ExportedFile>,
}

impl<N> AllTrained<N> {
    /// The members of the recipe's ensemble, for every seed.
    pub fn ensembles<'a>(&'a self, recipe: &Recipe) -> Vec<Vec<&'a TrainedNetwork<N>>> {
        let last = recipe.last_role();
        let lasts = self.students.iter().filter(|s| s.role == last);
        let member = |seed, name: &str| {
            let role = match name {
                STUDENT => last.clone(),
                name => Role::Stage(name.into()),
            };
            self.students
                .iter()
                .find(move |s| s.seed == seed && s.role == role)
        };
        lasts
            .filter(|_| !recipe.ensemble.is_empty())
            .map(|student| {
                let names = recipe.ensemble.iter();
                names
                    .filter_map(|name| member(student.seed, name))
                    .collect()
            })
            .collect()
    }
}

impl<T: Task> RunContext<'_, T> {
    pub(super) fn train_all(
        &self,
        options: &RunOptions,
        folder: &mut Folder,
        observer: &mut dyn Observer,
    ) -> Result<AllTrained<T::Network>, Error> {
        let recipe = self.recipe;
        self.tell_doubts(observer)?;
        self.forecast_cache(options.seeds, observer)?;
        let mut teacher = self.teacher(folder, observer)?;
        let mut known = KnownScores::default();
        let teacher_kept = teacher.as_ref().and_then(|t| self.kept_teacher(t));
        let teacher_test = match &mut teacher {
            Some(teacher) => {
                self.know_teacher(teacher, teacher_kept.as_ref(), &mut known, observer)?
            }
            None => None,
        };
        let mut cache = match &teacher {
            Some(teacher) => self.open_cache(teacher, &options.out, observer)?,
            None => None,
        };
        if let Some(cache) = &mut cache {
            folder.opened(cache)?;
        }
        let mut students = Vec::new();
        let mut exported = Vec::new();
        let seeds = recipe.seed..recipe.seed + options.seeds as u64;
        for seed in seeds.filter(|seed| self.seed.is_none_or(|only| only == *seed)) {
            let mut done = Done::new();
            if let Some(teacher) = &teacher {
                done.insert(TEACHER.into(), teacher.network.clone());
            }
            for plan in recipe.plans() {
                if plan.work == Work::Export {
                    // Of the seed whose student the run leaves.
                    if seed == recipe.seed {
                        exported.push(self.export(&plan, &done, &options.out, observer)?);
                    }
                    continue;
                }
                self.warn_of_teachers(&plan, &mut known, observer);
                let cache = cache.as_mut().filter(|_| plan.cached);
                for trained in self.train(&plan, seed, &done, cache, folder, observer)? {
                    known.note(&trained);
                    let name = match &trained.role {
                        Role::Stage(name) => Some(name.clone()),
                        role if *role == recipe.last_role() => Some(STUDENT.into()),
                        _ => None,
                    };
                    done.extend(name.map(|name| (name, trained.network.clone())));
                    students.push(trained);
                }
            }
        }
        Ok(AllTrained {
            teacher,
            teacher_test,
            teacher_kept,
            students,
            cache: cache.as_ref().map(caching::summarise),
            exported,
        })
    }

    /// Says what weights were trained for, where that is not what this run uses them for.
    fn tell_doubts(&self, observer: &mut dyn Observer) -> Result<(), Error> {
        let recipe = self.recipe;
        let stages = recipe.tables().map(|(table, stage)| {
            let own = stage.classifier() == ClassifierStart::Weights;
            (table, &stage.weights, own)
        });
        let teacher = recipe.teacher.iter();
        let teacher = teacher.map(|t| (TEACHER.into(), &t.weights, t.classifier_weights.is_none()));
        for (table, path, own_classifier) in teacher.chain(stages) {
            let Some(path) = path else { continue };
            let used = WeightsUse {
                normalize: recipe.normalize_of(&table),
                own_classifier,
            };
            for doubt in self.task.doubts(&weights::local(path)?, used)? {
                // Only a teacher has statistics of its own.
                let key = if table == TEACHER { TEACHER } else { "data" };
                let doubt = doubt.replace("{table}", key);
                let path = path.display();
                observer.event(Event::Note(&format!(
                    "warning: {table}.weights = {path}: {doubt}"
                )));
            }
        }
        Ok(())
    }

    /// The recipe's teacher with its weights; none where it has none.
    pub(super) fn loaded_teacher(&self) -> Result<Option<TrainedNetwork<T::Network>>, Error> {
        let spec = self.recipe.teacher.as_ref();
        let Some((spec, path)) = spec.and_then(|spec| Some((spec, spec.weights.as_ref()?))) else {
            return Ok(None);
        };
        let path = weights::local(path)?;
        let network = self.task.load_teacher(spec, &path, self.device)?;
        Ok(Some(TrainedNetwork {
            role: Role::Teacher,
            seed: None,
            model: spec.model.clone(),
            network: network.valid(),
            adapter_parameters: 0,
            learned_from: Vec::new(),
            training: None,
            validation: None,
            origin: Origin::default(),
        }))
    }

    /// The recipe's teacher: loaded, or trained on labels.
    fn teacher(
        &self,
        folder: &mut Folder,
        observer: &mut dyn Observer,
    ) -> Result<Option<TrainedNetwork<T::Network>>, Error> {
        if let Some(loaded) = self.loaded_teacher()? {
            return Ok(Some(loaded));
        }
        let Some(plan) = self.recipe.teacher_plan() else {
            return Ok(None);
        };
        observer.event(Event::Note(
            "no teacher.weights in the recipe: the teacher is trained first",
        ));
        let seed = self.recipe.seed;
        let trained = self.train(&plan, seed, &Done::new(), None, folder, observer)?;
        Ok(trained.into_iter().next())
    }
}
