//! What every registered network promises, whatever its weights.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::collections::BTreeSet;

use burn::module::Module;
use burn::tensor::{Device, Distribution, Tensor};
use kd_core::terms::simkd::SimKdConfig;
use kd_core::{Levels, Pair, Part, Step, Taps, Targets, draw};
use kd_models::{Backbone, Network, NetworkConfig, find, models};

/// Small enough to run every family in a test, of every family one.
const SMALL: [&str; 19] = [
    "resnet8",
    "resnet20_a",
    "resnet8x4",
    "resnet18",
    "wrn_16_1",
    "vgg8",
    "mobilenet_v2",
    "shufflenet_v1",
    "shufflenet_v2",
    "vit_p4_d6_w192_mlp2",
    "deit_tiny_patch16_224",
    "resnet18_224",
    "mobilenet_v2_224",
    "mobilenet_v3_small_224",
    "efficientnet_b0_224",
    "shufflenet_v2_x0_5_224",
    "vgg11_224",
    "cct_2_3x2_32",
    "vit_lite_6_4_32",
];

/// A network for images of 32×32, which all take.
fn config(name: &str, channels: usize) -> NetworkConfig {
    NetworkConfig::new(name, 10, channels).with_image_size(32)
}

#[test]
fn grey_images_of_any_size_work() {
    let device = Device::flex();
    for name in SMALL {
        let size = match name {
            // Five halvings leave nothing of 28 pixels.
            "vgg11_224" => 45,
            // Patches of 16 do not fill 28.
            "deit_tiny_patch16_224" => 48,
            _ => 28,
        };
        let config = config(name, 1).with_image_size(size);
        let network = Network::new(&config, &device).unwrap();
        let output = network.forward(Tensor::zeros([2, 1, size, size], &device), &Taps::all());
        assert_eq!(output.logits.dims(), [2, 10], "{name}");
        let embedding = output.embedding().unwrap();
        assert_eq!(embedding.dims()[0], 2);
        let classifier = output.classifier().unwrap();
        assert_eq!(
            classifier.weight.dims(),
            [embedding.dims()[1], 10],
            "{name}"
        );
        for level in 0..output.levels(Part::Maps) {
            let map = output.map(level).unwrap();
            let before = output.map_preact(level).unwrap();
            assert_eq!(before.dims(), map.dims(), "{name} level {level}");
        }
    }
}

#[test]
fn a_size_that_the_strides_cannot_take_is_an_error_by_its_key() {
    let small = config("vgg11_224", 1).with_image_size(28);
    let message = Network::new(&small, &Device::flex())
        .unwrap_err()
        .to_string();
    assert_eq!(
        message,
        "size = 28: `vgg11_224` divides height and width by 32, until nothing of this image is left; use a larger \
         size"
    );
}

#[test]
fn networks_for_large_images_have_levels_at_the_same_strides() {
    let device = Device::flex();
    for (name, strides) in [
        ("resnet18_224", [4, 4, 8, 16, 32].as_slice()),
        ("shufflenet_v2_x0_5_224", &[4, 8, 16, 32]),
        ("mobilenet_v2_224", &[2, 4, 8, 16, 32]),
        ("mobilenet_v3_small_224", &[2, 4, 8, 16, 32]),
        ("mobilenet_v3_large_224", &[2, 4, 8, 16, 32]),
        ("efficientnet_b0_224", &[2, 4, 8, 16, 32]),
    ] {
        let config = NetworkConfig::new(name, 10, 3).with_image_size(64);
        assert_eq!(kd_models::stride(&config).unwrap(), 32, "{name}");
        let network = Network::new(&config, &device).unwrap();
        let output = network.forward(Tensor::zeros([1, 3, 64, 64], &device), &Taps::all());
        let found: Vec<usize> = (0..output.levels(Part::Maps))
            .map(|level| 64 / output.map(level).unwrap().dims()[2])
            .collect();
        assert_eq!(found, strides, "{name}");
    }
}

#[test]
fn only_what_is_asked_for_is_kept() {
    let device = Device::flex();
    let network = Network::new(&NetworkConfig::new("resnet8", 10, 3), &device).unwrap();
    let input = Tensor::zeros([1, 3, 32, 32], &device);
    let output = network.forward(input.clone(), &Taps::none());
    assert_eq!(output.kept().count(), 0);
    assert_eq!(output.levels(Part::Maps), 4);
    let taps = Taps::levels(Part::Maps, Levels::one(3));
    let output = network.forward(input, &taps);
    let kept = output.kept().map(|(part, level, _)| (part, level));
    assert_eq!(kept.collect::<Vec<_>>(), [(Part::Maps, 3)]);
    assert!(output.map(2).is_err());
}

#[test]
fn the_classifier_gives_the_logits_of_the_embedding() {
    let device = Device::flex();
    for name in SMALL {
        draw::seed(5);
        let network = Network::new(&config(name, 3), &device).unwrap();
        let input = Tensor::random([3, 3, 32, 32], Distribution::Default, &device);
        let output = network.forward(input, &Taps::all());
        let again = output.classifier().unwrap();
        let again = again.forward(output.embedding().unwrap()).unwrap();
        let largest: f32 = output.logits.clone().abs().max().into_scalar();
        let off: f32 = (again - output.logits).abs().max().into_scalar();
        assert!(
            largest > 0.0 && off <= 1e-5 * largest,
            "{name}: {off} of {largest}"
        );
    }
}

