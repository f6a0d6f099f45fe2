//! What the numbers of a study say, in sentences that are made of them.

use super::classes::{ClassDifference, best};
use super::kernel::rank_correlation;
use super::{Explanation, StudentView};
use crate::report::words::{count, prefixed};
use crate::stats::{Evidence, Spread, Verdict, quantile};

/// A part of the report: a title and its paragraphs.
pub(super) struct Section {
    pub title: &'static str,
    pub sentences: Vec<String>,
}

/// What makes all that follows doubtful; told in red.
pub(super) fn warning(found: &Explanation) -> Option<String> {
    let (teacher, alone) = (
        found.results.teacher.as_ref()?,
        found.results.alone.as_ref()?,
    );
    (teacher.score.mean < alone.score.mean).then(|| {
        format!(
            "The teacher has {:.2} % and the student alone {:.2} %: this teacher knows less than its student, and \
             nothing here says what a good one would teach.",
            teacher.score.mean, alone.score.mean
        )
    })
}

/// Teacher, student and data.
pub(super) fn pair(found: &Explanation) -> Section {
    let (results, setting) = (&found.results, &found.setting);
    let mut sentences = Vec::new();
    let cost = |at: usize| {
        let macs = setting.macs[at].map(|macs| prefixed(macs as f64, "MACs"));
        let parameters = format!("{} parameters", prefixed(setting.parameters[at] as f64, ""));
        match macs {
            Some(macs) => format!("{parameters}, {macs} an image"),
            None => parameters,
        }
    };
    if let Some(teacher) = &results.teacher {
        let size = setting.teacher_size.map_or(String::new(), |size| {
            format!(", which sees each image resized to {size}×{size} pixels")
        });
        sentences.push(format!(
            "Teacher: {} ({}){size}. It has {:.2} % on {} test images.",
            teacher.model,
            cost(0),
            teacher.score.mean,
            count(results.data.test as u64)
        ));
    }
    if let Some(variant) = results.variants.first() {
        let alone = results.alone.as_ref().map_or(String::new(), |alone| {
            format!(" Alone, on labels, it has {} %.", alone.score.show())
        });
        sentences.push(format!(
            "Student: {} ({}), trained for {} on {} images of {}, {} of each variant.{alone}",
            variant.model,
            cost(1),
            epochs(setting.epochs),
            count(results.data.train as u64),
            results.data.name,
            seeds(results.seeds),
        ));
    }
    sentences.push(format!(
        "The epoch that is kept is the one that is best on {} validation images. The test images are read once.",
        count(setting.validation as u64)
    ));
    Section {
        title: "The pair",
        sentences,
    }
}

fn epochs(number: usize) -> String {
    match number {
        1 => "one epoch".into(),
        number => format!("{number} epochs"),
    }
}

fn seeds(number: usize) -> String {
    match number {
        1 => "one seed".into(),
        number => format!("{number} seeds"),
    }
}

/// `+1.20 ± 0.30 points, not shown`.
pub(super) fn difference(points: &str, verdict: &Verdict) -> String {
    let interval = verdict.seed_interval.map_or(String::new(), |half| {
        format!(" (95 % interval of the mean ± {half:.2})")
    });
    format!("{points} points{interval}, {}", verdict.word())
}

/// What each family is worth.
pub(super) fn families(found: &Explanation) -> Section {
    let mut families: Vec<&str> = Vec::new();
    for student in found.students.iter().skip(1) {
        if student.family != "labels" && !families.contains(&student.family.as_str()) {
            families.push(&student.family);
        }
    }
    let variants = &found.results.variants;
    let sentences = families.into_iter().map(|family| {
        let members = found.students.iter().filter(|s| s.family == family);
        let members = members.filter_map(|student| {
            let variant = variants.iter().find(|v| v.name == student.name)?;
            let gain = variant.gain.as_ref()?;
            let points = gain.points.show_signed();
            Some(format!(
                "`{}` {}",
                student.name,
                difference(&points, &gain.verdict)
            ))
        });
        format!(
            "{}, above the student alone: {}.",
            capital(family),
            members.collect::<Vec<_>>().join("; ")
        )
    });
    let mut sentences: Vec<String> = sentences.collect();
    sentences.push(costs(found));
    Section {
        title: "What each family transfers, and what it costs",
        sentences,
    }
}

/// What training costs beside the student alone.
fn costs(found: &Explanation) -> String {
    let alone = found.students.iter().find(|s| s.family == "labels");
    let Some(base) = alone.and_then(|alone| alone.seconds) else {
        return "The time of training is in the table.".into();
    };
    let timed = found.students.iter().filter_map(|s| Some((s, s.seconds?)));
    let timed = timed.filter(|(s, _)| s.family != "labels");
    let slowest = timed.clone().max_by(|a, b| a.1.total_cmp(&b.1));
    let fastest = timed.min_by(|a, b| a.1.total_cmp(&b.1));
    match (fastest, slowest) {
        (Some((fast, least)), Some((slow, most))) => format!(
            "A seed of the student alone trains for {base:.0} s, the variants from {least:.0} s (`{}`) to {most:.0} s \
             (`{}`). Which of them runs the teacher and fills its cache is the first one; the others read it.",
            fast.name, slow.name
        ),
        _ => "The time of training is in the table.".into(),
    }
}

