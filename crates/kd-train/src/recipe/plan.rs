//! The trainings that a recipe asks for, and what else its stages do, resolved and in their order.

use std::path::PathBuf;

use kd_compress::prune::PruneConfig;
use kd_compress::quantise::QuantiseConfig;
use kd_core::{Combine, ObjectiveConfig};
use kd_data::Normalize;

use super::{ExportConfig, Recipe, STUDENT, StageSpec, TEACHER, TeacherSpec, TrainConfig, Work};
use crate::Role;

/// One training of a run: everything that a recipe says of it, with nothing left to look up.
///
/// A stage's network and its peers train together, and are the students of one plan.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TrainingPlan {
    /// What is done: of all but [`Work::Train`], loss, budget and teachers say nothing.
    pub work: Work,
    /// How a network is written, of [`Work::Export`].
    pub export: ExportConfig,
    /// The networks that it trains, the stage's own first.
    pub students: Vec<StudentPlan>,
    /// The loss of each of them.
    pub objective: ObjectiveConfig,
    /// Budget, optimiser and learning rate.
    pub train: TrainConfig,
    /// Names of the teachers that are asked: `teacher`, and stages. Nobody is asked in vain.
    pub teachers: Vec<String>,
    /// How several teachers become one.
    pub combine: Combine,
    /// Whether the students learn from each other too.
    pub mutual: bool,
    /// Whether validation selects the epoch that is kept; else it is the last.
    pub select: bool,
    /// Whether the cache of the recipe's teacher answers for it.
    pub cached: bool,
}

/// A network that a training plan trains.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StudentPlan {
    /// Which network of the run it is.
    pub role: Role,
    /// Its name in the registry.
    pub model: String,
    /// Its weights before the training.
    pub start: Start,
    /// Names of those it learns from beside labels.
    pub learns_from: Vec<String>,
}

/// The weights of a network before its training.
#[derive(Clone, Debug, PartialEq)]
pub enum Start {
    /// Drawn from the seed.
    Fresh,
    /// Drawn, and then filled with layers of the recipe's teacher.
    Layers(Vec<usize>),
    /// Read from a file.
    File {
        /// The file.
        path: PathBuf,
        /// What stands before the network's names in it, where the recipe says so.
        prefix: Option<String>,
        /// Whose the classifier is.
        classifier: ClassifierStart,
    },
    /// Those of a finished stage, by its name.
    Stage(String),
    /// Those of another start, without some channels.
    Pruned(Box<Start>, PruneConfig),
    /// Those of another start, in layers on integer grids.
    Quantised(Box<Start>, QuantiseConfig),
}

/// The classifier of a network whose weights are read.
#[derive(Clone, Debug, PartialEq)]
pub enum ClassifierStart {
    /// That of the weights.
    Weights,
    /// Drawn from the seed.
    Fresh,
    /// Read from a file of its own.
    File(PathBuf),
}

impl StageSpec {
    /// Whose classifier its network begins with, where it has weights.
    pub fn classifier(&self) -> ClassifierStart {
        match &self.classifier_weights {
            Some(path) => ClassifierStart::File(path.clone()),
            None if self.new_classifier => ClassifierStart::Fresh,
            None => ClassifierStart::Weights,
        }
    }
}

impl TrainingPlan {
    /// Which network of the run the stage's own one is.
    pub fn role(&self) -> &Role {
        &self.students[0].role
    }

    /// Names in the registry of all networks that it trains.
    pub fn models(&self) -> impl Iterator<Item = &str> {
        self.students.iter().map(|student| student.model.as_str())
    }

    /// Whether it trains on labels alone: what distillation is compared with, and the training of a
    /// teacher.
    pub fn is_baseline(&self) -> bool {
        matches!(self.role(), Role::Baseline | Role::Teacher)
    }
}

impl Recipe {
    /// The trainings of each seed: the stages, the student alone, and the student; then files. The teacher's own
    /// ([`Recipe::teacher_plan`]) comes before all of them and once.
    pub fn plans(&self) -> Vec<TrainingPlan> {
        let stages = self.order().into_iter().map(|name| {
            let stage = &self.stages[&name];
            self.plan(Role::Stage(name), stage)
        });
        let mut plans: Vec<_> = stages.collect();
        let last = self.plan(self.last_role(), &self.student);
        if self.compare && self.distils() && self.student.work.is_train() {
            plans.push(self.baseline());
        }
        plans.push(last);
        let files = self.exports();
        plans.extend(files.map(|(name, stage)| self.plan(Role::Stage(name.clone()), stage)));
        plans
    }

    /// The training of the teacher on labels; none when it has weights, or there is none.
    pub fn teacher_plan(&self) -> Option<TrainingPlan> {
        let spec = self.teacher.as_ref().filter(|t| t.weights.is_none())?;
        Some(TrainingPlan {
            work: Work::Train,
            export: ExportConfig::default(),
            students: vec![StudentPlan {
                role: Role::Teacher,
                model: spec.model.clone(),
                start: Start::Fresh,
                learns_from: Vec::new(),
            }],
            objective: self.objective.labels_only(),
            train: self.train_of_teacher(spec).clone(),
            teachers: Vec::new(),
            combine: Combine::default(),
            mutual: false,
            select: true,
            cached: false,
        })
    }