#[test]
fn simkd_takes_a_teacher_of_every_family() {
    let device = Device::flex().autodiff();
    let student = |name| Network::new(&config(name, 3), &device).unwrap();
    for name in SMALL {
        draw::seed(5);
        let network = student(name);
        let input = Tensor::random([2, 3, 32, 32], Distribution::Default, &device);
        let shown = network.valid().forward(input.clone().inner(), &Taps::all());
        let pooled: Tensor<4> = shown.get(Part::Pooled, 0).unwrap();
        let average: Tensor<2> = pooled.clone().flatten::<3>(2, 3).mean_dim(2).squeeze_dim(2);
        let embedding = shown.embedding().unwrap();
        let off: f32 = (average - embedding).abs().max().into_scalar();
        assert!(off < 1e-5, "{name}: {off}");
        let term = SimKdConfig::default()
            .init(&shown, Some(&shown), &device)
            .unwrap_or_else(|problem| panic!("{name}: {problem}"));
        let [.., width] = term.head().config().channels;
        assert_eq!(width, pooled.dims()[1], "{name}");
        // Only what the term asks for is shown to it.
        let taps = term.taps();
        let seen = network.forward(input.clone(), &taps.student);
        let taught = network.valid().forward(input.inner(), &taps.teacher).lift();
        let labels = Targets::labels(Tensor::zeros([2], &device));
        let pair = Pair {
            student: &seen,
            teacher: Some(&taught),
            targets: &labels,
            indices: None,
        };
        let step = Step {
            epoch: 1,
            epochs: 1,
            index: 0,
        };
        let loss: f32 = term.forward(&pair, &step).unwrap().into_scalar();
        assert!(loss.is_finite() && loss > 0.0, "{name}: {loss}");
    }
}

#[test]
fn every_parameter_gets_a_gradient() {
    use burn::module::{ModuleVisitor, Param};
    use burn::optim::GradientsParams;

    struct Count<'a>(&'a GradientsParams, usize, usize);
    impl ModuleVisitor for Count<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.0.get::<D>(param.id) {
                let finite = gradient.abs().sum().into_scalar::<f32>();
                assert!(finite.is_finite());
                self.1 += 1;
            }
            self.2 += 1;
        }
    }

    let device = Device::flex().autodiff();
    for name in SMALL {
        let network = Network::new(&config(name, 3), &device).unwrap();
        let input = Tensor::random([2, 3, 32, 32], Distribution::Default, &device);
        let output = network.forward(input, &Taps::none());
        let gradients =
            GradientsParams::from_grads(output.logits.square().sum().backward(), &network);
        let mut count = Count(&gradients, 0, 0);
        network.visit(&mut count);
        // All but running statistics, two of the five tensors of a batch normalisation.
        let Count(_, with, all) = count;
        assert_eq!(with, gradients.len(), "{name}");
        let (trainable, tensors) = tensors(name);
        assert!(trainable > 0, "{name}");
        assert_eq!((with, all), (trainable, tensors), "{name}");
    }
}

/// Trainable tensors and all tensors of a network's file.
fn tensors(name: &str) -> (usize, usize) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("n.safetensors");
    let network = Network::new(&config(name, 3), &Device::flex()).unwrap();
    network.save(&path, &[]).unwrap();
    let bytes = std::fs::read(path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let running = file
        .names()
        .iter()
        .filter(|n| n.contains("running_"))
        .count();
    (file.len() - running, file.len())
}

#[test]
fn asking_for_preactivations_does_not_move_running_statistics_twice() {
    let device = Device::flex().autodiff();
    let config = NetworkConfig::new("wrn_16_1", 10, 3);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("start.safetensors");
    let start = Network::new(&config, &Device::flex()).unwrap();
    start.save(&path, &[]).unwrap();
    let input = Tensor::<4>::random([4, 3, 32, 32], Distribution::Default, &device);
    let evaluated = |network: &Network| {
        let output = network
            .valid()
            .forward(input.clone().inner(), &Taps::none());
        output.logits.into_data()
    };
    let trained = [Taps::none(), Taps::all()].map(|taps| {
        let network = Network::from_file(&config, &path, &device).unwrap();
        network.forward(input.clone(), &taps);
        evaluated(&network)
    });
    assert_ne!(
        trained[0],
        evaluated(&start),
        "training moves the statistics"
    );
    assert_eq!(trained[0], trained[1]);
}

#[test]
fn every_family_has_a_small_network_here() {
    let families = |names: &mut dyn Iterator<Item = &'static str>| {
        names
            .map(|name| find(name).unwrap().family)
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(
        families(&mut SMALL.into_iter()),
        families(&mut models().iter().map(|model| model.name))
    );
}

#[test]
fn a_network_of_every_family_says_the_same_after_a_file() {
    let device = Device::flex();
    let folder = tempfile::tempdir().unwrap();
    for name in SMALL {
        let config = config(name, 3);
        draw::seed(5);
        let network = Network::new(&config, &device).unwrap();
        let path = folder.path().join(format!("{name}.safetensors"));
        network.save(&path, &[]).unwrap();
        let read = Network::from_file(&config, &path, &device).unwrap();
        let image = Tensor::random([1, 3, 32, 32], Distribution::Default, &device);
        let [before, after] = [network, read].map(|network| {
            let output = network.valid().forward(image.clone(), &Taps::none());
            output.logits.into_data()
        });
        assert_eq!(before, after, "{name}");
    }
}

#[test]
fn every_registered_name_builds_and_counts() {
    for model in models() {
        let cost = kd_models::cost(&NetworkConfig::new(model.name, 10, 3), model.image_size);
        let cost = cost.unwrap();
        assert!(cost.parameters > 10_000 && cost.bytes > 4 * cost.parameters);
        assert!(!model.family.is_empty() && !model.reference.is_empty());
    }
}
