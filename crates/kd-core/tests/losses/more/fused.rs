//! Losses of several levels, and those with networks of their own.

use burn::tensor::Tensor;
use kd_core::terms::ab::AbConfig;
use kd_core::terms::ft::{FtConfig, FtForm};
use kd_core::terms::ofd::{OfdConfig, margins};
use kd_core::terms::reviewkd::ReviewKdConfig;
use kd_core::{Error, Output, Part, Taps};

use super::super::case::{Answer, Case, numbers};
use super::super::parameters::{FLIPPED, Names, load, name};
use super::features::{answer, connector};
use super::{network, paired, step};

fn networks(case: &Case) -> [Output; 2] {
    ["student", "teacher"].map(|name| network(&case.tensors(name)))
}

/// The layers of translator and paraphraser, whose names differ in the two repositories.
fn factors(case: &Case) -> Names {
    let authors = case.name.ends_with("authors");
    let layer = |stack: &str, i: usize, theirs: &str| match (authors, theirs) {
        (true, "decoder") => format!("{stack}.deconv{i}"),
        (true, _) => format!("{stack}.conv{i}"),
        (false, part) => format!("{stack}.{part}.{}", 3 * i),
    };
    let mut names = Names::new();
    for i in 0..3 {
        let (encoder, decoder) = (
            layer("paraphraser", i, "encoder"),
            layer("paraphraser", i, "decoder"),
        );
        names.push(name(format!("encoder.{i}.conv"), encoder));
        names.push(name(
            format!("decoder.{i}.conv"),
            format!("{decoder}{FLIPPED}"),
        ));
        names.push(name(
            format!("translator.{i}.conv"),
            layer("translator", i, "encoder"),
        ));
        names.push(name(
            format!("translator.{i}.norm"),
            format!("translator.encoder.{}", 3 * i + 1),
        ));
    }
    names
}

fn ft_config(case: &Case) -> FtConfig {
    FtConfig {
        rate: case.param("rate"),
        form: match case.name.ends_with("authors") {
            true => FtForm::Paper,
            false => FtForm::Attention,
        },
        ..FtConfig::default()
    }
}

pub fn ft(case: &Case) -> Result<Answer, Error> {
    let [student, teacher] = ["student", "teacher"].map(|n| network(&[case.tensor(n)]));
    let config = FtConfig {
        reconstruction: 0.0,
        ..ft_config(case)
    };
    let term = config.init(&student, Some(&teacher), case.device)?;
    answer(
        case,
        term,
        factors(case),
        [&student, &teacher],
        |term, pair| term.forward(pair, &step(1)),
    )
}

pub fn ft_paraphraser(case: &Case) -> Result<Answer, Error> {
    let teacher = network(&[case.tensor("teacher")]);
    // Whatever the student shows: in the paraphraser's epochs nothing is asked of it.
    let student = network(&[case.tensor("teacher")]);
    let config = FtConfig {
        reconstruction: 1.0,
        paraphraser_epochs: 1,
        ..ft_config(case)
    };
    let term = config.init(&student, Some(&teacher), case.device)?;
    let names = factors(case);
    let names = names
        .into_iter()
        .filter(|(ours, _)| !ours.starts_with("translator"));
    answer(
        case,
        term,
        names.collect(),
        [&student, &teacher],
        |term, pair| term.forward(pair, &step(1)),
    )
}

pub fn reviewkd(case: &Case) -> Result<Answer, Error> {
    let [mut student, mut teacher] = networks(case);
    for (network, name) in [(&mut student, "student"), (&mut teacher, "teacher")] {
        let embedding: Tensor<2> = case.tensor(&format!("{name}_embedding"));
        network.push(Part::Embedding, &embedding, &Taps::all());
    }
    let term = ReviewKdConfig::default().init(&student, Some(&teacher), case.device)?;
    let mut names = Names::new();
    for i in 0..4 {
        let ours = |part: &str| format!("fusions.{i}.{part}");
        let theirs = |part: &str| format!("abfs.{i}.{part}");
        names.push(name(ours("reduce"), theirs("conv1.0")));
        names.push(name(ours("reduce_norm"), theirs("conv1.1")));
        names.push(name(ours("attend"), theirs("att_conv.0")));
        names.push(name(ours("show"), theirs("conv2.0")));
        names.push(name(ours("show_norm"), theirs("conv2.1")));
    }
    let (term, adapters) = load(term, names, case);
    let loss = paired(&student, &teacher, |pair| term.forward(pair, &step(1)))?;
    let losses = paired(&student, &teacher, |pair| term.losses(pair))?;
    // The file counts levels from the first.
    let levels = ["level3", "level2", "level1", "level0"];
    let answer = Answer {
        adapters: Some(adapters),
        ..Answer::new(loss)
    };
    Ok(levels
        .into_iter()
        .zip(losses)
        .fold(answer, |answer, (level, loss)| {
            answer.with_value(level, numbers(loss))
        }))
}

pub fn ofd_margins(case: &Case) -> Result<Answer, Error> {
    let margins = margins(case.tensor("gamma"), case.tensor("beta"));
    let loss = case.tensor::<1>("one") * margins.clone().sum();
    Ok(Answer::new(loss).with_value("margins", numbers(margins)))
}

pub fn ofd(case: &Case) -> Result<Answer, Error> {
    let [student, teacher] = networks(case);
    let (gammas, betas) = (case.tensors("gamma"), case.tensors("beta"));
    let margins: Vec<_> = gammas
        .into_iter()
        .zip(betas)
        .map(|(gamma, beta)| margins(gamma, beta))
        .collect();
    let term = OfdConfig::default().init(&student, Some(&teacher), case.device)?;
    let names = (0..margins.len())
        .flat_map(|i| {
            connector(
                &format!("connectors.{i}"),
                &format!("Connectors.{i}.0"),
                &format!("Connectors.{i}.1"),
            )
        })
        .collect();
    let found = answer(case, term, names, [&student, &teacher], |term, pair| {
        term.forward_with_margins(pair, &margins)
    })?;
    let margins = ["margin0", "margin1", "margin2"].into_iter().zip(margins);
    Ok(margins.fold(found, |found, (name, margin)| {
        found.with_value(name, numbers(margin))
    }))
}

pub fn ab(case: &Case) -> Result<Answer, Error> {
    let [student, teacher] = networks(case);
    let config = AbConfig {
        margin: case.param("margin"),
        ..AbConfig::default()
    };
    let term = config.init(&student, Some(&teacher), case.device)?;
    let names = (0..3)
        .flat_map(|i| {
            connector(
                &format!("connectors.{i}"),
                &format!("connectors.{i}.conv"),
                &format!("connectors.{i}.bn"),
            )
        })
        .collect();
    answer(case, term, names, [&student, &teacher], |term, pair| {
        term.forward(pair, &step(1))
    })
}