/// What one more term, or another value, changes.
pub(super) fn changes(found: &Explanation) -> Section {
    let sentences = found.changes.iter().map(|change| {
        format!(
            "`{}` to `{}`, {}: {}.",
            change.from,
            change.to,
            change.what,
            difference(&change.points.show_signed(), &change.verdict)
        )
    });
    Section {
        title: "One thing at a time",
        sentences: sentences.collect(),
    }
}

/// Whether students see the images more as their teacher does.
pub(super) fn likeness(found: &Explanation) -> Section {
    let mut sentences = vec![format!(
        "The alignment of two networks' maps is their linear CKA on {} test images (unbiased; 1: the same but for \
         rotation and scale, 0: unrelated). The distances are those between the embeddings of all pairs of these images, \
         and their correlation with the teacher's is Pearson's.",
        count(found.setting.images as u64)
    )];
    let named = |name: &str| found.students.iter().find(|s| s.name == name);
    if let (Some(before), Some(alone)) = (named("untrained"), named("student alone")) {
        sentences.push(format!(
            "Before training, the student's last map aligns with the teacher's by {:.2}, and its distances correlate by \
             {:.2}. Labels alone make that {} and {}.",
            before.last.mean,
            before.distances.mean,
            alone.last.show(),
            alone.distances.show()
        ));
        let variants = || found.students.iter().skip(2);
        let highest = |what: &str, of: fn(&StudentView) -> &Spread| {
            let most = variants().max_by(|a, b| of(a).mean.total_cmp(&of(b).mean))?;
            Some(format!(
                "The highest {what} is that of `{}`: {} ({:+.2} beside the student alone).",
                most.name,
                of(most).show(),
                of(most).mean - of(alone).mean
            ))
        };
        sentences.extend(highest("alignment of the last maps", |s| &s.last));
        sentences.extend(highest("correlation of distances", |s| &s.distances));
        let mut gains = found
            .results
            .variants
            .iter()
            .filter_map(|v| v.gain.as_ref());
        if gains.any(|gain| gain.verdict.evidence != Evidence::NotShown) {
            let pays = |what, of| pays(variants().collect(), what, of);
            sentences.extend(pays("correlation of distances", |s| s.distances.mean));
            sentences.extend(pays("alignment of the last maps", |s| s.last.mean));
        } else {
            sentences.push(
                "Whether likeness pays cannot be told here: no variant is shown to differ from the student alone."
                    .into(),
            );
        }
    }
    Section {
        title: "Does the student see as its teacher does?",
        sentences,
    }
}

/// Whether variants that are more like the teacher are better ones.
fn pays(variants: Vec<&StudentView>, what: &str, of: fn(&StudentView) -> f64) -> Option<String> {
    let scored = variants
        .iter()
        .filter_map(|s| Some((of(s), s.score.as_ref()?.mean)));
    let (likeness, scores): (Vec<f64>, Vec<f64>) = scored.unzip();
    let count = scores.len();
    if count < 4 {
        return None;
    }
    let found = rank_correlation(&likeness, &scores);
    let t = quantile(count - 2);
    let least = t / (t * t + (count - 2) as f64).sqrt();
    let says = match found.abs() > least {
        true if found > 0.0 => "so variants that are more alike are better ones here",
        true => "so variants that are more alike are worse ones here",
        false => "so likeness does not tell the better variants here",
    };
    Some(format!(
        "Over the {count} variants, the rank correlation of the {what} with the accuracy is {found:+.2} (beyond ± \
         {least:.2} it is no chance, at 95 %): {says}."
    ))
}

/// Classes that are lost.
pub(super) fn failures(found: &Explanation) -> Section {
    const SHOWN: usize = 6;
    let best = best(&found.results).unwrap_or("the best variant");
    let images = found.results.data.test as f64 / found.setting.classes.max(1) as f64;
    let mut sentences = vec![format!(
        "A class has about {images:.0} test images, so one image is {:.0} points of it; single classes that differ by a \
         few images differ by chance. The best variant by its mean is `{best}`.",
        100.0 / images.max(1.0)
    )];
    let list = |classes: Vec<&ClassDifference>, of: fn(&ClassDifference) -> f64| {
        let named = classes.into_iter().take(SHOWN);
        let named: Vec<String> = named
            .map(|c| format!("{} {:+.0}", c.class, of(c)))
            .collect();
        named.join(", ")
    };
    let lost: Vec<_> = found.classes.iter().filter(|c| c.gain() < 0.0).collect();
    let gained: Vec<_> = found
        .classes
        .iter()
        .rev()
        .filter(|c| c.gain() > 0.0)
        .collect();
    sentences.push(format!(
        "Beside the student alone it loses in {} of {} classes and gains in {}. Most lost, in points: {}. Most gained: {}.",
        lost.len(),
        found.classes.len(),
        gained.len(),
        or_none(list(lost, ClassDifference::gain)),
        or_none(list(gained, ClassDifference::gain)),
    ));
    let mut below: Vec<_> = found
        .classes
        .iter()
        .filter(|c| c.below_teacher() > 0.0)
        .collect();
    below.sort_by(|a, b| b.below_teacher().total_cmp(&a.below_teacher()));
    sentences.push(format!(
        "Farthest below the teacher: {}.",
        or_none(list(below, |c| -c.below_teacher()))
    ));
    let never = found.classes.iter().filter(|c| c.best == 0.0);
    let never: Vec<&str> = never.map(|c| c.class.as_str()).collect();
    if !never.is_empty() {
        let names = never
            .iter()
            .take(10)
            .copied()
            .collect::<Vec<_>>()
            .join(", ");
        let more = match never.len() > 10 {
            true => ", and others",
            false => "",
        };
        sentences.push(format!(
            "It never names {} of the classes rightly, in any seed: {names}{more}.",
            never.len()
        ));
    }
    Section {
        title: "Where it fails",
        sentences,
    }
}

