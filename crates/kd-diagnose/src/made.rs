//! Runs that are made up, whose trouble is known.

use crate::random::Random;
use crate::{
    Answers, Both, Cosines, Diagnosis, Inputs, Level, MapLevel, Similarity, Sizes, TermGradient,
    TrainPart, diagnose,
};

const CLASSES: usize = 10;
const SAMPLES: usize = 2000;

/// How a made-up run differs from a healthy one.
#[derive(Clone, Default)]
struct Planted {
    /// Classes that the student mostly has wrong.
    crippled: Vec<usize>,
    /// Classes of which a fifth of the training labels is another class's.
    mislabelled: Vec<usize>,
    /// Temperature; 4 where it is 0.
    temperature: f64,
    /// The teacher sees images that are normalised wrongly.
    normalisation: bool,
    /// The teacher is sure of everything.
    sure: bool,
    /// The student cannot follow its teacher.
    small: bool,
}

/// A sample: its class, how hard it is, and the class that it is like.
struct Sample {
    class: usize,
    like: usize,
    hard: f64,
}

fn normal(random: &mut Random) -> f64 {
    let (a, b) = (1.0 - random.share(), random.share());
    (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
}

fn samples(random: &mut Random) -> Vec<Sample> {
    (0..SAMPLES)
        .map(|_| {
            let class = random.below(CLASSES);
            Sample {
                class,
                // Each class has two that it is like, so that confusions have a structure.
                like: (class + 1 + random.below(2)) % CLASSES,
                hard: normal(random),
            }
        })
        .collect()
}

/// Logits of a teacher of about 91 %: the class, less of it for hard samples, and what it is like.
fn teacher(sample: &Sample, blind: f64, planted: &Planted, random: &mut Random) -> Vec<f64> {
    let mut logits: Vec<f64> = (0..CLASSES).map(|_| 0.7 * normal(random)).collect();
    logits[sample.class] += (6.5 - 2.0 * sample.hard) * (1.0 - blind);
    logits[sample.like] += 3.4 * (1.0 - blind);
    // Everything looks like class 3 to one that sees the wrong brightness.
    logits[3] += 5.0 * blind;
    let sharp = if planted.sure { 4.0 } else { 1.0 };
    logits.into_iter().map(|logit| sharp * logit).collect()
}

/// A student that follows its teacher's logits with some noise of its own.
fn student(
    sample: &Sample,
    of: &[f64],
    noise: f64,
    planted: &Planted,
    random: &mut Random,
) -> Vec<f64> {
    let own = of.iter().map(|logit| 0.9 * logit + noise * normal(random));
    let mut logits: Vec<f64> = own.collect();
    if planted.crippled.contains(&sample.class) && random.share() < 0.6 {
        logits[sample.class] -= 5.0;
        logits[sample.like] += 3.0;
    }
    logits
}

fn answers(logits: &[Vec<f64>], labels: &[usize]) -> Answers {
    let flat = logits.iter().flatten().map(|logit| *logit as f32);
    Answers::new(flat.collect(), labels.to_vec(), CLASSES).unwrap()
}

fn both(
    planted: &Planted,
    noise: f64,
    blind: f64,
    noisy: bool,
    random: &mut Random,
) -> (Both, Answers) {
    let samples = samples(random);
    let labels: Vec<usize> = samples
        .iter()
        .map(|sample| {
            let wrong = noisy && planted.mislabelled.contains(&sample.class);
            match wrong && random.share() < 0.25 {
                true => (sample.class + 4 + random.below(3)) % CLASSES,
                false => sample.class,
            }
        })
        .collect();
    let mut fork = random.clone();
    let taught: Vec<_> = samples
        .iter()
        .map(|s| teacher(s, blind, planted, random))
        .collect();
    let seeing: Vec<_> = samples
        .iter()
        .map(|s| teacher(s, 0.0, planted, &mut fork))
        .collect();
    let followed: Vec<_> = samples
        .iter()
        .zip(&taught)
        .map(|(sample, of)| student(sample, of, noise, planted, random))
        .collect();
    let pair = Both {
        teacher: answers(&taught, &labels),
        student: answers(&followed, &labels),
    };
    (pair, answers(&seeing, &labels))
}

fn made(planted: &Planted, seed: u64) -> Inputs {
    let random = &mut Random::new(seed);
    let noise = if planted.small { 3.0 } else { 0.6 };
    let blind = if planted.normalisation { 0.6 } else { 0.0 };
    let (validation, seeing) = both(planted, noise + 0.2, blind, false, random);
    let (train, _) = both(planted, noise, blind, true, random);
    let jitter = |random: &mut Random, value: f64| value + 0.03 * normal(random);
    let level = |level, side| MapLevel {
        level,
        shape: [16 << level, side, side],
    };
    let alignment = (0..4).map(|t: usize| {
        (0..4)
            .map(|s: usize| jitter(random, 0.9 - 0.15 * t.abs_diff(s) as f64))
            .collect()
    });
    Inputs {
        classes: (0..CLASSES).map(|c| format!("class {c}")).collect(),
        similarity: Some(Similarity {
            alignment: alignment.collect(),
            teacher: vec![level(0, 32), level(1, 32), level(2, 16), level(3, 8)],
            student: vec![level(0, 32), level(1, 32), level(2, 16), level(3, 8)],
            pairs: vec![(1, 1), (2, 2), (3, 3)],
        }),
        train: Some(TrainPart {
            both: train,
            indices: (0..SAMPLES).collect(),
        }),
        temperature: Some(match planted.temperature {
            0.0 => 4.0,
            given => given,
        }),
        terms: ["cross_entropy", "kd"]
            .map(|name| TermGradient {
                name: name.into(),
                norm: 0.3 + random.share(),
            })
            .into(),
        cosines: Some(Cosines {
            names: vec!["cross_entropy".into(), "kd".into()],
            values: vec![vec![1.0, 0.4], vec![0.4, 1.0]],
        }),
        curve: (1..=20)
            .map(|epoch| 88.0 - 25.0 / f64::from(epoch) + 0.2 * normal(random))
            .collect(),
        sizes: Some(Sizes {
            teacher: if planted.small { 24_000_000 } else { 272_474 },
            student: 77_850,
            others: vec![
                ("resnet20".into(), 272_474),
                ("resnet56".into(), 855_770),
                ("resnet110".into(), 1_730_714),
                ("resnet18".into(), 11_173_962),
            ],
        }),
        normalised: vec![
            ("mean 0, deviation 1".into(), validation.teacher.clone()),
            (
                "ImageNet's mean and deviation".into(),
                if planted.normalisation {
                    seeing
                } else {
                    validation.teacher.clone()
                },
            ),
        ],
        validation,
    }
}

fn problems(found: &Diagnosis) -> Vec<&str> {
    found
        .problems()
        .map(|finding| finding.key.as_str())
        .collect()
}

#[test]
fn every_planted_cause_is_named_and_nothing_else() {
    let none = Planted::default;
    let cases = [
        (
            "classes",
            Planted {
                crippled: vec![2, 7],
                ..none()
            },
        ),
        (
            "label_noise",
            Planted {
                mislabelled: vec![1, 5],
                ..none()
            },
        ),
        (
            "temperature",
            Planted {
                temperature: 40.0,
                ..none()
            },
        ),
        (
            "temperature",
            Planted {
                temperature: 1.0,
                sure: true,
                ..none()
            },
        ),
        (
            "normalisation",
            Planted {
                normalisation: true,
                ..none()
            },
        ),
        (
            "capacity",
            Planted {
                small: true,
                ..none()
            },
        ),
    ];
    for (wanted, planted) in cases {
        for seed in 0..3 {
            let found = diagnose(&made(&planted, seed)).unwrap();
            assert_eq!(
                problems(&found),
                [wanted],
                "seed {seed}\n{}",
                found.to_text()
            );
            let named = &found.get(wanted).unwrap().named;
            let classes =
                |of: &[usize]| -> Vec<String> { of.iter().map(|c| format!("class {c}")).collect() };
            match wanted {
                "classes" => assert_eq!(*named, classes(&planted.crippled)),
                "label_noise" => assert_eq!(*named, classes(&planted.mislabelled)),
                "normalisation" => assert_eq!(*named, ["ImageNet's mean and deviation"]),
                // 24 M to 78 k is 308 times: two assistants, the larger first.
                "capacity" => assert_eq!(*named, ["resnet110", "resnet56"]),
                _ => {}
            }
        }
    }
}

#[test]
fn healthy_runs_are_not_accused() {
    let accused: Vec<String> = (100..120)
        .filter_map(|seed| {
            let found = diagnose(&made(&Planted::default(), seed)).unwrap();
            let problems = problems(&found).join(", ");
            (!problems.is_empty()).then(|| format!("seed {seed}: {problems}"))
        })
        .collect();
    assert!(accused.is_empty(), "{accused:?}");
}

#[test]
fn a_component_that_is_drowned_and_one_that_fights_are_named() {
    let mut inputs = made(&Planted::default(), 7);
    inputs.terms[0].norm = 1e-3;
    inputs.cosines = Some(Cosines {
        names: vec!["cross_entropy".into(), "kd".into()],
        values: vec![vec![1.0, -0.7], vec![-0.7, 1.0]],
    });
    let found = diagnose(&inputs).unwrap();
    assert_eq!(problems(&found), ["balance", "conflict"]);
    assert_eq!(found.get("balance").unwrap().named, ["cross_entropy"]);
}

#[test]
fn every_finding_has_a_number_a_sentence_and_a_plot_on_a_whole_page() {
    let inputs = made(
        &Planted {
            crippled: vec![2],
            ..Planted::default()
        },
        1,
    );
    let mut inputs = inputs;
    inputs.classes[2] = "a <b> & c".into();
    let found = diagnose(&inputs).unwrap();
    let keys: Vec<&str> = crate::table().iter().map(|row| row[0]).collect();
    for key in keys {
        let finding = found.get(key).unwrap_or_else(|| panic!("{key}"));
        assert!(
            finding.number.is_finite() && finding.sentence.len() > 40,
            "{finding:?}"
        );
        assert!(key == "gap" || !finding.plots.is_empty(), "{key}");
    }
    assert_eq!(found.findings[0].level, Level::Problem);
    let page = found.to_html("a <i>").unwrap();
    assert!(page.contains("a &lt;b&gt; &amp; c") && page.contains("<h1>a &lt;i&gt;</h1>"));
    for outside in ["http://", "https://", "src=", "<script", "NaN", "<b>"] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.trim_end().ends_with("</html>"));
    let again: Diagnosis = serde_json::from_str(&serde_json::to_string(&found).unwrap()).unwrap();
    assert_eq!(again.findings.len(), found.findings.len());
    assert!(found.to_text().contains("PROBLEM: Gap by class (classes)"));
    if let Some(folder) = std::env::var_os("KD_REPORTS") {
        let path = std::path::Path::new(&folder).join("diagnosis.html");
        std::fs::write(path, page).unwrap();
    }
}

