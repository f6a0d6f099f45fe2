//! Whether a teacher can teach: told before the first step of a student, and again beside the results.

use crate::report::words::count;
use crate::stats::{Evidence, Pair, Verdict};
use crate::{NetworkSummary, Role, Score, Summary};

/// A score of a teacher on a split.
pub(crate) struct TeacherScore<'a> {
    /// What people call it: `teacher`, `stage assistant`.
    pub name: String,
    /// Whether its weights come from a file.
    pub loaded: bool,
    /// The score that selects.
    pub score: &'a Score,
    /// `validation` or `test`.
    pub split: &'static str,
    /// Images of the split.
    pub images: usize,
    /// Classes of the data.
    pub classes: usize,
}

/// Whether an accuracy in percent is near that of a guess among `classes`: at most a tenth of the way from it
/// to 100 %, or not above it by more than `images` images tell (95 %, binomial).
pub(crate) fn near_chance(accuracy: f64, classes: usize, images: usize) -> bool {
    if classes < 2 || images == 0 {
        return false;
    }
    let chance = 100.0 / classes as f64;
    let error = (chance * (100.0 - chance) / images as f64).sqrt();
    accuracy - chance <= (0.1 * (100.0 - chance)).max(1.96 * error)
}

impl TeacherScore<'_> {
    /// What it has, in words: `the teacher has 10.20 % validation top-1 (2,000 images)`.
    pub fn has(&self) -> String {
        let score = self.score;
        format!(
            "the {} has {} {} {} ({} images)",
            self.name,
            score.show(score.value),
            self.split,
            score.title,
            count(self.images as u64)
        )
    }

    /// Why it is not fit to teach anyone; none where that is not known.
    pub fn near_chance(&self) -> Option<String> {
        let accuracy = self.score.key == "top1";
        (accuracy && near_chance(self.score.value, self.classes, self.images)).then(|| {
            format!(
                "{}, near chance ({:.2} % with {} classes): what it teaches is mostly wrong. {}",
                self.has(),
                100.0 / self.classes as f64,
                count(self.classes as u64),
                self.cure()
            )
        })
    }

    /// Why it is not fit to teach a student that reaches `alone` on labels.
    pub fn below(&self, alone: f64) -> Option<String> {
        let score = self.score;
        if score.better.gain(score.value, alone) >= 0.0 {
            return None;
        }
        let pair = Pair::of(score.value, alone);
        let accuracy = score.key == "top1";
        let verdict = Verdict::of(&[pair], score.better, score.unit, self.images, accuracy);
        let by_chance = accuracy && verdict.is_none_or(|v| v.evidence == Evidence::NotShown);
        let chance = match by_chance {
            true => format!(
                " (a difference that {} images cannot tell from chance)",
                count(self.images as u64)
            ),
            false => String::new(),
        };
        Some(format!(
            "{}, less than the student alone, {}{chance}: it knows no more than the labels teach. {}",
            self.has(),
            score.show(alone),
            self.cure()
        ))
    }

    fn cure(&self) -> &'static str {
        if self.loaded {
            "Check that its weights are of these classes in this order, and that data.normalize is what it was \
             trained with"
        } else {
            "Give it a longer or better training, or weights of a trained one"
        }
    }
}

impl Summary {
    /// Why a distillation may have failed, where the teachers' test scores tell: a sentence each.
    pub fn why(&self) -> Vec<String> {
        let distilled = self.networks.iter().find(|n| n.role == Role::Distilled);
        let names = distilled.map_or(&[][..], |n| n.learned_from.as_slice());
        let alone = self.mean_first_score(&Role::Baseline);
        let problem = |name: &String| -> Option<String> {
            let role = match name.as_str() {
                "teacher" => Role::Teacher,
                name => Role::Stage(name.into()),
            };
            let network = self.networks.iter().find(|n| n.role == role)?;
            let score = self.mean_score(network)?;
            let teacher = TeacherScore {
                name: role.title(),
                loaded: network.seed.is_none(),
                score: &score,
                split: "test",
                images: self.data.test,
                classes: self.data.classes.len(),
            };
            teacher.near_chance().or_else(|| teacher.below(alone?))
        };
        names.iter().filter_map(problem).collect()
    }

    /// What [`Summary::why`] is called: the reason, or beside a gain a note.
    pub fn why_word(&self) -> &'static str {
        match self.verdict() {
            Some(verdict) if verdict.gained() => "Note",
            _ => "Why",
        }
    }

    fn mean_first_score(&self, role: &Role) -> Option<f64> {
        let scores = self.first_scores(role);
        (!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64)
    }

    /// The first test score of a network, as the mean over its seeds.
    fn mean_score(&self, network: &NetworkSummary) -> Option<Score> {
        Some(Score {
            value: self.mean_first_score(&network.role)?,
            ..network.test.first()?.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(score: &Score) -> TeacherScore<'_> {
        TeacherScore {
            name: "teacher".into(),
            loaded: true,
            score,
            split: "validation",
            images: 2000,
            classes: 10,
        }
    }

    #[test]
    fn chance_is_that_of_the_classes_and_of_the_images() {
        for (accuracy, classes, images, near) in [
            (10.0, 10, 10_000, true),
            (19.0, 10, 10_000, true),
            (19.1, 10, 10_000, false),
            (1.0, 100, 5_000, true),
            (12.0, 100, 5_000, false),
            // Of 20 images 30 % are within chance: 10 + 1.96 · 6.7.
            (23.0, 10, 20, true),
            (55.0, 2, 10_000, true),
            (56.0, 2, 10_000, false),
            (3.0, 10, 100, true),
            (100.0, 1, 100, false),
        ] {
            let found = near_chance(accuracy, classes, images);
            assert_eq!(found, near, "{accuracy} % of {classes} classes");
        }
        let score = Score::percent("top1", "top-1", 10.2);
        let text = of(&score).near_chance().unwrap();
        assert!(
            text.starts_with(
                "the teacher has 10.20 % validation top-1 (2,000 images), near chance (10.00 % with 10 classes)"
            ),
            "{text}"
        );
        // Of other scores nothing is known.
        assert_eq!(of(&Score::percent("map", "mAP", 1.0)).near_chance(), None);
    }

    #[test]
    fn a_teacher_below_the_student_alone_is_named() {
        let score = Score::percent("top1", "top-1", 60.0);
        assert_eq!(of(&score).below(60.0), None);
        let far = of(&score).below(70.0).unwrap();
        assert!(
            far.contains("less than the student alone, 70.00 %: "),
            "{far}"
        );
        let close = of(&score).below(60.5).unwrap();
        assert!(
            close.contains("2,000 images cannot tell from chance"),
            "{close}"
        );
        let loss = Score::nats("loss", "cross-entropy", 0.5);
        assert_eq!(of(&loss).below(0.6), None);
        assert!(of(&loss).below(0.4).is_some());
    }
}