fn or_none(text: String) -> String {
    match text.is_empty() {
        true => "none".into(),
        false => text,
    }
}

/// What may be concluded, and what may not.
pub(super) fn conclusion(found: &Explanation) -> Section {
    let results = &found.results;
    let mut sentences: Vec<String> = warning(found).into_iter().collect();
    let gains = results
        .variants
        .iter()
        .filter_map(|v| Some((&v.name, &v.gain.as_ref()?.verdict)));
    let with = |wanted: &[Evidence], up: bool| -> Vec<String> {
        let gains = gains
            .clone()
            .filter(|(_, v)| wanted.contains(&v.evidence) && (v.mean > 0.0) == up);
        gains.map(|(name, _)| format!("`{name}`")).collect()
    };
    let shown = [Evidence::Shown];
    let partly = [Evidence::TheseImages, Evidence::TheseSeeds];
    let parts = [
        (
            "Shown to be better than the student alone",
            with(&shown, true),
        ),
        (
            "Better on these images or with these seeds",
            with(&partly, true),
        ),
        ("Not shown to differ from it", {
            let mut both = with(&[Evidence::NotShown], true);
            both.extend(with(&[Evidence::NotShown], false));
            both
        }),
        (
            "Worse on these images or with these seeds",
            with(&partly, false),
        ),
        ("Shown to be worse", with(&shown, false)),
    ];
    let parts = parts.into_iter().filter(|(_, names)| !names.is_empty());
    sentences.extend(parts.map(|(what, names)| format!("{what}: {}.", names.join(", "))));
    sentences.extend(added(found));
    if let Some(best) = results
        .variants
        .iter()
        .max_by(|a, b| a.score.mean.total_cmp(&b.score.mean))
    {
        let left = results.teacher.as_ref().map_or(String::new(), |teacher| {
            format!(
                " {:.2} points below the teacher",
                teacher.score.mean - best.score.mean
            )
        });
        sentences.push(format!(
            "The highest mean is that of `{}`: {} %,{left}. The best of {} variants is partly the luckiest.",
            best.name,
            best.score.show(),
            results.variants.len()
        ));
    }
    sentences.push(format!(
        "This is what {} on {} images and {} tell of this pair. It is no statement about long trainings, other \
         pairs, or weights that are tuned for one.",
        epochs(found.setting.epochs),
        count(results.data.train as u64),
        seeds(results.seeds)
    ));
    Section {
        title: "Conclusion",
        sentences,
    }
}

/// What terms bring where others are already there.
fn added(found: &Explanation) -> Vec<String> {
    let beside = |name: &str| {
        let from = found.students.iter().find(|s| s.name == name);
        from.is_some_and(|s| s.family != "labels")
    };
    let changes = found
        .changes
        .iter()
        .filter(|c| c.what.ends_with(" added") && beside(&c.from));
    let changes: Vec<_> = changes.collect();
    if changes.is_empty() {
        return Vec::new();
    }
    let better = changes.iter().filter(|c| c.verdict.gained());
    let better: Vec<String> = better.map(|c| format!("`{}`", c.to)).collect();
    let means = || changes.iter().map(|c| c.points.mean);
    let (least, most) = (
        means().fold(f64::INFINITY, f64::min),
        means().fold(f64::NEG_INFINITY, f64::max),
    );
    let says = match better.is_empty() {
        true => "no gain of one more term is shown".into(),
        false => format!("one more term is shown to gain in {}", better.join(", ")),
    };
    vec![format!(
        "A term added to another ({} comparisons) changes the mean by {least:+.2} to {most:+.2} points: {says}.",
        changes.len()
    )]
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}

/// All parts, in the order of the report.
pub(super) fn sections(found: &Explanation) -> Vec<Section> {
    vec![
        pair(found),
        families(found),
        changes(found),
        likeness(found),
        failures(found),
        conclusion(found),
    ]
}
