//! The network without channels computes what the network with them switched off computes.

use burn::tensor::Device;
use kd_compress::prune::{
    Attention, Criterion, NetworkPruning, Options, Ranking, Scope, Score, plan,
};
use kd_models::{Network, NetworkConfig, models};

/// The smallest network of every family, and small images that it takes.
const SMALL: [(&str, usize); 19] = [
    ("resnet8", 32),
    ("resnet20_a", 32),
    ("resnet8x4", 32),
    ("resnet18", 32),
    ("wrn_16_1", 32),
    ("vgg8", 32),
    ("mobilenet_v2", 32),
    ("shufflenet_v1", 32),
    ("shufflenet_v2", 32),
    ("vit_p4_d6_w192_mlp2", 32),
    ("deit_tiny_patch16_224", 48),
    ("resnet18_224", 64),
    ("mobilenet_v2_224", 64),
    ("mobilenet_v3_small_224", 64),
    ("efficientnet_b0_224", 64),
    ("shufflenet_v2_x0_5_224", 64),
    ("vgg11_224", 64),
    ("cct_2_3x2_32", 32),
    ("vit_lite_6_4_32", 32),
];

pub fn masked_is_pruned() {
    let families: std::collections::BTreeSet<_> = models().iter().map(|m| m.family).collect();
    let here = SMALL.map(|(name, _)| kd_models::find(name).expect("a network").family);
    for family in families {
        assert!(
            here.contains(&family) || family == "VGG",
            "{family} has no network in the list"
        );
    }
    let mut problems = Vec::new();
    let mut largest = (0.0, "");
    for (name, size) in SMALL {
        for (seed, attention) in [(1, Attention::HeadSizes), (2, Attention::Heads)] {
            // It has 129 million parameters, and one draw of them will do.
            if (name, seed) == ("vgg11_224", 2) {
                continue;
            }
            match difference(name, size, attention, seed) {
                Ok(difference) if difference > largest.0 => largest = (difference, name),
                Ok(_) => {}
                Err(problem) => problems.push(format!("{name}: {problem}")),
            }
        }
    }
    eprintln!("largest difference: {:e} of {}", largest.0, largest.1);
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

fn difference(name: &str, size: usize, attention: Attention, seed: u64) -> Result<f32, String> {
    kd_core::draw::seed(seed);
    let config = NetworkConfig::new(name, 10, 3).with_image_size(size);
    let network = Network::new(&config, &Device::flex()).map_err(|e| e.to_string())?;
    let options = Options {
        attention,
        keep: Vec::new(),
    };
    let mut pruning = NetworkPruning::new(&network, &options).map_err(|e| e.to_string())?;
    // Layer normalisation sees other channels then, so those stay here.
    pruning.structure.groups.retain(|group| !group.normalised);
    let score = Score::by(Criterion::Random { seed });
    let ranking = Ranking::new(Scope::Local);
    let parameters = &pruning.parameters;
    let made = plan(
        &pruning.structure,
        parameters,
        &score,
        &ranking,
        0.4,
        |_, _| None,
    );
    let made = made.map_err(|e| e.to_string())?;
    let before = pruning.structure.cost();
    let after = made.cost(&pruning.structure).map_err(|e| e.to_string())?;
    if after.macs >= before.macs || made.kept.is_empty() {
        return Err(format!("{before:?} became {after:?}"));
    }
    let pruned = pruning.prune(&made).map_err(|e| e.to_string())?;
    let counted = pruned.network.cost(size).map_err(|e| e.to_string())?;
    if counted.parameters != after.parameters {
        return Err(format!(
            "{} parameters instead of {}",
            counted.parameters, after.parameters
        ));
    }
    pruned
        .difference
        .ok_or("the networks were not compared".into())
}
