//! A case: a network with weights by formula.

use std::collections::{BTreeMap, BTreeSet};

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, Tensor, TensorData};
use kd_compress::prune::{
    Array, Attention, NetworkPruning, Options, Parameters, filled, frozen, gradients,
};
use kd_core::Taps;
use kd_models::{Backbone, Network, NetworkConfig, VitConfig};
use serde_json::Value;

/// Our names of the golden networks.
const NAMES: [(&str, &str); 7] = [
    ("MobileNetV2", "mobilenet_v2"),
    ("ShuffleV2", "shufflenet_v2"),
    ("mobilenet_v2", "mobilenet_v2_224"),
    ("resnet18", "resnet18_224"),
    ("resnet50", "resnet50_224"),
    ("shufflenet_v2_x1_0", "shufflenet_v2_x1_0_224"),
    ("vit", "vit"),
];

pub struct Case<'a> {
    pub json: &'a Value,
    pub name: &'a str,
    pub network: Network,
    input: [usize; 4],
}

pub fn list(value: &Value) -> &Vec<Value> {
    value.as_array().expect("a list")
}

pub fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

pub fn number(value: &Value) -> usize {
    value.as_u64().expect("a number") as usize
}

impl<'a> Case<'a> {
    pub fn read(json: &'a Value) -> Self {
        let name = text(&json["name"]);
        let input: [usize; 4] = serde_json::from_value(json["input"].clone()).expect("a shape");
        let keys = kd_goldens::keys(json);
        let classes = number(&json["logits"]["shape"][1]);
        let golden = if name.starts_with("vit_") {
            "vit"
        } else {
            name
        };
        let ours = NAMES.iter().find(|(theirs, _)| *theirs == golden);
        let ours = ours.map_or(name, |(_, ours)| ours);
        let config = NetworkConfig::new(ours, classes, input[1]).with_image_size(input[2]);
        let device = Device::flex();
        let network = match ours {
            "vit" => Network::vit(&VitConfig::new(8, 48, 3, 4), &config, &device),
            _ => Network::new(&config, &device),
        };
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("weights.safetensors");
        kd_goldens::write_weights(&path, "", &keys);
        let network = network.and_then(|network| network.load(&path));
        Self {
            json,
            name,
            network: network.expect("a network"),
            input,
        }
    }

