//! What a vision transformer shows, says and drops.

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Distribution, Tensor};
use kd_core::terms::cross_entropy::cross_entropy;
use kd_core::terms::hard_labels::hard_labels;
use kd_core::terms::simkd::SimKdConfig;
use kd_core::{Levels, Objective, Output, Pair, PairTaps, Part, Step, Taps, Targets};
use kd_models::{Backbone, Error, Network, NetworkConfig, VitConfig, VitDropout, VitPooling};

use crate::tensors::restless;
use crate::{SHAPE, close, config, images, logits, network};

#[test]
fn positions_follow_the_size_of_the_images() {
    let (_, _, _folder, path) = restless(&SHAPE);
    let device = Device::flex();
    let large = config().with_image_size(56);
    let large = Network::vit(&SHAPE, &large, &device)
        .unwrap()
        .load(&path)
        .unwrap();
    let input = images(56, &device);
    let built = large.forward(input.clone(), &Taps::all());
    assert_eq!(built.tokens(0).unwrap().dims(), [2, 50, 48]);
    assert_eq!(built.map(3).unwrap().dims(), [2, 48, 7, 7]);
    // A network for small images resizes them as it goes.
    let small = network(&SHAPE, &device).load(&path).unwrap();
    let seen = small.forward(input, &Taps::none());
    let [built, seen] =
        [built.logits, seen.logits].map(|logits| logits.into_data().iter().collect::<Vec<f32>>());
    close(&built, &seen, 1e-5);

    let odd = Network::vit(&SHAPE, &config().with_image_size(30), &device).unwrap_err();
    assert!(
        odd.to_string().starts_with("size = 30: `vit` cuts images"),
        "{odd}"
    );
    let odd = NetworkConfig::new("vit_small_patch14_dinov2", 10, 3).with_image_size(224 + 1);
    let odd = Network::new(&odd, &device).unwrap_err();
    assert!(odd.to_string().ends_with("such as 224"), "{odd}");
}

#[test]
fn parts_are_what_they_are_called() {
    let (network, ..) = restless(&SHAPE);
    let input = images(32, &Device::flex());
    let all = network.forward(input.clone(), &Taps::all());
    for part in [
        Part::Attentions,
        Part::Scores,
        Part::Queries,
        Part::Keys,
        Part::Values,
    ] {
        assert_eq!(all.levels(part), 3, "{}", part.name());
    }
    let part = |part| -> Tensor<4> { all.get(part, 1).unwrap() };
    let [queries, keys] = [Part::Queries, Part::Keys].map(part);
    assert_eq!(queries.dims(), [2, 4, 17, 12]);
    let scores = queries.matmul(keys.transpose()) / 12f64.sqrt();
    let off: f32 = (scores - part(Part::Scores)).abs().max().into_scalar();
    assert!(off < 1e-5, "{off}");
    let sums = part(Part::Attentions).sum_dim(3);
    let off: f32 = (sums - 1.0).abs().max().into_scalar();
    assert!(off < 1e-5, "{off}");
    let tokens = all.tokens(2).unwrap().narrow(1, 1, 16);
    let map: Tensor<3> = all.map(2).unwrap().flatten::<3>(2, 3).swap_dims(1, 2);
    assert_eq!(tokens.into_data(), map.into_data());

    // The fused operation says the same, and only the levels asked for are kept.
    let taps = Taps::levels(Part::Scores, Levels::one(2));
    let one = network.forward(input, &taps);
    let kept: Vec<_> = one.kept().map(|(part, level, _)| (part, level)).collect();
    assert_eq!(kept, [(Part::Scores, 2)]);
    let [one, all] = [one.logits, all.logits].map(|x| x.into_data().iter().collect::<Vec<f32>>());
    close(&one, &all, 1e-5);
}

#[test]
fn a_distilled_network_says_the_mean_of_its_heads() {
    let (network, ..) = restless(&SHAPE.distilled());
    let output = network.forward(images(32, &Device::flex()), &Taps::all());
    assert_eq!(output.tokens(0).unwrap().dims(), [2, 18, 48]);
    assert_eq!(output.embedding().unwrap().dims(), [2, 48]);
    let head = |level| -> Tensor<2> { output.get(Part::Heads, level).unwrap() };
    let off = (head(0) + head(1)) / 2.0 - output.logits.clone();
    assert!(off.abs().max().into_scalar::<f32>() < 1e-6);
    let apart = (head(0) - head(1)).abs().max().into_scalar::<f32>();
    assert!(apart > 1e-2, "{apart}");
    let missing = output.classifier().unwrap_err().to_string();
    assert!(missing.contains("classifier"), "{missing}");
    let shape = VitConfig {
        pooling: VitPooling::Mean,
        ..SHAPE.distilled()
    };
    let wrong = Network::vit(&shape, &config(), &Device::flex()).unwrap_err();
    assert!(
        matches!(
            wrong,
            Error::Config {
                key: "distilled",
                ..
            }
        ),
        "{wrong}"
    );
}

