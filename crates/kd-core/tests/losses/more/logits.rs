//! Losses of logits.

use burn::tensor::Tensor;
use kd_core::terms::byot::{ByotConfig, ByotForm};
use kd_core::terms::cross_entropy::cross_entropy;
use kd_core::terms::ctkd::CtkdConfig;
use kd_core::terms::dkd::DkdConfig;
use kd_core::terms::mlkd::{self, MlkdConfig};
use kd_core::terms::ofakd::OfaKdConfig;
use kd_core::{Error, Output, Part, Taps};

use super::super::case::{Answer, Case, numbers};
use super::super::parameters::{load, name};
use super::{network, paired, step};

pub fn mlkd(case: &Case) -> Result<Answer, Error> {
    let config = MlkdConfig {
        temperatures: case.param_list("temperatures"),
        sample: 1.0,
        batch: 1.0,
        class: 1.0,
        standardize: case.name.ends_with("standardized"),
        ..MlkdConfig::default()
    };
    let (student, teacher) = (case.tensor("student"), case.tensor("teacher"));
    Ok(Answer::new(mlkd::mlkd(student, teacher, &config)?))
}

pub fn mlkd_two_views(case: &Case) -> Result<Answer, Error> {
    let views =
        |who: &str| ["weak", "strong"].map(|view| case.tensor::<2>(&format!("{who}_{view}")));
    let [weak, strong] = views("student");
    let labels = || case.labels();
    let labelled =
        cross_entropy(weak.clone(), labels(), 0.0)? + cross_entropy(strong.clone(), labels(), 0.0)?;
    let labelled = labelled * case.param("ce_weight");
    let temperature = case.param("temperature");
    let levels = mlkd::mlkd_two_views([weak, strong], views("teacher"), temperature)?;
    let [sample, batch, class] = levels.map(|level| level * case.param("kd_weight"));
    let total = labelled.clone() + sample.clone() + batch.clone() + class.clone();
    Ok(Answer::new(total)
        .with_value("loss_ce", numbers(labelled))
        .with_value("loss_kd", numbers(sample))
        .with_value("loss_bc", numbers(batch))
        .with_value("loss_cc", numbers(class)))
}

pub fn dkd(case: &Case) -> Result<Answer, Error> {
    let config = DkdConfig {
        alpha: case.param("alpha"),
        beta: case.param("beta"),
        temperature: case.param("temperature"),
        standardize: true,
    };
    let (student, teacher) = (case.tensor("student"), case.tensor("teacher"));
    let loss = kd_core::terms::dkd::dkd(student, teacher, case.labels(), &config)?;
    Ok(Answer::new(loss))
}

pub fn ctkd(case: &Case) -> Result<Answer, Error> {
    let config = CtkdConfig {
        start: case.param("start"),
        range: case.param("range"),
        reversal: case.param("reversal"),
        ramp: case.param("ramp") as usize,
        standardize: case.name.ends_with("standardized"),
    };
    let [student, teacher] = ["student", "teacher"].map(|n| Output::new(case.tensor(n)));
    let term = config.init(&student, Some(&teacher), case.device)?;
    let (term, adapters) = load(term, vec![name("", "")], case);
    let at = step(case.param("epoch") as usize);
    let loss = paired(&student, &teacher, |pair| term.forward(pair, &at))?;
    Ok(Answer {
        adapters: Some(adapters),
        ..Answer::new(loss)
    })
}

pub fn ofakd(case: &Case) -> Result<Answer, Error> {
    let loss = kd_core::terms::ofakd::ofakd(
        case.tensor("student"),
        case.tensor("teacher"),
        case.labels(),
        case.param("gamma"),
        case.param("temperature"),
    )?;
    Ok(Answer::new(loss))
}

pub fn ofakd_exits(case: &Case) -> Result<Answer, Error> {
    let config = OfaKdConfig {
        gamma: case.param("gamma"),
        temperature: case.param("temperature"),
        ..OfaKdConfig::default()
    };
    let last: Tensor<4> = case.tensor("map4");
    let mut student = network(&[case.tensor("map3"), last.clone()]);
    student.logits = case.tensor("student");
    let mut teacher = Output::new(case.tensor("teacher"));
    // The file tells the embeddings' widths by the layers that depend on them.
    let (_, shape) = case.parameter("projector.4.0.weight");
    for (network, width) in [(&mut student, last.dims()[1]), (&mut teacher, shape[0])] {
        let [batch, _] = network.logits.dims();
        let embedding: Tensor<2> = case.zeros([batch, width]);
        network.push(Part::Embedding, &embedding, &Taps::all());
    }
    let term = config.init(&student, Some(&teacher), case.device)?;
    let mut names = vec![
        name("exits.0.classifier", "projector.3.3"),
        name("exits.1.widening", "projector.4.0"),
        name("exits.1.classifier", "projector.4.3"),
    ];
    for half in 0..2 {
        let ours = format!("exits.0.halvings.0.halves.{half}");
        let theirs = |layer: usize| format!("projector.3.0.op.{}", 4 * half + layer);
        names.push(name(format!("{ours}.depthwise"), theirs(0)));
        names.push(name(format!("{ours}.pointwise"), theirs(1)));
        names.push(name(format!("{ours}.norm"), theirs(2)));
    }
    let (term, adapters) = load(term, names, case);
    let loss = super::labelled(&student, &teacher, case.labels(), |pair| {
        term.forward(pair, &step(1))
    })?;
    Ok(Answer {
        adapters: Some(adapters),
        ..Answer::new(loss)
    })
}

pub fn byot(case: &Case) -> Result<Answer, Error> {
    let form = match case.name.as_str() {
        "byot_paper" => ByotForm::Paper,
        _ => ByotForm::Authors,
    };
    let config = ByotConfig {
        alpha: case.param("alpha"),
        hint: case.param("hint"),
        temperature: case.param("temperature"),
        form,
        ..ByotConfig::default()
    };
    let features = match case.name.as_str() {
        "byot_paper" => ["features", "last"].map(|name| case.tensor(name)),
        "byot_authors" => ["feature", "deepest_feature"].map(|name| {
            let feature: Tensor<2> = case.tensor(name);
            let [batch, width] = feature.dims();
            feature.reshape([batch, width, 1, 1])
        }),
        _ => [(); 2].map(|()| case.zeros([1; 4])),
    };
    let logits = ["exit", "deepest"].map(|name| case.tensor(name));
    let loss = kd_core::terms::byot::byot(logits, features, case.labels(), &config)?;
    Ok(Answer::new(loss))
}