    fn train_of_teacher<'a>(&'a self, spec: &'a TeacherSpec) -> &'a TrainConfig {
        spec.train.as_ref().unwrap_or(&self.train)
    }

    /// What the student is at the end of the run.
    pub(crate) fn last_role(&self) -> Role {
        if self.distils() {
            Role::Distilled
        } else {
            Role::Baseline
        }
    }

    /// The training of a stage.
    fn plan(&self, role: Role, stage: &StageSpec) -> TrainingPlan {
        let objective = self.objective_of(stage);
        let teachers = if objective.needs_teacher() {
            self.teachers_of(stage)
        } else {
            Vec::new()
        };
        let kept = self.teacher.as_ref().is_some_and(|t| t.cache.is_some());
        TrainingPlan {
            work: stage.work,
            export: stage.export.clone().unwrap_or_default(),
            // A stage that another starts from, such as a hint stage, need not classify yet.
            select: match &role {
                Role::Stage(name) => !self.starts_another(name),
                _ => true,
            },
            students: students(role, stage, &teachers),
            objective,
            train: self.train_of(stage).clone(),
            // What others say, of the same batch, is new in every step.
            cached: kept && !stage.mutual && teachers == [TEACHER],
            teachers,
            combine: stage.combine,
            mutual: stage.mutual,
        }
    }

    /// The student, and its peers, on labels alone: what distillation is compared with. It is drawn, unless channels are gone
    /// or grids are there, with which it begins as the student does.
    fn baseline(&self) -> TrainingPlan {
        let mut students = students(Role::Baseline, &self.student, &[]);
        for student in &mut students {
            student.learns_from.clear();
            if let Start::Stage(name) = &student.start
                && !self.is_compressed(name)
            {
                student.start = Start::Fresh;
            }
        }
        TrainingPlan {
            students,
            objective: self.objective.labels_only(),
            teachers: Vec::new(),
            // Nothing is combined.
            combine: Combine::default(),
            mutual: false,
            cached: false,
            ..self.plan(Role::Baseline, &self.student)
        }
    }

    /// The statistics that a teacher has of its own, by its name.
    pub(crate) fn normalize_of(&self, name: &str) -> Option<&Normalize> {
        let teacher = self.teacher.as_ref().filter(|_| name == TEACHER)?;
        teacher.normalize.as_ref()
    }

    /// The size of the images that a teacher sees, where it is its own.
    pub(crate) fn size_of(&self, name: &str) -> Option<usize> {
        self.teacher.as_ref().filter(|_| name == TEACHER)?.size
    }

    /// The network's name in the registry, of a teacher by its name.
    pub fn model_of(&self, name: &str) -> Option<&str> {
        match (name, &self.teacher) {
            (TEACHER, Some(teacher)) => Some(&teacher.model),
            _ => self.stages.get(name).map(|stage| stage.model.as_str()),
        }
    }
}

/// A stage's network and its peers, with the names of those they learn from.
fn students(role: Role, stage: &StageSpec, teachers: &[String]) -> Vec<StudentPlan> {
    let start = match (&stage.start, &stage.weights) {
        (None, None) if stage.prune.is_some() || stage.quantise.is_some() => {
            Start::Stage(TEACHER.into())
        }
        (Some(name), _) => Start::Stage(name.clone()),
        (None, Some(path)) => Start::File {
            path: path.clone(),
            prefix: stage.weights_prefix.clone(),
            classifier: stage.classifier(),
        },
        (None, None) => match &stage.init_from {
            Some(from) => Start::Layers(from.layers.clone()),
            None => Start::Fresh,
        },
    };
    let start = match &stage.prune {
        Some(prune) => Start::Pruned(Box::new(start), prune.clone()),
        None => start,
    };
    let start = match &stage.quantise {
        Some(quantise) => Start::Quantised(Box::new(start), quantise.clone()),
        None => start,
    };
    let peer: fn(String) -> Role = match role {
        Role::Baseline => Role::PeerBaseline,
        _ => Role::Peer,
    };
    let (name, prefix) = match &role {
        Role::Stage(name) => (name.clone(), format!("{name}.")),
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
    let mut students = vec![StudentPlan {
        role,
        model: stage.model.clone(),
        start,
        learns_from: learns_from(&name),
    }];
    for (name, model) in &peers {
        students.push(StudentPlan {
            role: peer(name.clone()),
            model: (*model).into(),
            start: Start::Fresh,
            learns_from: learns_from(name),
        });
    }
    students
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

impl TrainConfig {
    /// How often a training shows each of so many samples, on average.
    pub fn showings(&self, samples: usize) -> f64 {
        let share = match self.batches_per_epoch {
            Some(batches) => (batches * self.batch) as f64 / samples.max(1) as f64,
            None => 1.0,
        };
        self.epochs as f64 * share.min(1.0)
    }
}