    /// The structure, with the roots of the file and values in double precision.
    pub fn pruning(&self) -> NetworkPruning<'_> {
        let attention = match self.name {
            "vit_heads" => Attention::Heads,
            _ => Attention::HeadSizes,
        };
        let ignored = list(&self.json["ignored"]).iter();
        let mut keep: Vec<String> = ignored.map(|layer| text(layer).to_owned()).collect();
        // The groups of these were set by hand, without that of the first layer.
        let stem = match self.name {
            "ShuffleV2" => Some("conv1"),
            "shufflenet_v2_x1_0" => Some("conv1.0"),
            _ => None,
        };
        keep.extend(stem.map(str::to_owned));
        let options = Options { attention, keep };
        let mut pruning = NetworkPruning::new(&self.network, &options).expect("a structure");
        let keys = kd_goldens::keys(self.json);
        for (name, array) in &mut pruning.parameters {
            array.values = kd_goldens::parameter("", name, &keys[name]);
            // The parameters of convolutional networks were loaded in single precision.
            if !self.name.starts_with("vit") {
                let rounded = array.values.iter().map(|value| f64::from(*value as f32));
                array.values = rounded.collect();
            }
            if pruning.structure.is_linear(name) {
                array.values = transposed(&array.values, &array.shape);
            }
        }
        for golden in list(&self.json["groups"]) {
            let (parameter, axis) = self.root(golden, &pruning);
            if let Some(index) = pruning.structure.group_of(&parameter, axis) {
                let group = pruning.structure.groups[index].clone();
                pruning.structure.groups[index] = group.rooted_at(&parameter, axis);
            }
        }
        pruning
    }

    /// A golden axis, as burn has it.
    pub fn axis(&self, pruning: &NetworkPruning, key: &str, axis: usize) -> usize {
        if pruning.structure.is_linear(key) {
            1 - axis
        } else {
            axis
        }
    }

    /// The member that a golden group is named after.
    pub fn root(&self, group: &Value, pruning: &NetworkPruning) -> (String, usize) {
        let key = format!("{}.weight", text(&group["root"]));
        let members = list(&group["members"]).iter();
        let mut named = members.filter(|member| text(&member[0]) == key);
        let axis = number(&named.next().expect("the root")[1]);
        let axis = self.axis(pruning, &key, axis);
        (key, axis)
    }

    /// What each channel of a golden group takes: parameter, axis and index.
    pub fn channels(
        &self,
        group: &Value,
        pruning: &NetworkPruning,
    ) -> Vec<BTreeSet<(String, usize, usize)>> {
        let count = number(&group["channels"]);
        let mut channels = vec![BTreeSet::new(); count];
        for member in list(&group["members"]) {
            let key = text(&member[0]);
            let axis = self.axis(pruning, key, number(&member[1]));
            let mut take = |channel: usize, index: usize| {
                channels[channel].insert((key.to_owned(), axis, index));
            };
            match member[2].as_array() {
                None => (0..count).for_each(|channel| take(channel, channel)),
                Some(runs) => {
                    for run in runs {
                        let [index, channel, length] = [0, 1, 2].map(|at| number(&run[at]));
                        // A run that is longer than the group belongs to one channel.
                        (0..length).for_each(|at| take(channel + at, index + at));
                    }
                }
            }
        }
        channels
    }

    fn images(&self, device: &Device) -> Tensor<4> {
        let count = self.input.iter().product();
        let values = kd_goldens::uniform("input", count);
        let values: Vec<f32> = values.into_iter().map(|u| (1.5 * u) as f32).collect();
        Tensor::from_data(TensorData::new(values, self.input), device)
    }

    pub fn logits(&self, network: &Network) -> Vec<f64> {
        let output = network.forward(self.images(&Device::flex()), &Taps::none());
        output.logits.into_data().iter::<f64>().collect()
    }

    /// In double precision, gradients of the mean cross-entropy with the labels `3i`, and the mean of the squares of each
    /// image's.
    pub fn gradients(&self, pruning: &NetworkPruning) -> (Parameters, Parameters) {
        let device = Device::flex().autodiff();
        let double = self.network.valid().train().map(&mut Double);
        let rename = |path: &str| self.network.pytorch_name(path);
        let network = frozen(&filled(&double, &pruning.parameters, &rename));
        let classes = network.config().classes;
        let batch = self.input[0];
        let of = |range: std::ops::Range<usize>| {
            let images = self.images(&device).slice([range.clone()]).cast(DType::F64);
            let logits = network.forward(images, &Taps::none()).logits;
            let labels: Vec<i64> = range.clone().map(|i| (3 * i % classes) as i64).collect();
            let labels = Tensor::<1, burn::tensor::Int>::from_ints(labels.as_slice(), &device);
            let rows = burn::tensor::activation::log_softmax(logits, 1);
            let picked = rows.gather(1, labels.reshape([range.len() as i32, 1]));
            let loss = -picked.mean();
            gradients(&network, &loss.backward(), &rename)
        };
        let mean = of(0..batch);
        let mut squares: BTreeMap<String, Array> = BTreeMap::new();
        for image in 0..batch {
            for (name, array) in of(image..image + 1) {
                let squared: Vec<f64> = array.values.iter().map(|g| g * g / batch as f64).collect();
                match squares.get_mut(&name) {
                    Some(sum) => {
                        let pairs = sum.values.iter_mut().zip(squared);
                        pairs.for_each(|(sum, square)| *sum += square);
                    }
                    None => {
                        let values = squared;
                        squares.insert(name, Array { values, ..array });
                    }
                }
            }
        }
        (mean, squares)
    }
}

/// Zeros in double precision.
struct Double;

impl ModuleMapper for Double {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (value, trained) = (param.val(), param.is_require_grad());
        let zeros = Tensor::zeros(value.dims(), (&value.device(), DType::F64));
        Param::initialized(param.id, zeros.set_require_grad(trained))
    }
}

fn transposed(values: &[f64], shape: &[usize]) -> Vec<f64> {
    // `shape` is burn's, the values lie the other way.
    let (rows, columns) = (shape[0], shape[1]);
    let places = (0..rows).flat_map(|row| (0..columns).map(move |column| column * rows + row));
    places.map(|place| values[place]).collect()
}
