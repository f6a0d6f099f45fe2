//! Labels that the teacher disputes.

use crate::answers::softmax;
use crate::finding::{Bar, Finding, Kind, Plot, level, list};
use crate::input::{Inputs, TrainPart};
use crate::significance::{at_least, holm};
use crate::thresholds;

pub(crate) const NOISE: Kind = Kind {
    key: "label_noise",
    title: "Disputed labels",
    threshold: "problem: a class of which 10 % of the training samples are clearly disputed, by their label or by what the teacher \
                calls them, three times the share of the class in the middle, p ≤ 0.001 after Holm's correction; notice: 5 % of \
                all are disputed",
};

/// A sample whose label the teacher disputes.
struct Suspect {
    at: usize,
    /// The class that the teacher gives.
    given: usize,
    /// Whether it gives the label next to nothing.
    clear: bool,
}

/// Samples whose label the teacher disputes, and the class that it gives, the surest first.
///
/// A sample counts when the teacher gives a class that is not its label at least the mean probability that it gives to that class
/// on the samples labelled so, and it is the highest such class.
///
/// Source: C. Northcutt, L. Jiang, I. Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 2021.
fn disputed(train: &TrainPart) -> Vec<Suspect> {
    let answers = &train.both.teacher;
    let classes = answers.classes();
    let shares: Vec<Vec<f64>> = answers.rows().map(|row| softmax(row, 1.0)).collect();
    let (mut sums, mut counts) = (vec![0.0; classes], vec![0usize; classes]);
    for (shares, label) in shares.iter().zip(answers.labels()) {
        sums[*label] += shares[*label];
        counts[*label] += 1;
    }
    let sure: Vec<f64> = sums
        .iter()
        .zip(&counts)
        .map(|(sum, n)| match n {
            0 => f64::INFINITY,
            n => sum / *n as f64,
        })
        .collect();
    let mut found: Vec<(f64, Suspect)> = Vec::new();
    for (at, (shares, label)) in shares.iter().zip(answers.labels()).enumerate() {
        let highest = (0..classes).max_by(|a, b| shares[*a].total_cmp(&shares[*b]));
        if let Some(given) = highest.filter(|c| c != label && shares[*c] >= sure[*c]) {
            let (own, other) = (shares[*label], shares[given]);
            let clear = own <= thresholds::CLEAR_DISPUTE * other;
            found.push((other - own, Suspect { at, given, clear }));
        }
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.at.cmp(&b.1.at)));
    found.into_iter().map(|(_, suspect)| suspect).collect()
}

/// Disputed samples of every class, and all of it.
struct Counts {
    hits: Vec<usize>,
    all: Vec<usize>,
}

impl Counts {
    fn new(classes: usize) -> Self {
        Self {
            hits: vec![0; classes],
            all: vec![0; classes],
        }
    }

    fn share(&self, class: usize) -> f64 {
        self.hits[class] as f64 / self.all[class].max(1) as f64
    }

    /// Of the class in the middle, which stands for the others, so that noisy ones do not hide each other; one sample at least.
    fn usual(&self) -> f64 {
        let classes = (0..self.all.len()).filter(|class| self.all[*class] > 0);
        let mut shares: Vec<f64> = classes.map(|class| self.share(class)).collect();
        shares.sort_by(f64::total_cmp);
        let all: usize = self.all.iter().sum();
        let middle = shares.get(shares.len().saturating_sub(1) / 2);
        middle.copied().unwrap_or(0.0).max(1.0 / all.max(1) as f64)
    }

    fn chances(&self) -> Vec<f64> {
        let usual = self.usual();
        let classes = self.hits.iter().zip(&self.all);
        classes
            .map(|(hits, all)| at_least(*hits, *all, usual))
            .collect()
    }
}

pub(crate) fn noise(inputs: &Inputs) -> Option<Finding> {
    let train = inputs.train.as_ref()?;
    let labels = train.both.teacher.labels();
    let suspects = disputed(train);
    let classes = inputs.classes.len();
    // Once by the label, once by what the teacher gives: samples of a class may be labelled as many others.
    let (mut by_label, mut by_given) = (Counts::new(classes), Counts::new(classes));
    labels.iter().for_each(|label| by_label.all[*label] += 1);
    let choices = train.both.teacher.choices();
    choices.iter().for_each(|given| by_given.all[*given] += 1);
    // Classes that look alike dispute each other's samples all the time, but not clearly.
    let clear = suspects.iter().filter(|suspect| suspect.clear);
    for Suspect { at, given, .. } in clear {
        by_label.hits[labels[*at]] += 1;
        by_given.hits[*given] += 1;
    }
    let ways = [by_label, by_given];
    let chances: Vec<f64> = ways.iter().flat_map(Counts::chances).collect();
    let corrected = holm(&chances);
    let noisy: Vec<usize> = (0..classes)
        .filter(|&class| {
            let mut ways = ways.iter().zip(corrected.chunks(classes));
            ways.any(|(counts, p)| {
                let own = counts.share(class);
                own >= thresholds::DISPUTED
                    && own >= 3.0 * counts.usual()
                    && p[class] <= thresholds::DISPUTED_P
            })
        })
        .collect();
    let names: Vec<String> = noisy.iter().map(|c| inputs.classes[*c].clone()).collect();
    let all = suspects.len() as f64 / labels.len().max(1) as f64;
    let many = all >= thresholds::DISPUTED_ALL;
    let shown = suspects.iter().take(thresholds::SHOWN);
    let samples = shown.map(|Suspect { at, given, .. }| {
        let (label, given) = (&inputs.classes[labels[*at]], &inputs.classes[*given]);
        format!("sample {} ({label}, teacher: {given})", train.indices[*at])
    });
    let samples: Vec<String> = samples.collect();
    let mut sentence = format!(
        "The teacher disputes {} of {} training labels ({:.1} %).",
        suspects.len(),
        labels.len(),
        100.0 * all
    );
    sentence += &match names.as_slice() {
        [] if !many => " No class stands out.".to_owned(),
        [] => " They are spread over the classes: look at some; if the teacher is right, lower the weight of `cross_entropy`.".into(),
        names => format!(
            " They are in {}: look at these labels first. Until they are right, lower the weight of `cross_entropy`, since the \
             teacher's answers are better than the labels.",
            list(names)
        ),
    };
    if (many || !names.is_empty()) && !samples.is_empty() {
        sentence += &format!(" First suspects: {}.", samples.join(", "));
    }
    let share = |class: usize| ways[0].share(class).max(ways[1].share(class));
    let mut order: Vec<usize> = (0..classes).collect();
    order.sort_by(|a, b| share(*b).total_cmp(&share(*a)));
    let bars = order.into_iter().take(thresholds::SHOWN).map(|c| Bar {
        name: inputs.classes[c].clone(),
        value: 100.0 * share(c),
        marked: noisy.contains(&c),
    });
    Some(
        NOISE
            .finding(
                level(!noisy.is_empty(), many),
                "share of the training labels that the teacher disputes",
                all,
                sentence,
            )
            .named(names)
            .plot(Plot::Bars {
                title: "Clearly disputed samples of each class, by label or by the teacher, the larger, %"
                    .into(),
                bars: bars.collect(),
            }),
    )
}
