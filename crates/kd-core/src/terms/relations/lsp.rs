//! Local structure preservation: each node of a graph is as near to its neighbours as in the teacher.
//!
//! With features `[nodes, width]` (widths may differ) and edges from `sources` to `targets`, let `p` be, for
//! every node `i`, the softmax over its in-edges `j → i` of `−‖x_j − x_i‖² / (2σ²)`:
//!
//! `L = mean over all nodes of Σ_j p_s[j] · (log p_s[j] − log p_t[j])`, in nats.
//!
//! A node without in-edges has no structure and costs nothing, and neither does one with a single edge.
//!
//! It is a function without a term: an [`Output`](crate::Output) has no edges.
//!
//! Source: Y. Yang, J. Qiu, M. Song, D. Tao, X. Wang, "Distilling Knowledge from Graph Convolutional Networks",
//! CVPR 2020.

use burn::tensor::{IndexingUpdateOp, Int, Tensor};

use crate::Error;
use crate::terms::check;

/// Local structure loss of features `[nodes, width]`, whose widths may differ, over the edges from
/// `sources` to `targets`, both node indices `[edges]`.
///
/// No gradient reaches the teacher. An index must lie in `0..nodes`: this is not checked, because it would
/// make an accelerator wait for the host at every step.
///
/// # Errors
/// [`Error::Shape`] when the numbers of nodes or of sources and targets differ, or there is no node or
/// edge; [`Error::Config`] when `sigma` is not above 0.
pub fn lsp(
    student: Tensor<2>,
    teacher: Tensor<2>,
    sources: Tensor<1, Int>,
    targets: Tensor<1, Int>,
    sigma: f64,
) -> Result<Tensor<1>, Error> {
    check::same_batch("lsp", &student, &teacher)?;
    check::positive("sigma", sigma)?;
    let ([from], [to]) = (sources.dims(), targets.dims());
    if from != to || from == 0 {
        return Err(Error::Shape {
            loss: "lsp",
            problem: format!("{from} sources and {to} targets of edges"),
        });
    }
    let [nodes, _] = student.dims();
    let [student, teacher] =
        [student, teacher.detach()].map(|x| log_shares(x, sources.clone(), targets.clone(), sigma));
    Ok((student.clone().exp() * (student - teacher)).sum() / nodes as f64)
}

/// Logarithm of each edge's share among the edges into its target, `[edges]`.
fn log_shares(
    x: Tensor<2>,
    sources: Tensor<1, Int>,
    targets: Tensor<1, Int>,
    sigma: f64,
) -> Tensor<1> {
    let [nodes, _] = x.dims();
    let into = |node: &Tensor<1, Int>| x.clone().select(0, node.clone());
    let apart = (into(&sources) - into(&targets)) / (sigma * std::f64::consts::SQRT_2);
    let nearness = apart.square().sum_dim(1).neg().squeeze_dim::<1>(1);
    // Less its largest at each node, no exponential overflows and no node's sum vanishes. That shift
    // cancels and needs no gradient.
    let constant = nearness.clone().without_autodiff();
    let least = constant.clone().min().expand([nodes]);
    let largest = least.select_assign(0, targets.clone(), constant, IndexingUpdateOp::Max);
    let nearness = nearness - largest.select(0, targets.clone());
    let sums = Tensor::zeros([nodes], (&nearness.device(), nearness.dtype())).select_assign(
        0,
        targets.clone(),
        nearness.clone().exp(),
        IndexingUpdateOp::Add,
    );
    let alone = sums.clone().detach().equal_elem(0.0);
    nearness - sums.mask_fill(alone, 1.0).log().select(0, targets)
}
