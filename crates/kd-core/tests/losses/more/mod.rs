//! The losses of `losses_more.json`: terms with their adapters, whose parameters the file gives.

use burn::tensor::{DType, Int, Tensor};
use kd_core::{Classifier, Error, Output, Pair, Part, Step, Taps, Targets};

use super::case::{Answer, Case, Precision};

pub mod features;
mod fused;
mod logits;
mod others;
mod transformers;

/// The loss of a case, when this crate has it.
pub fn loss(case: &Case) -> Option<Result<Answer, Error>> {
    Some(match case.name.as_str() {
        "mlkd" | "mlkd_one" | "mlkd_standardized" => logits::mlkd(case),
        "mlkd_two_views" => logits::mlkd_two_views(case),
        "dkd_standardized" => logits::dkd(case),
        "ctkd_epoch1" | "ctkd_epoch5" | "ctkd_epoch240" | "ctkd_standardized" => logits::ctkd(case),
        "ofakd" | "ofakd_gamma" | "ofakd_warm" => logits::ofakd(case),
        "ofakd_exits" => logits::ofakd_exits(case),
        "byot_authors" | "byot_logits" | "byot_paper" => logits::byot(case),
        "srrl" | "srrl_maps" => features::srrl(case),
        "simkd" | "simkd_down" | "simkd_up" => features::simkd(case),
        "mgd" | "mgd_masked" | "mgd_channels" => features::mgd(case),
        "ickd" | "ickd_sizes" => features::ickd(case),
        "kdsvd" | "kdsvd_high" => features::kdsvd(case, Some(4)),
        "kdsvd_first" | "kdsvd_first_high" => features::kdsvd(case, None),
        "kdsvd_first_plain" => features::kdsvd(case, Some(1)),
        "vid_regressor" | "vid_regressor_down" => features::vid(case),
        "fitnet_same" | "fitnet_half" | "fitnet_double" | "fitnet_valid" => features::fitnet(case),
        "ft_authors" | "ft_repdistiller" => fused::ft(case),
        "ft_paraphraser_authors" | "ft_paraphraser" => fused::ft_paraphraser(case),
        "reviewkd" | "reviewkd_up" | "reviewkd_vgg" | "reviewkd_odd" => fused::reviewkd(case),
        "ofd_margins" => fused::ofd_margins(case),
        "ofd_connected" => fused::ofd(case),
        "ab_connected" => fused::ab(case),
        "camkd" | "camkd_small" => others::camkd(case),
        "camkd_logits" => others::camkd_logits(case),
        "crd_two_batches" => others::crd(case),
        "uncertainty" => others::uncertainty(case),
        "dml" => others::dml(case),
        "takd" => others::takd(case),
        "deit_heads_hard" | "deit_heads_soft" => transformers::deit(case),
        "lg" => transformers::lg(case),
        "cc_rbf" | "cc_bilinear" => others::cc(case),
        _ => return None,
    })
}

/// How a case is compared: adapters in double precision, as the file was made. In single precision the sums of a
/// normalisation and its gradient leave four digits of a tensor's largest element, and fewer of the others.
pub fn precision(case: &str, dtype: DType) -> Precision {
    match dtype {
        // What the memory holds beside embeddings is of single precision, and its case has no normalisation.
        _ if case.starts_with("crd") => super::SINGLE,
        DType::F64 => Precision { dtype, small: 1e-2 },
        _ => Precision { dtype, small: 1.0 },
    }
}

fn step(epoch: usize) -> Step {
    Step {
        epoch,
        epochs: 240,
        index: 0,
    }
}

/// A network that shows maps: the first of them as its stem too, then one a stage, before the activation as after
/// it. Its logits say nothing.
pub fn network(maps: &[Tensor<4>]) -> Output {
    let [batch, ..] = maps[0].dims();
    let mut output = Output::new(Tensor::zeros([batch, 2], &maps[0].device()));
    for map in std::iter::once(&maps[0]).chain(maps) {
        output.push(Part::Maps, map, &Taps::all());
        output.push(Part::MapsPreact, map, &Taps::all());
    }
    output
}

/// A pair of networks whose labels say nothing.
pub fn paired<T>(student: &Output, teacher: &Output, run: impl FnOnce(&Pair) -> T) -> T {
    let [batch, _] = student.logits.dims();
    let labels = Tensor::<1, Int>::zeros([batch], &student.logits.device());
    labelled(student, teacher, labels, run)
}

fn labelled<T>(
    student: &Output,
    teacher: &Output,
    labels: Tensor<1, Int>,
    run: impl FnOnce(&Pair) -> T,
) -> T {
    let targets = Targets::labels(labels);
    run(&Pair {
        student,
        teacher: Some(teacher),
        targets: &targets,
        indices: None,
    })
}

/// Lets a network show a classifier, `[classes, width]` in the file, the embedding that it reads and what it says.
fn classify(output: &mut Output, embedding: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) {
    let classifier = Classifier {
        weight: weight.transpose(),
        bias,
    };
    output.logits = classifier
        .forward(embedding.clone())
        .expect("a classifier of the embedding");
    output.push(Part::Embedding, &embedding, &Taps::all());
    output.push(Part::Classifier, &classifier, &Taps::all());
}

fn average(map: Tensor<4>) -> Tensor<2> {
    map.flatten::<3>(2, 3).mean_dim(2).squeeze_dim(2)
}
