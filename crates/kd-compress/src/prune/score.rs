//! How much each channel matters.

use serde::{Deserialize, Serialize};

use super::{Array, Group, Member, Normalise, Parameters, Role};

/// What a channel is judged by. Each looks at a channel's slices `w` of the group's layers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "by", deny_unknown_fields)]
#[non_exhaustive]
pub enum Criterion {
    /// `Σ|w|^power`, without a root, of weights and of scales of normalisations (H. Li, A. Kadav, I. Durdanovic, H. Samet,
    /// H. P. Graf, "Pruning Filters for Efficient ConvNets", ICLR 2017).
    Magnitude {
        /// 1 or 2.
        power: i32,
    },
    /// `|γ|` of batch normalisations (Z. Liu, J. Li, Z. Shen, G. Huang, S. Yan, C. Zhang, "Learning Efficient
    /// Convolutional Networks through Network Slimming", ICCV 2017).
    BatchNormScale,
    /// The sum of Euclidean distances to all other channels of a weight, so that those near the geometric median go
    /// first (Y. He, P. Liu, Z. Wang, Z. Hu, Y. Yang, "Filter Pruning via Geometric Median", CVPR 2019).
    GeometricMedian {
        /// Distances are between `|w|^power`; 0 for those of the paper, between `w`.
        power: i32,
    },
    /// `Σ|w · ∂L/∂w|`, or `|Σ w · ∂L/∂w|`, of weights and of scales of layer normalisations (P. Molchanov, A. Mallya, S. Tyree, I. Frosio, J. Kautz, "Importance Estimation
    /// for Neural Network Pruning", CVPR 2019).
    Taylor {
        /// Whether signs cancel.
        multivariable: bool,
    },
    /// `Σ w² · E[(∂L/∂w)²]`, the mean over samples (Y. LeCun, J. Denker, S. Solla, "Optimal Brain Damage", NIPS 1989;
    /// C. Wang, R. Grosse, S. Fidler, G. Zhang, "EigenDamage", ICML 2019).
    Hessian,
    /// By lot, which is what the others have to beat.
    Random {
        /// Of the generator.
        seed: u64,
    },
}

impl Criterion {
    /// Whether it looks at gradients.
    pub fn wants_gradients(self) -> bool {
        matches!(self, Self::Taylor { .. } | Self::Hessian)
    }

    fn counts(self, role: Role) -> bool {
        let weight = matches!(role, Role::Convolution { depthwise: false } | Role::Linear);
        match self {
            Self::BatchNormScale => role == Role::BatchNorm,
            Self::GeometricMedian { .. } => weight,
            Self::Taylor { .. } => weight || role == Role::LayerNorm,
            _ => weight || matches!(role, Role::BatchNorm | Role::LayerNorm),
        }
    }
}

/// How the scores of a group's members become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reduce {
    /// Their mean.
    #[default]
    Mean,
    /// Their sum.
    Sum,
    /// The largest.
    Max,
    /// Their product.
    Product,
    /// That of the root alone.
    First,
}

/// A criterion, and how it is put together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Score {
    /// What a channel is judged by.
    pub criterion: Criterion,
    /// Over a group's members.
    #[serde(default)]
    pub reduce: Reduce,
    /// Within a group.
    #[serde(default)]
    pub normalise: Normalise,
}

impl Score {
    /// By a criterion: mean of the members, divided by the group's mean.
    pub fn by(criterion: Criterion) -> Self {
        Self {
            criterion,
            reduce: Reduce::default(),
            normalise: Normalise::default(),
        }
    }
}

/// What scores are computed from.
#[derive(Clone, Copy, Debug)]
pub struct Data<'a> {
    /// Values of the parameters.
    pub parameters: &'a Parameters,
    /// `∂L/∂w` for Taylor, the mean of its squares over samples for Hessian.
    pub gradients: Option<&'a Parameters>,
}

impl Score {
    /// The score of each channel of the group's root, in order of its index; none when nothing of the group counts, or
    /// when gradients are missing.
    pub fn channels(&self, group: &Group, data: Data) -> Option<Vec<f64>> {
        let scores = match self.criterion {
            Criterion::Random { seed } => lots(group, seed),
            criterion => {
                // Beginning with the root, which may be a layer that does not count.
                let (before, after) = group.members.split_at(group.root);
                let members = after.iter().chain(before);
                let members = members.filter(|member| criterion.counts(member.role));
                let count = if self.reduce == Reduce::First {
                    1
                } else {
                    usize::MAX
                };
                let each = members.map(|member| criterion.member(group, member, data));
                let each = each.collect::<Option<Vec<_>>>()?.into_iter().flatten();
                let each: Vec<Vec<f64>> = each.take(count).collect();
                self.reduce.apply(&each)?
            }
        };
        Some(self.normalise.apply(&scores))
    }

