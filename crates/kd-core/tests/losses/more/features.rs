//! Losses of one map or embedding.

use burn::module::Module;
use burn::tensor::Tensor;
use kd_core::terms::fitnet::FitNetConfig;
use kd_core::terms::ickd::IckdConfig;
use kd_core::terms::kdsvd::KdSvdConfig;
use kd_core::terms::mgd::{MgdConfig, MgdMasked};
use kd_core::terms::simkd::SimKdConfig;
use kd_core::terms::srrl::{SrrlConfig, SrrlConnect};
use kd_core::terms::vid::VidConfig;
use kd_core::{Error, Output, Pair, Part, Taps};

use super::super::case::{Answer, Case};
use super::super::parameters::{Names, load, name};
use super::{average, classify, network, paired, step};

/// The loss of a term with the parameters of the case.
pub fn answer<M: Module + 'static>(
    case: &Case,
    term: M,
    names: Names,
    [student, teacher]: [&Output; 2],
    loss: impl FnOnce(&M, &Pair) -> Result<Tensor<1>, Error>,
) -> Result<Answer, Error> {
    let (term, adapters) = load(term, names, case);
    let loss = paired(student, teacher, |pair| loss(&term, pair))?;
    Ok(Answer {
        adapters: Some(adapters),
        ..Answer::new(loss)
    })
}

fn networks(case: &Case) -> [Output; 2] {
    ["student", "teacher"].map(|name| network(&[case.tensor(name)]))
}

/// A connector: its projection and its normalisation.
pub fn connector(ours: &str, projection: &str, norm: &str) -> Names {
    vec![
        name(format!("{ours}.projection.Conv"), projection),
        name(format!("{ours}.projection.Transposed"), projection),
        name(format!("{ours}.norm"), norm),
    ]
}

pub fn srrl(case: &Case) -> Result<Answer, Error> {
    let on_maps = case.name == "srrl_maps";
    let (student, mut teacher, embedding) = if on_maps {
        let [student, teacher] = networks(case);
        (student, teacher, average(case.tensor("teacher")))
    } else {
        let [student, teacher]: [Tensor<2>; 2] = ["student", "teacher"].map(|n| case.tensor(n));
        let mut output = Output::new(case.zeros([student.dims()[0], 2]));
        output.push(Part::Embedding, &student, &Taps::all());
        (output.clone(), Output::new(output.logits), teacher)
    };
    classify(
        &mut teacher,
        embedding,
        case.tensor("weight"),
        case.tensor("bias"),
    );
    let (connect, names) = if on_maps {
        let names = connector("connector", "Connectors.0", "Connectors.1");
        (SrrlConnect::Map, names)
    } else {
        let names = connector("connector", "transfer.0", "transfer.1");
        (SrrlConnect::Embedding, names)
    };
    let config = SrrlConfig {
        connect,
        ..SrrlConfig::default()
    };
    let term = config.init(&student, Some(&teacher), case.device)?;
    answer(case, term, names, [&student, &teacher], |term, pair| {
        term.forward(pair, &step(1))
    })
}

pub fn simkd(case: &Case) -> Result<Answer, Error> {
    let [student, mut teacher] = networks(case);
    let embedding = average(case.tensor("teacher"));
    let [_, width] = embedding.dims();
    // The loss does not depend on what the classifier says.
    let weight = case.zeros([2, width]);
    classify(&mut teacher, embedding, weight, case.zeros([2]));
    let term = SimKdConfig::default().init(&student, Some(&teacher), case.device)?;
    let names = (0..3)
        .flat_map(|layer| {
            let ours = format!("head.projector.layers.{layer}");
            let theirs = |part: usize| format!("transfer.{}", 3 * layer + part);
            [
                name(format!("{ours}.conv"), theirs(0)),
                name(format!("{ours}.norm"), theirs(1)),
            ]
        })
        .collect();
    answer(case, term, names, [&student, &teacher], |term, pair| {
        term.forward(pair, &step(1))
    })
}

/// The modules of the term by the authors' names.
pub fn mgd_names() -> Names {
    vec![
        name("maps.channels.0.projection", "align"),
        name("generators.0.first", "generation.0"),
        name("generators.0.second", "generation.2"),
    ]
}

pub fn mgd(case: &Case) -> Result<Answer, Error> {
    let [student, teacher] = networks(case);
    let on_channels = case.name == "mgd_channels";
    let config = MgdConfig {
        mask: case.param("mask"),
        masked: match on_channels {
            true => MgdMasked::Channels,
            false => MgdMasked::Positions,
        },
        ..MgdConfig::default()
    };
    let term = config.init(&student, Some(&teacher), case.device)?;
    let [batch, channels, height, width] = teacher.map(0)?.dims();
    answer(
        case,
        term,
        mgd_names(),
        [&student, &teacher],
        |term, pair| {
            if case.name == "mgd" {
                return term.forward(pair, &step(1));
            }
            let shape = match on_channels {
                true => [batch, channels, 1, 1],
                false => [batch, 1, height, width],
            };
            let kept = case.indices("kept").iter().map(|&k| k as f64).collect();
            let kept = case.of_data(kept, shape);
            term.forward_masked(pair, &[kept])
        },
    )
}

pub fn ickd(case: &Case) -> Result<Answer, Error> {
    let [student, teacher] = networks(case);
    let term = IckdConfig::default().init(&student, Some(&teacher), case.device)?;
    let names = connector("connector", "embed_s.conv2d", "embed_s.l2norm");
    answer(case, term, names, [&student, &teacher], |term, pair| {
        term.forward(pair, &step(1))
    })
}

/// By a decomposition, of the vector nearest to the teacher's among `nearest_of`, or by power iterations.
pub fn kdsvd(case: &Case, nearest_of: Option<usize>) -> Result<Answer, Error> {
    let plus = case.param("plus");
    let [student, teacher] = ["student", "teacher"].map(|name| {
        let maps = case.tensors::<4>(name).into_iter();
        network(&maps.map(|map| map + plus).collect::<Vec<_>>())
    });
    let config = KdSvdConfig {
        exact: nearest_of.is_some(),
        nearest_of: nearest_of.unwrap_or(1),
        ..KdSvdConfig::default()
    };
    let term = config.init(&student, Some(&teacher), case.device)?;
    let loss = paired(&student, &teacher, |pair| term.forward(pair, &step(1)))?;
    Ok(Answer::new(loss))
}

pub fn vid(case: &Case) -> Result<Answer, Error> {
    let [student, teacher] = networks(case);
    let term = VidConfig::default().init(&student, Some(&teacher), case.device)?;
    let layers = (0..3).map(|layer| {
        name(
            format!("predictors.0.layers.{layer}"),
            format!("regressor.{}", 2 * layer),
        )
    });
    let names = layers.chain([name("predictors.0", "")]).collect();
    answer(case, term, names, [&student, &teacher], |term, pair| {
        term.forward(pair, &step(1))
    })
}

pub fn fitnet(case: &Case) -> Result<Answer, Error> {
    let [student, teacher] = networks(case);
    let config = FitNetConfig { level: 1 };
    let term = config.init(&student, Some(&teacher), case.device)?;
    let names = connector("adapter", "conv", "bn");
    answer(case, term, names, [&student, &teacher], |term, pair| {
        term.forward(pair, &step(1))
    })
}
