//! Local structure preservation: each node of a graph is as near to its neighbours as in the teacher.
//!
//! With features `[nodes, width]` (widths may differ) and edges from `sources` to `targets`, let `p` be, for
//! every node `i`, the softmax over its in-edges `j → i` of a likeness of `x_j` and `x_i`:
//!
//! `L = mean over all nodes of Σ_j p_s[j] · (log p_s[j] − log p_t[j])`, in nats,
//!
//! or with the networks changed over (`direction = "teacher"`). The likeness is `−‖x_j − x_i‖² / (2σ²)` (`gaussian`), or
//! `exp(−‖x_j − x_i‖₁ / 100)` (`manhattan`), which the published code has, with the direction `teacher`.
//!
//! A node without in-edges has no structure and costs nothing, and neither does one with a single edge. The term
//! compares embeddings over the edges that the student shows ([`Part::Edges`]).
//!
//! Source: Y. Yang, J. Qiu, M. Song, D. Tao, X. Wang, "Distilling Knowledge from Graph Convolutional Networks",
//! CVPR 2020.

use burn::module::Module;
use burn::tensor::{Device, IndexingUpdateOp, Int, Tensor};
use serde::{Deserialize, Serialize};

use crate::terms::{About, check};
use crate::{Error, Levels, Output, Pair, PairTaps, Part, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "lsp",
    title: "Local structure preservation",
    formula: "mean_i Σ_j p_s · (log p_s − log p_t),  p = softmax over in-edges j → i of −‖x_j − x_i‖² / (2σ²)",
    source: "Yang, Qiu, Song, Tao, Wang, CVPR 2020",
    needs: "embeddings of both networks, of any width, and edges of the student's graph",
    when: "Graph networks, beside cross_entropy: each node keeps its likeness to its neighbours.",
    teacher: true,
    weight: 10.0,
    reads: &[Part::Embedding, Part::Edges],
};

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
    let config = LspConfig {
        sigma,
        ..LspConfig::default()
    };
    lsp_by(student, teacher, [sources, targets], &config)
}

/// [`lsp`] with any likeness and direction.
///
/// # Errors
/// As [`lsp`].
pub fn lsp_by(
    student: Tensor<2>,
    teacher: Tensor<2>,
    [sources, targets]: [Tensor<1, Int>; 2],
    config: &LspConfig,
) -> Result<Tensor<1>, Error> {
    check::same_batch("lsp", &student, &teacher)?;
    check::positive("sigma", config.sigma)?;
    let ([from], [to]) = (sources.dims(), targets.dims());
    if from != to || from == 0 {
        return Err(Error::Shape {
            loss: "lsp",
            problem: format!("{from} sources and {to} targets of edges"),
        });
    }
    let [nodes, _] = student.dims();
    let [student, teacher] = [student, teacher.detach()]
        .map(|x| log_shares(x, sources.clone(), targets.clone(), config));
    let (one, other) = match config.direction {
        LspDirection::Student => (student, teacher),
        LspDirection::Teacher => (teacher, student),
    };
    Ok((one.clone().exp() * (one - other)).sum() / nodes as f64)
}

/// Logarithm of each edge's share among the edges into its target, `[edges]`.
fn log_shares(
    x: Tensor<2>,
    sources: Tensor<1, Int>,
    targets: Tensor<1, Int>,
    config: &LspConfig,
) -> Tensor<1> {
    let [nodes, _] = x.dims();
    let into = |node: &Tensor<1, Int>| x.clone().select(0, node.clone());
    let apart = into(&sources) - into(&targets);
    let nearness = match config.kernel {
        LspKernel::Gaussian => {
            let apart = apart / (config.sigma * std::f64::consts::SQRT_2);
            apart.square().sum_dim(1).neg()
        }
        LspKernel::Manhattan => (apart.abs().sum_dim(1) / -100.0).exp(),
    };
    let nearness = nearness.squeeze_dim::<1>(1);
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

/// How alike two nodes are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LspKernel {
    /// By the squared distance in units of `2σ²`.
    #[default]
    Gaussian,
    /// By the sum of absolute differences, as in the published code.
    Manhattan,
}

/// Which network's shares weigh the differences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LspDirection {
    /// The student's, as in the paper.
    #[default]
    Student,
    /// The teacher's, as in the published code.
    Teacher,
}

/// Parameters of [`Lsp`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LspConfig {
    /// Likeness: `gaussian` or `manhattan`.
    pub kernel: LspKernel,
    /// Width of the `gaussian`, above 0.
    pub sigma: f64,
    /// Whose shares weigh: `student` or `teacher`.
    pub direction: LspDirection,
}

impl Default for LspConfig {
    fn default() -> Self {
        Self {
            kernel: LspKernel::Gaussian,
            sigma: 1.0,
            direction: LspDirection::Student,
        }
    }
}

impl LspConfig {
    /// Builds the term from a dry run of both networks that kept embeddings and edges; the device is not needed.
    ///
    /// # Errors
    /// [`Error::Config`] when `sigma` is not above 0, [`Error::NoTeacher`], and [`Error::MissingTap`] when an embedding or
    /// the edges are missing.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        _device: &Device,
    ) -> Result<Lsp, Error> {
        check::positive("sigma", self.sigma)?;
        teacher.ok_or(Error::NoTeacher)?.embedding()?;
        student.embedding()?;
        student.get::<Tensor<2, Int>>(Part::Edges, 0)?;
        Ok(Lsp {
            config: self.clone(),
        })
    }
}

/// The [`lsp_by`] loss of the two networks' embeddings.
#[derive(Module, Debug)]
pub struct Lsp {
    #[module(skip)]
    config: LspConfig,
}

impl Lsp {
    /// The embedding of both networks, and the student's edges.
    pub fn taps(&self) -> PairTaps {
        let mut taps = PairTaps::embeddings();
        taps.student = taps.student.with(Part::Edges, Levels::one(0));
        taps
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`], also where rows that do not count were left out, because edges are
    /// between all rows; and as [`lsp`].
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        let edges: Tensor<2, Int> = pair.student.get(Part::Edges, 0)?;
        let ends = [0, 1].map(|end| edges.clone().narrow(0, end, 1).squeeze_dim(0));
        let teacher = pair.teacher()?.embedding()?;
        lsp_by(pair.student.embedding()?, teacher, ends, &self.config)
    }
}
