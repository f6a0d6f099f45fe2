//! Losses of transformers with what they own.

use burn::tensor::Tensor;
use kd_core::terms::deit::{DeitConfig, DeitForm};
use kd_core::terms::lg::LgConfig;
use kd_core::{Error, Output, Part, Taps};

use super::super::case::{Answer, Case};
use super::super::parameters::name;
use super::features::answer;
use super::{labelled, network, step};

pub fn deit(case: &Case) -> Result<Answer, Error> {
    let config = DeitConfig {
        form: match case.name.ends_with("soft") {
            true => DeitForm::Soft,
            false => DeitForm::Hard,
        },
        alpha: case.param("alpha"),
        temperature: case.param("temperature"),
        smoothing: case.param("smoothing"),
    };
    let heads: [Tensor<2>; 2] = ["class", "distillation"].map(|name| case.tensor(name));
    let mut student = Output::new((heads[0].clone() + heads[1].clone()) / 2.0);
    for head in &heads {
        student.push(Part::Heads, head, &Taps::all());
    }
    let teacher = Output::new(case.tensor("teacher"));
    let term = config.init(&student, Some(&teacher), case.device)?;
    let loss = labelled(&student, &teacher, case.labels(), |pair| {
        term.forward(pair, &step(1))
    })?;
    Ok(Answer::new(loss))
}

pub fn lg(case: &Case) -> Result<Answer, Error> {
    let [student, teacher] = ["student", "teacher"].map(|who| network(&case.tensors(who)));
    let term = LgConfig::default().init(&student, Some(&teacher), case.device)?;
    let names = (0..3).map(|level| name(format!("adapters.{level}.projection"), level.to_string()));
    answer(
        case,
        term,
        names.collect(),
        [&student, &teacher],
        |term, pair| term.forward(pair, &step(1)),
    )
}