    /// The score of each unit: the mean of its channels'.
    pub fn units(&self, group: &Group, data: Data) -> Option<Vec<f64>> {
        let channels = self.channels(group, data)?;
        let order = channels_of(group);
        let means = group.root().units.iter().map(|unit| {
            let places = unit
                .iter()
                .map(|index| order.partition_point(|known| known < index));
            places.map(|place| channels[place]).sum::<f64>() / unit.len() as f64
        });
        Some(means.collect())
    }
}

/// The root's indices, in order.
fn channels_of(group: &Group) -> Vec<usize> {
    let mut channels: Vec<usize> = group.root().units.iter().flatten().copied().collect();
    channels.sort_unstable();
    channels
}

impl Criterion {
    /// A member's scores for each channel of the root. A layer that makes several outputs for a channel, such as a
    /// query, a key and a value, counts as often; several inputs of one channel add up.
    fn member(self, group: &Group, member: &Member, data: Data) -> Option<Vec<Vec<f64>>> {
        let array = data.parameters.get(&member.parameter)?;
        let gradient = match self.wants_gradients() {
            true => Some(data.gradients?.get(&member.parameter)?),
            false => None,
        };
        let along = self.along(member, array, gradient)?;
        let order = channels_of(group);
        let root = group.root();
        let times = match member.is_output() {
            true => member.units[0].len().div_ceil(root.units[0].len()),
            false => 1,
        };
        let mut scores = vec![vec![0.0; order.len()]; times];
        for (unit, own) in root.units.iter().zip(&member.units) {
            for (place, index) in own.iter().enumerate() {
                let channel = order.partition_point(|known| *known < unit[place % unit.len()]);
                scores[place / unit.len() % times][channel] += along[*index];
            }
        }
        Some(scores)
    }

    /// The score of every index of the member's axis.
    fn along(self, member: &Member, array: &Array, gradient: Option<&Array>) -> Option<Vec<f64>> {
        let w = &array.values;
        let axis = member.axis;
        let sums = |of: &dyn Fn(usize) -> f64| array.sums(axis, of);
        Some(match self {
            Self::Magnitude { power } => sums(&|at| w[at].abs().powi(power)),
            Self::BatchNormScale => sums(&|at| w[at].abs()),
            Self::GeometricMedian { power } => distances(&array.slices(axis), power),
            Self::Taylor { multivariable } => {
                let g = &gradient?.values;
                match multivariable {
                    false => sums(&|at| (w[at] * g[at]).abs()),
                    true => sums(&|at| w[at] * g[at])
                        .into_iter()
                        .map(f64::abs)
                        .collect(),
                }
            }
            Self::Hessian => {
                let g = &gradient?.values;
                sums(&|at| w[at] * w[at] * g[at])
            }
            Self::Random { .. } => return None,
        })
    }
}

impl Reduce {
    fn apply(self, members: &[Vec<f64>]) -> Option<Vec<f64>> {
        let count = members.first()?.len();
        let at = |place: usize| members.iter().map(move |scores| scores[place]);
        let each = (0..count).map(|place| match self {
            Self::Mean => at(place).sum::<f64>() / members.len() as f64,
            Self::Sum | Self::First => at(place).sum(),
            Self::Max => at(place).fold(f64::NEG_INFINITY, f64::max),
            Self::Product => at(place).product(),
        });
        Some(each.collect())
    }
}

fn distances(slices: &[Vec<f64>], power: i32) -> Vec<f64> {
    let raised: Vec<Vec<f64>> = slices
        .iter()
        .map(|slice| match power {
            0 => slice.clone(),
            power => slice.iter().map(|value| value.abs().powi(power)).collect(),
        })
        .collect();
    let mut sums = vec![0.0; raised.len()];
    for (place, one) in raised.iter().enumerate() {
        for (other_place, other) in raised.iter().enumerate().take(place) {
            let distance = squared_distance(one, other).sqrt();
            sums[place] += distance;
            sums[other_place] += distance;
        }
    }
    sums
}

/// In eight sums, which the compiler adds side by side.
fn squared_distance(one: &[f64], other: &[f64]) -> f64 {
    let (blocks, rest) = one.as_chunks::<8>();
    let (other_blocks, other_rest) = other.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (a, b) in blocks.iter().zip(other_blocks) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += (a - b) * (a - b);
        }
    }
    let rest = rest.iter().zip(other_rest);
    sums.iter().sum::<f64>() + rest.map(|(a, b)| (a - b) * (a - b)).sum::<f64>()
}

/// Numbers in [0, 1) that follow from the seed and the group's name (SplitMix64).
fn lots(group: &Group, seed: u64) -> Vec<f64> {
    let name = group.name();
    let start = name
        .bytes()
        .fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    let channels = channels_of(group).into_iter().map(|channel| {
        let mut z = start.wrapping_add((channel as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) >> 11
    });
    channels
        .map(|bits| bits as f64 / (1_u64 << 53) as f64)
        .collect()
}
