//! Which of the student's mistakes are its teacher's.

use std::collections::BTreeMap;

use crate::answers::share;
use crate::finding::{Bar, Finding, Kind, Plot, level};
use crate::input::Inputs;
use crate::thresholds;

pub(crate) const MISTAKES: Kind = Kind {
    key: "mistakes",
    title: "Inherited mistakes",
    threshold: "notice: half of the student's mistakes, and 20 points more than its own confusions explain",
};

pub(crate) fn mistakes(inputs: &Inputs) -> Finding {
    let both = &inputs.validation;
    let labels = both.teacher.labels();
    let (teacher, student) = (both.teacher.choices(), both.student.choices());
    let classes = inputs.classes.len();
    // What the student calls samples of a class that it has wrong.
    let mut confusions = vec![BTreeMap::<usize, usize>::new(); classes];
    let mut of_class = vec![0usize; classes];
    let wrong: Vec<usize> = (0..labels.len())
        .filter(|&i| student[i] != labels[i])
        .collect();
    for &i in &wrong {
        *confusions[labels[i]].entry(student[i]).or_default() += 1;
        of_class[labels[i]] += 1;
    }
    let inherited = share(wrong.iter().map(|&i| teacher[i] == student[i]));
    // If the student confused at random, as it does on the whole, on the samples that the teacher has wrong.
    let expected = wrong.iter().map(|&i| {
        let label = labels[i];
        match teacher[i] == label {
            true => 0.0,
            false => {
                let hits = confusions[label].get(&teacher[i]).copied().unwrap_or(0);
                hits as f64 / of_class[label] as f64
            }
        }
    });
    let expected = expected.sum::<f64>() / wrong.len().max(1) as f64;
    let mut pairs: BTreeMap<(usize, usize), [usize; 2]> = BTreeMap::new();
    for &i in &wrong {
        let counts = pairs.entry((labels[i], student[i])).or_default();
        counts[0] += 1;
        counts[1] += usize::from(teacher[i] == student[i]);
    }
    let mut pairs: Vec<_> = pairs.into_iter().collect();
    pairs.sort_by_key(|(_, counts)| std::cmp::Reverse(*counts));
    let bars = pairs
        .iter()
        .take(thresholds::SHOWN)
        .map(|((label, given), counts)| Bar {
            name: format!(
                "{} called {}, {} of {} inherited",
                inputs.classes[*label], inputs.classes[*given], counts[1], counts[0]
            ),
            value: counts[0] as f64,
            marked: 2 * counts[1] > counts[0],
        });
    let many =
        inherited >= thresholds::INHERITED && inherited - expected >= thresholds::INHERITED_ABOVE;
    let advice = match many {
        true => {
            "Most of what the student has wrong it learned: a better teacher, or an ensemble of several, gains more than other \
             weights; more weight on the labels (`cross_entropy`) lets it differ."
        }
        false => "Most mistakes are the student's own.",
    };
    MISTAKES
        .finding(
            level(false, many),
            "share of the student's mistakes that are its teacher's",
            inherited,
            format!(
                "Of {} mistakes of the student, {:.0} % are the very mistakes of the teacher, where its own confusions would give \
                 {:.0} %. {advice}",
                wrong.len(),
                100.0 * inherited,
                100.0 * expected
            ),
        )
        .plot(Plot::Bars {
            title: "Samples of the most frequent mistakes".into(),
            bars: bars.collect(),
        })
}
