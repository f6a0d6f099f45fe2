//! The losses of `losses.json`: functions on tensors.

use burn::tensor::Tensor;
use kd_core::Error;
use kd_core::terms::ab::ab;
use kd_core::terms::at::{AtScaling, at};
use kd_core::terms::bce::bce;
use kd_core::terms::cc::cc_consecutive;
use kd_core::terms::cosine_hidden::cosine_hidden;
use kd_core::terms::crd::crd;
use kd_core::terms::cross_entropy::cross_entropy;
use kd_core::terms::cwd::cwd;
use kd_core::terms::dist::{DistConfig, dist};
use kd_core::terms::dkd::{DkdConfig, dkd};
use kd_core::terms::fitnet::fitnet;
use kd_core::terms::fsp::fsp;
use kd_core::terms::ft::{FtForm, ft};
use kd_core::terms::gjsd::{GjsdConfig, GjsdScaling, gjsd};
use kd_core::terms::hard_labels::hard_labels;
use kd_core::terms::kd::kd;
use kd_core::terms::ld::ld;
use kd_core::terms::lskd::lskd;
use kd_core::terms::lsp::lsp;
use kd_core::terms::minilm_relation::minilm_relation;
use kd_core::terms::nst::nst;
use kd_core::terms::ofd::ofd;
use kd_core::terms::pkd::pkd;
use kd_core::terms::pkt::pkt;
use kd_core::terms::reverse_kl::reverse_kl;
use kd_core::terms::reviewkd::hcl;
use kd_core::terms::rkd::{RkdConfig, rkd, rkd_angle, rkd_distance};
use kd_core::terms::sp::sp;
use kd_core::terms::squared_logits::squared_logits;
use kd_core::terms::tinybert_attention::tinybert_attention;
use kd_core::terms::vid::vid;
use kd_core::terms::wsld::wsld;

use super::case::Case;

/// The loss of a case, when this crate has it.
pub fn loss(case: &Case) -> Option<Result<Tensor<1>, Error>> {
    Some(match family(&case.name) {
        "kd" => kd(
            case.tensor("student"),
            case.tensor("teacher"),
            case.param("temperature"),
        ),
        "dkd" => dkd(
            case.tensor("student"),
            case.tensor("teacher"),
            case.labels(),
            &DkdConfig {
                alpha: case.param("alpha"),
                beta: case.param("beta"),
                temperature: case.param("temperature"),
                ..DkdConfig::default()
            },
        ),
        "lskd" => lskd(
            case.tensor("student"),
            case.tensor("teacher"),
            case.param("temperature"),
        ),
        "wsld" => wsld(
            case.tensor("student"),
            case.tensor("teacher"),
            case.labels(),
            case.param("temperature"),
        ),
        "dist" => dist(
            case.tensor("student"),
            case.tensor("teacher"),
            &DistConfig {
                beta: case.param("beta"),
                gamma: case.param("gamma"),
                temperature: case.param("temperature"),
            },
        ),
        "reverse_kl" => reverse_kl(
            case.tensor("student"),
            case.tensor("teacher"),
            case.param("temperature"),
        ),
        "gjsd" => gjsd(
            case.tensor("student"),
            case.tensor("teacher"),
            &GjsdConfig {
                beta: case.param("beta"),
                scaling: GjsdScaling::Paper,
                temperature: case.param("temperature"),
            },
        ),
        "deit_hard" => hard_labels(case.tensor("student"), case.tensor("teacher")),
        "mse_logits" => squared_logits(case.tensor("student"), case.tensor("teacher")),
        "bce_kd" => bce(
            case.tensor("student"),
            case.tensor("teacher"),
            case.param("temperature"),
        ),
        "label_smoothing_ce" => cross_entropy(
            case.tensor("student"),
            case.labels(),
            case.param("smoothing"),
        ),
        "fitnet_mse" => fitnet(case.tensor("student"), case.tensor("teacher")),
        "at" | "at_resize" => at(
            case.tensor("student"),
            case.tensor("teacher"),
            AtScaling::Mean,
        ),
        "nst" | "nst_resize" => nst(case.tensor("student"), case.tensor("teacher")),
        "sp" => sp(case.tensor("student"), case.tensor("teacher")),
        "pkt" => pkt(case.tensor("student"), case.tensor("teacher")),
        "rkd_distance" => rkd_distance(case.tensor("student"), case.tensor("teacher")),
        "rkd_angle" => rkd_angle(case.tensor("student"), case.tensor("teacher")),
        "rkd" => rkd(
            case.tensor("student"),
            case.tensor("teacher"),
            &RkdConfig {
                distance: case.param("distance"),
                angle: case.param("angle"),
                ..RkdConfig::default()
            },
        ),
        "vid" => vid(
            case.tensor("student"),
            case.tensor("teacher"),
            case.tensor("log_scale"),
        ),
        "ab" => ab(
            case.tensor("student"),
            case.tensor("teacher"),
            case.param("margin"),
        ),
        "ft" => ft(
            case.tensor("student"),
            case.tensor("teacher"),
            FtForm::Attention,
        ),
        "fsp" => fsp(
            ["student0", "student1"].map(|name| case.tensor(name)),
            ["teacher0", "teacher1"].map(|name| case.tensor(name)),
        ),
        "ofd" => ofd(
            case.tensor("student"),
            case.tensor("teacher"),
            case.tensor("margin").abs().neg(),
        ),
        "hcl_4" | "hcl_8" => hcl(case.tensor("student"), case.tensor("teacher")),
        "cwd" => cwd(
            case.tensor("student"),
            case.tensor("teacher"),
            case.param("temperature"),
        ),
        "pkd" => pkd(case.tensor("student"), case.tensor("teacher")),
        "cc" => cc_consecutive(case.tensor("student"), case.tensor("teacher")),
        "crd" => crd(
            ["student", "teacher"].map(|name| case.tensor(name)),
            ["memory_student", "memory_teacher"].map(|name| case.tensor(name)),
            case.ints("index", None),
            case.int_table("negatives"),
            case.param("temperature"),
        ),
        "cosine_hidden" => cosine_hidden(case.tensor("student"), case.tensor("teacher")),
        "minilm_relation" => minilm_relation(
            case.tensor("student"),
            case.tensor("teacher"),
            case.param("relation_heads") as usize,
        ),
        "tinybert_attention" => tinybert_attention(case.tensor("student"), case.tensor("teacher")),
        "lsp" => lsp(
            case.tensor("student"),
            case.tensor("teacher"),
            case.ints("edges", Some(0)),
            case.ints("edges", Some(1)),
            case.param("sigma"),
        ),
        "ld" => ld(
            case.tensor("student"),
            case.tensor("teacher"),
            case.param("temperature"),
        ),
        _ => return None,
    })
}

/// A case's name without the temperature that it ends with.
fn family(name: &str) -> &str {
    match name.rsplit_once("_t") {
        Some((family, digits)) if digits.chars().all(|c| c.is_ascii_digit()) => family,
        _ => name,
    }
}