#[test]
fn only_training_drops_and_it_drops_everything_that_it_is_told_to() {
    let none = VitDropout::default();
    let device = Device::flex().autodiff();
    let input = Tensor::<4>::random([16, 3, 32, 32], Distribution::Default, &device);
    let moves = |dropout: VitDropout| {
        let network = network(&VitConfig { dropout, ..SHAPE }, &device);
        let say = |network: &Network, input: Tensor<4>| {
            network.forward(input, &Taps::none()).logits.into_data()
        };
        let plain = network.valid();
        let still = input.clone().inner();
        assert_eq!(say(&plain, still.clone()), say(&plain, still));
        say(&network, input.clone()) != say(&network, input.clone())
    };
    assert!(!moves(none));
    assert!(moves(VitDropout {
        hidden: 0.5,
        ..none
    }));
    assert!(moves(VitDropout {
        attention: 0.5,
        ..none
    }));
    assert!(moves(VitDropout { path: 0.9, ..none }));
}

#[test]
fn a_head_stands_in_the_place_of_the_classifier() {
    let device = Device::flex();
    let build = |name: &str| Network::new(&NetworkConfig::new(name, 10, 3), &device).unwrap();
    let (student, teacher) = (build("vit_p8_d6_w192_mlp4"), build("resnet8"));
    let shown = |network: &Network| network.forward(images(32, &device), &Taps::all());
    let term = SimKdConfig::default().init(&shown(&student), Some(&shown(&teacher)), &device);
    let head = term.unwrap().head().clone();
    let own = logits(&student);
    let deployed = student.with_head(head).unwrap();
    let wanted = logits(&deployed);
    assert_ne!(wanted, own);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    deployed.save(&path, &[]).unwrap();
    let read = Network::from_file(deployed.config(), &path, &device).unwrap();
    assert!(read.head().is_some());
    assert_eq!(logits(&read), wanted);
}

/// The example of the book.
fn deit() -> Objective {
    let taps = PairTaps {
        student: Taps::levels(Part::Heads, Levels::All),
        teacher: Taps::none(),
    };
    let deit = Objective::default().with_function("deit", 1.0, taps, |pair, _| {
        let class = pair.student.get(Part::Heads, 0)?;
        let distillation = pair.student.get(Part::Heads, 1)?;
        let labels = cross_entropy(class, pair.labels().clone(), 0.1)?;
        let teacher = hard_labels(distillation, pair.teacher()?.logits.clone())?;
        Ok((labels + teacher) * 0.5)
    });
    deit.unwrap()
}

#[test]
fn deits_objective_teaches_each_head_by_its_own_target() {
    let device = Device::flex().autodiff();
    let student = network(&SHAPE.distilled(), &device);
    let objective = deit();
    let output = student.forward(images(32, &device), &objective.taps().student);
    let head = |level| -> Tensor<2> { output.get(Part::Heads, level).unwrap() };
    // The labels say class 3, the teacher class 7.
    let labels = Tensor::from_ints([3, 3], &device);
    let teacher = Output::new(Tensor::eye(10, &device).narrow(0, 7, 1).repeat_dim(0, 2));
    let targets = Targets::labels(labels.clone());
    let pair = Pair {
        student: &output,
        teacher: Some(&teacher),
        targets: &targets,
        indices: None,
    };
    let step = Step {
        epoch: 1,
        epochs: 1,
        index: 0,
    };
    let total = objective.forward(&pair, &step).unwrap().total;
    let sevens = Tensor::from_ints([7, 7], &device);
    let by_hand = cross_entropy(head(0), labels, 0.1).unwrap() * 0.5
        + cross_entropy(head(1), sevens, 0.0).unwrap() * 0.5;
    let off: f32 = (total.clone() - by_hand).abs().into_scalar();
    assert!(off < 1e-6, "{off}");
    let gradients = GradientsParams::from_grads(total.backward(), &student);
    // Every parameter learns, also both heads.
    assert_eq!(gradients.len(), 47);
}
