//! What timm calls networks of inverted residual blocks, and their layers.

use serde_json::json;

use super::MobileNet;
use super::keys::Keys;
use super::plan::Row;
use crate::architecture::Architecture;
use crate::elsewhere::{Elsewhere, UNKNOWN};
use crate::keys;
use crate::spelling::Spelling;
use crate::vit::Origin;

/// What timm's networks add to variances unless they are told otherwise.
const EPSILON: f64 = 1e-5;

impl MobileNet {
    /// This network as timm has it.
    ///
    /// # Errors
    /// For one that timm has not.
    pub(super) fn in_timm(&self, torchvision: Option<&str>) -> Result<Elsewhere, String> {
        let name = match torchvision.ok_or(UNKNOWN)? {
            "mobilenet_v2" => "mobilenetv2_100",
            "mobilenet_v3_small" => "mobilenetv3_small_100",
            "mobilenet_v3_large" => "mobilenetv3_large_100",
            other => other,
        };
        let network = Elsewhere::named(name, self.timm());
        let epsilon = self.conv1.1.epsilon;
        Ok(match epsilon == EPSILON {
            true => network,
            false => network.with(json!({ "bn_eps": epsilon })),
        })
    }

    /// timm's names.
    pub(super) fn timm(&self) -> Spelling {
        let keys = keys::of(self, str::to_owned).into_iter();
        let mut spelling = Spelling {
            epsilon: (self.plan.norm[0] != EPSILON).then_some(EPSILON),
            ..Spelling::own(Origin::Timm)
        };
        for key in keys {
            let own = self.pytorch_key(&key.name);
            if key.name == "hidden.0.weight" {
                // A convolution of one pixel there.
                let shape = [&key.shape[..], &[1, 1]].concat();
                spelling.shapes.insert(own.clone(), shape);
            }
            spelling.names.insert(own, vec![self.timm_key(&key.name)]);
        }
        spelling
    }

    /// timm's name of a parameter, whose path ends in its name in PyTorch.
    fn timm_key(&self, path: &str) -> String {
        let parts: Vec<&str> = path.split('.').collect();
        let pair = |place: &str, conv: &str, norm: &str, last: &str| match place {
            "0" => format!("{conv}.{last}"),
            _ => format!("{norm}.{last}"),
        };
        match parts[..] {
            ["blocks", row, block, layer, ref rest @ ..] => {
                let (Ok(row), Ok(block)) = (row.parse(), block.parse()) else {
                    return path.to_owned();
                };
                let [stage, place] = staged(self.plan.rows, [row, block]);
                let expands = self.blocks[row][block].expand.is_some();
                let [depthwise, project] = match expands {
                    true => [["conv_dw", "bn2"], ["conv_pwl", "bn3"]],
                    false => [["conv_dw", "bn1"], ["conv_pw", "bn2"]],
                };
                let inner = match (layer, rest) {
                    ("expand", [place, last]) => pair(place, "conv_pw", "bn1", last),
                    ("depthwise", [place, last]) => pair(place, depthwise[0], depthwise[1], last),
                    ("project", [place, last]) => pair(place, project[0], project[1], last),
                    (_, ["fc1", last]) => format!("se.conv_reduce.{last}"),
                    (_, rest) => format!("se.conv_expand.{}", rest.last().unwrap_or(&"")),
                };
                format!("blocks.{stage}.{place}.{inner}")
            }
            ["conv1", place, last] => pair(place, "conv_stem", "bn1", last),
            // Of MobileNetV3 a block, and the hidden layer is the convolution behind the average.
            ["conv2", place, last] if self.plan.keys == Keys::MobileNetV3 => {
                let stage = staged(self.plan.rows, [self.plan.rows.len(), 0])[0];
                format!("blocks.{stage}.0.{}", pair(place, "conv", "bn1", last))
            }
            ["conv2", place, last] => pair(place, "conv_head", "bn2", last),
            ["hidden", _, last] => format!("conv_head.{last}"),
            _ => path.to_owned(),
        }
    }
}

/// The stage of a row's block in timm, where blocks of one width are one stage, and its place there. A row behind the
/// last one begins a stage.
fn staged(rows: &[Row], [row, block]: [usize; 2]) -> [usize; 2] {
    let (mut stage, mut place) = (0, block);
    for at in 1..=row.min(rows.len()) {
        match rows.get(at) {
            Some(next) if next.outputs == rows[at - 1].outputs => place += rows[at - 1].blocks,
            _ => (stage, place) = (stage + 1, block),
        }
    }
    [stage, place]
}
