//! What networks begin with, and what does not go together there.

use super::Recipe;

impl Recipe {
    /// What is said of weights needs weights.
    pub(super) fn validate_weights(&self) -> Result<(), String> {
        for (table, stage) in self.tables() {
            if stage.weights.is_none() && stage.weights_prefix.is_some() {
                return Err(format!(
                    "{table}.weights_prefix says where in {table}.weights the network is, and there are no weights: \
                     give them, or leave it out"
                ));
            }
            let given = [
                ("new_classifier", stage.new_classifier),
                ("classifier_weights", stage.classifier_weights.is_some()),
            ];
            let mut given = given.into_iter().filter(|(_, given)| *given);
            match (given.next(), given.next()) {
                (Some((key, _)), _) if stage.weights.is_none() => {
                    return Err(format!(
                        "{table}.{key} is for a network with {table}.weights, and there are none: give them, or leave \
                         it out"
                    ));
                }
                (Some(_), Some(_)) => {
                    return Err(format!(
                        "{table}.new_classifier draws a classifier, and {table}.classifier_weights reads one: keep one \
                         of them"
                    ));
                }
                _ => {}
            }
        }
        for (table, stage) in self.tables() {
            if stage.init_from.is_none() {
                continue;
            }
            if self.teacher.is_none() {
                return Err(format!(
                    "{table}.init_from takes layers of the teacher, and there is no [teacher]: add one, or leave it out"
                ));
            }
            if stage.start.is_some() || stage.weights.is_some() {
                return Err(format!(
                    "{table}.init_from says what the network begins with, and so does {table}.{}: keep one of them",
                    if stage.start.is_some() {
                        "start"
                    } else {
                        "weights"
                    }
                ));
            }
        }
        self.validate_compression()?;
        let Some(teacher) = &self.teacher else {
            return Ok(());
        };
        if teacher.model.is_empty() && teacher.weights.is_none() {
            return Err(
                "teacher.model: name a network (`kd models` lists them), or give teacher.weights that say which it \
                 is"
                    .into(),
            );
        }
        if let Some(normalize) = &teacher.normalize {
            let problem = |e: kd_data::Error| e.to_string().replacen("data.", "teacher.", 1);
            normalize.validate().map_err(problem)?;
        }
        let given = [
            ("weights_prefix", teacher.weights_prefix.is_some()),
            ("classifier_weights", teacher.classifier_weights.is_some()),
            ("normalize", teacher.normalize.is_some()),
            ("size", teacher.size.is_some()),
        ];
        match given.into_iter().find(|(_, given)| *given) {
            Some((key, _)) if teacher.weights.is_none() => Err(format!(
                "teacher.{key} is for a teacher with weights; one that is trained first learns from the images \
                 of [data]: give teacher.weights, or leave it out"
            )),
            _ => Ok(()),
        }
    }
}
