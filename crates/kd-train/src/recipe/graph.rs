//! Which stage needs which.

use std::collections::BTreeSet;

use kd_core::nearest_name;

use super::{Recipe, StageSpec, Work};

/// What stages call the recipe's `[teacher]`.
pub(crate) const TEACHER: &str = "teacher";
/// What an ensemble calls the last stage.
pub(crate) const STUDENT: &str = "student";

impl Recipe {
    /// Every stage, the student last, with the name of its table.
    pub(crate) fn tables(&self) -> impl Iterator<Item = (String, &StageSpec)> {
        let stages = self.stages.iter();
        let stages = stages.map(|(name, stage)| (format!("stages.{name}"), stage));
        stages.chain([(STUDENT.into(), &self.student)])
    }

    /// Names of a stage's teachers.
    pub(crate) fn teachers_of(&self, stage: &StageSpec) -> Vec<String> {
        match (&stage.teachers, &self.teacher) {
            _ if !stage.work.is_train() => Vec::new(),
            (Some(names), _) => names.clone(),
            (None, Some(_)) if !stage.mutual => vec![TEACHER.into()],
            (None, _) => Vec::new(),
        }
    }

    /// Names of the stages that a stage waits for.
    fn needs(&self, stage: &StageSpec) -> Vec<String> {
        let teachers = self.teachers_of(stage).into_iter();
        let names = teachers.chain(stage.start.clone());
        names.filter(|name| name != TEACHER).collect()
    }

    /// Whether a later stage starts from this one's weights.
    pub(crate) fn starts_another(&self, name: &str) -> bool {
        let stages = self.stages.values().chain([&self.student]);
        let mut stages = stages.filter(|stage| stage.work == Work::Train);
        stages.any(|stage| stage.start.as_deref() == Some(name))
    }

    /// Names of the stages before the student, each after those it needs. Files are written at the end.
    pub(crate) fn order(&self) -> Vec<String> {
        let mut done: Vec<String> = Vec::new();
        let networks = || self.stages.iter().filter(|(_, s)| s.work != Work::Export);
        while let Some(name) = networks().find_map(|(name, stage)| {
            let ready = self.needs(stage).iter().all(|need| done.contains(need));
            (ready && !done.contains(name)).then(|| name.clone())
        }) {
            done.push(name);
        }
        done
    }

    pub(super) fn validate_graph(&self) -> Result<(), String> {
        for (name, stage) in &self.stages {
            let table = format!("stages.{name}");
            if [TEACHER, STUDENT].contains(&name.as_str()) {
                return Err(format!(
                    "[{table}]: `{name}` has a table of its own, [{name}]"
                ));
            }
            let fits = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
            if !name.chars().all(fits) {
                return Err(format!(
                    "[{table}]: a stage's name becomes part of a file's name: letters, digits, `-`, `_` \
                     and `.` only"
                ));
            }
            if let Some(train) = &stage.train {
                train.validate(&format!("{table}.train"))?;
            }
            let objective = self.objective_of(stage);
            if objective.needs_teacher() && !self.taught(stage) {
                return Err(format!(
                    "{table}.objective compares with a teacher: name one in {table}.teachers"
                ));
            }
            self.validate_stage(&table, stage)?;
        }
        self.validate_stage(STUDENT, &self.student)?;
        let order = self.order();
        let mut networks = self.stages.iter().filter(|(_, s)| s.work != Work::Export);
        if let Some((name, _)) = networks.find(|(name, _)| !order.contains(name)) {
            return Err(format!(
                "[stages.{name}] waits for itself: follow `teachers` and `start` from it"
            ));
        }
        self.validate_uses()?;
        for name in &self.ensemble {
            if name != STUDENT {
                self.known("ensemble", name, &[STUDENT])?;
            }
        }
        if self.ensemble.len() == 1 {
            return Err("ensemble: name at least two networks".into());
        }
        self.same("ensemble", &self.ensemble)
    }

    /// Refuses pruning and quantisation of nothing, and of another network.
    pub(super) fn validate_compression(&self) -> Result<(), String> {
        for (table, stage) in self.tables() {
            if let Some(prune) = &stage.prune {
                self.validate_changed(&table, stage, ("prune", prune.check().err()))?;
            }
            if let Some(quantise) = &stage.quantise {
                self.validate_changed(&table, stage, ("quantise", quantise.check().err()))?;
            }
        }
        Ok(())
    }

