//! The trainings of a run in their order: teacher, then for every seed the stages, the student alone and
//! the student distilled.

use std::collections::BTreeMap;

use burn::module::Module;
use kd_core::Combine;
use kd_models::Network;

use super::training::{Contender, Novice, Plan, Start};
use super::{Job, RunOptions, caching};
use crate::folder::Folder;
use crate::recipe::{PlannedTraining, STUDENT, StageSpec, TEACHER};
use crate::summary::CacheSummary;
use crate::{Arm, Error, Event, Observer, Recipe};

/// The networks of a run before they are measured.
pub(super) struct AllTrained {
    pub teacher: Option<Contender>,
    pub students: Vec<Contender>,
    pub cache: Option<CacheSummary>,
}

impl AllTrained {
    /// The members of the recipe's ensemble, for every seed.
    pub fn ensembles<'a>(&'a self, recipe: &Recipe) -> Vec<Vec<&'a Contender>> {
        let last = match recipe.distils() {
            true => Arm::Distilled,
            false => Arm::Alone,
        };
        let lasts = self.students.iter().filter(|s| s.arm == last);
        let member = |seed, name: &str| {
            let arm = match name {
                STUDENT => last.clone(),
                name => Arm::Stage(name.into()),
            };
            self.students
                .iter()
                .find(move |s| s.seed == seed && s.arm == arm)
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

/// Finished stages of one seed, by name.
type Done = BTreeMap<String, Network>;

impl Job<'_> {
    pub(super) fn train_all(
        &self,
        options: &RunOptions,
        folder: &mut Folder,
        observer: &mut dyn Observer,
    ) -> Result<AllTrained, Error> {
        let recipe = self.recipe;
        self.forecast_cache(options.seeds, observer)?;
        let teacher = self.teacher(folder, observer)?;
        let mut cache = match &teacher {
            Some(teacher) => self.open_cache(&teacher.network, &options.out, observer)?,
            None => None,
        };
        let mut students = Vec::new();
        for seed in recipe.seed..recipe.seed + options.seeds as u64 {
            let mut done = Done::new();
            if let Some(teacher) = &teacher {
                done.insert(TEACHER.into(), teacher.network.clone());
            }
            for training in recipe.trainings() {
                let plan = match training.alone {
                    true => self.alone(&training, seed, &done),
                    false => self.plan(&training, seed, &done),
                };
                let cache = cache.as_mut().filter(|_| training.cached);
                for contender in self.train(&plan, cache, folder, observer)? {
                    if let Arm::Stage(name) = &contender.arm {
                        done.insert(name.clone(), contender.network.clone());
                    }
                    students.push(contender);
                }
            }
        }
        Ok(AllTrained {
            teacher,
            students,
            cache: cache.as_ref().map(caching::summarise),
        })
    }

    /// The recipe's teacher: loaded, or trained on labels.
    fn teacher(
        &self,
        folder: &mut Folder,
        observer: &mut dyn Observer,
    ) -> Result<Option<Contender>, Error> {
        let recipe = self.recipe;
        let Some(spec) = &recipe.teacher else {
            return Ok(None);
        };
        if let Some(path) = &spec.weights {
            let network = Network::from_file(&self.shape.network(&spec.model), path, self.device)?;
            return Ok(Some(Contender {
                arm: Arm::Teacher,
                seed: None,
                network: network.valid(),
                adapter_parameters: 0,
                learned_from: Vec::new(),
                training: None,
            }));
        }
        observer.event(Event::Note(
            "no teacher.weights in the recipe: the teacher is trained first",
        ));
        let plan = Plan {
            seed: recipe.seed,
            novices: vec![Novice {
                arm: Arm::Teacher,
                model: &spec.model,
                start: Start::Fresh,
                learns_from: Vec::new(),
            }],
            objective: recipe.objective.labels_only(),
            config: spec.train.as_ref().unwrap_or(&recipe.train),
            teachers: Vec::new(),
            combine: Default::default(),
            mutual: false,
            select: true,
            views: None,
        };
        let trained = self.train(&plan, None, folder, observer)?;
        Ok(trained.into_iter().next())
    }

    /// The training of a stage.
    fn plan<'a>(&'a self, training: &PlannedTraining<'a>, seed: u64, done: &'a Done) -> Plan<'a> {
        let PlannedTraining {
            stage,
            arm,
            teachers,
            train,
            ..
        } = training.clone();
        let start = match (&stage.start, &stage.weights) {
            (Some(name), _) => Start::Network(&done[name]),
            (None, Some(path)) => Start::File(path),
            (None, None) => Start::Fresh,
        };
        let starts = match &arm {
            Arm::Stage(name) => self.recipe.starts_another(name),
            _ => false,
        };
        let peer: fn(String) -> Arm = match arm {
            Arm::Alone => Arm::PeerAlone,
            _ => Arm::Peer,
        };
        let (name, prefix) = match &arm {
            Arm::Stage(name) => (name.clone(), format!("{name}.")),
            _ => (STUDENT.into(), String::new()),
        };
        let peers = peers(stage, &prefix);
        let together: Vec<&String> = [&name]
            .into_iter()
            .chain(peers.iter().map(|p| &p.0))
            .collect();
        let learns_from = |own: &String| -> Vec<String> {
            let others = together.iter().filter(|name| stage.mutual && **name != own);
            let others = others.map(|name| name.to_string());
            teachers.iter().cloned().chain(others).collect()
        };
        let mut novices = vec![Novice {
            arm,
            model: &stage.model,
            start,
            learns_from: learns_from(&name),
        }];
        for (name, model) in &peers {
            novices.push(Novice {
                arm: peer(name.clone()),
                model,
                start: Start::Fresh,
                learns_from: learns_from(name),
            });
        }
        Plan {
            seed,
            novices,
            objective: self.recipe.objective_of(stage),
            config: train,
            teachers: teachers.iter().map(|name| &done[name]).collect(),
            combine: stage.combine,
            mutual: stage.mutual,
            // A stage that another starts from, such as a hint stage, need not classify yet.
            select: !starts,
            views: self.bounded_views(),
        }
    }

    /// The student, and its peers, on labels alone: what distillation is compared with.
    fn alone<'a>(&'a self, training: &PlannedTraining<'a>, seed: u64, done: &'a Done) -> Plan<'a> {
        let plan = self.plan(training, seed, done);
        let mut novices = plan.novices;
        if training.stage.start.is_some() {
            novices[0].start = Start::Fresh;
        }
        for novice in &mut novices {
            novice.learns_from.clear();
        }
        Plan {
            novices,
            objective: self.recipe.objective.labels_only(),
            teachers: Vec::new(),
            // Nothing is combined.
            combine: Combine::default(),
            mutual: false,
            ..plan
        }
    }
}

/// Name and network of a stage's peers: one that comes again gets a number, and those of a stage before the
/// student its name as a prefix.
fn peers<'a>(stage: &'a StageSpec, prefix: &str) -> Vec<(String, &'a str)> {
    let mut named = Vec::new();
    for (place, model) in stage.peers.iter().enumerate() {
        let before = stage.peers[..place].iter().filter(|m| *m == model).count();
        let name = match before {
            0 => format!("{prefix}{model}"),
            more => format!("{prefix}{model}-{}", more + 1),
        };
        named.push((name, model.as_str()));
    }
    named
}