#[test]
fn inputs_that_do_not_fit_are_refused_with_the_cure() {
    let healthy = made(&Planted::default(), 1);
    let mut inputs = healthy.clone();
    inputs.validation.student = made(&Planted::default(), 2).validation.student;
    let message = diagnose(&inputs).unwrap_err().to_string();
    assert!(message.contains("ask both for the same"), "{message}");
    let mut inputs = healthy.clone();
    inputs.classes.pop();
    let message = diagnose(&inputs).unwrap_err().to_string();
    assert!(message.contains("9 names of classes"), "{message}");
    let mut inputs = healthy;
    inputs.train.as_mut().unwrap().indices.pop();
    let message = diagnose(&inputs).unwrap_err().to_string();
    assert!(message.contains("1999 numbers"), "{message}");
    let message = Answers::new(vec![0.0, f32::NAN], vec![0], 2)
        .unwrap_err()
        .to_string();
    assert!(message.contains("logit 1 of sample 0"), "{message}");
}

#[test]
fn the_book_has_every_threshold() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/diagnose.md");
    let page = std::fs::read_to_string(page).unwrap();
    for [key, title, threshold] in crate::table() {
        let row = format!("| `{key}` | {title} | {threshold} |");
        assert!(page.contains(&row), "the book lacks: {row}");
    }
}