    fn validate_changed(
        &self,
        table: &str,
        stage: &StageSpec,
        (key, problem): (&str, Option<kd_compress::Error>),
    ) -> Result<(), String> {
        if let Some(problem) = problem {
            return Err(format!("{table}.{key}.{problem}"));
        }
        if stage.init_from.is_some() {
            return Err(format!(
                "{table}.{key} changes a whole network, and {table}.init_from takes layers of one: keep one of them"
            ));
        }
        if stage.start.is_some() || stage.weights.is_some() {
            return Ok(());
        }
        match &self.teacher {
            None => Err(format!(
                "{table}.{key} changes {table}.start, {table}.weights or the teacher, and there is none of them: give one"
            )),
            Some(teacher) if !teacher.model.is_empty() && teacher.model != stage.model => {
                Err(format!(
                    "{table}.{key} changes the teacher, which is a {}, and {table}.model is a {}: name the same network",
                    teacher.model, stage.model
                ))
            }
            Some(_) => Ok(()),
        }
    }

    fn validate_stage(&self, table: &str, stage: &StageSpec) -> Result<(), String> {
        let names = stage.teachers.as_deref().unwrap_or_default();
        for name in names {
            match (name.as_str(), &self.teacher) {
                (TEACHER, Some(_)) => {}
                (TEACHER, None) => {
                    return Err(format!(
                        "{table}.teachers: there is no [teacher] in the recipe"
                    ));
                }
                _ => self.known(&format!("{table}.teachers"), name, &[TEACHER])?,
            }
        }
        self.same(&format!("{table}.teachers"), names)?;
        if let Some(start) = &stage.start {
            let others: &[&str] = match stage.work {
                Work::Export => &[STUDENT],
                _ => &[],
            };
            let model = match self.stages.get(start) {
                Some(other) => &other.model,
                None if others.contains(&start.as_str()) => &self.student.model,
                None => return self.known(&format!("{table}.start"), start, others),
            };
            if *model != stage.model {
                return Err(format!(
                    "{table}.start = \"{start}\": that is a {model}, and this one a {}: weights of \
                     another network do not fit",
                    stage.model
                ));
            }
            if stage.weights.is_some() {
                return Err(format!("{table}: give `start` or `weights`, not both"));
            }
        }
        if stage.mutual && stage.peers.is_empty() {
            return Err(format!(
                "{table}.mutual: there is nobody beside it; name others in {table}.peers"
            ));
        }
        stage
            .combine
            .validate()
            .map_err(|problem| format!("{table}.combine.{problem}"))
    }

    /// The teacher must have a student.
    fn validate_uses(&self) -> Result<(), String> {
        let mut stages = self.stages.values().chain([&self.student]);
        let used = stages.any(|stage| {
            let learns = self.teachers_of(stage).iter().any(|name| name == TEACHER);
            let changed = stage.prune.is_some() || stage.quantise.is_some();
            learns || (changed && stage.start.is_none() && stage.weights.is_none())
        });
        if self.teacher.is_some() && !used {
            return Err(
                "there is a [teacher], but no stage learns from it: name it in `teachers`, or remove \
                 the table"
                    .into(),
            );
        }
        let cached = self.teacher.as_ref().is_some_and(|t| t.cache.is_some());
        if cached && !self.plans().iter().any(|plan| plan.cached) {
            return Err(
                "[teacher.cache] would keep answers for nobody: it serves stages that learn from \
                 `teacher` alone and not from each other, and there is none; remove the table"
                    .into(),
            );
        }
        Ok(())
    }

    /// That a stage exists.
    fn known(&self, key: &str, name: &str, others: &[&str]) -> Result<(), String> {
        if self.stages.contains_key(name) {
            return Ok(());
        }
        let names: Vec<&str> = others
            .iter()
            .copied()
            .chain(self.stages.keys().map(String::as_str))
            .collect();
        let nearest = nearest_name(name, names.iter().copied());
        let hint = nearest.map_or(String::new(), |known| format!("; did you mean `{known}`?"));
        Err(format!(
            "{key}: there is no stage `{name}`{hint} (there {})",
            match names.as_slice() {
                [] => "are none".into(),
                names => format!("is {}", names.join(", ")),
            }
        ))
    }

    /// That no name stands twice in a list.
    fn same(&self, key: &str, names: &[String]) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        match names.iter().find(|name| !seen.insert(*name)) {
            Some(name) => Err(format!("{key}: `{name}` is named twice")),
            None => Ok(()),
        }
    }
}
