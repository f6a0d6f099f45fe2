//! A network with another head in the place of its classifier: what it computes, costs and writes.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use burn::module::Module;
use burn::tensor::{Device, Distribution, Tensor};
use kd_core::terms::simkd::SimKdConfig;
use kd_core::{Head, Output, Part, Taps, draw};
use kd_models::{Backbone, Error, Network, NetworkConfig, cost};

const CLASSES: usize = 10;

fn network(name: &str, classes: usize, device: &Device) -> Network {
    Network::new(&NetworkConfig::new(name, classes, 3), device).unwrap()
}

fn images(device: &Device) -> Tensor<4> {
    device.seed(3);
    Tensor::random([3, 3, 32, 32], Distribution::Default, device)
}

/// What SimKD makes for a student: a projector from 64 channels over 32 to 64, and the teacher's classifier.
fn head(student: &Network, teacher: &Network) -> Head {
    let device = Device::flex();
    let shown = |network: &Network| network.forward(images(&device), &Taps::all());
    let term = SimKdConfig::default().init(&shown(student), Some(&shown(teacher)), &device);
    term.unwrap().head().clone()
}

fn headed() -> (Network, Network, Head) {
    let device = Device::flex();
    draw::seed(5);
    let student = network("resnet8", CLASSES, &device);
    let head = head(&student, &network("resnet14", CLASSES, &device));
    let deployed = student.valid().with_head(head.clone()).unwrap();
    (student, deployed, head)
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter().collect()
}

#[test]
fn logits_embedding_and_classifier_are_the_heads_and_maps_the_networks() {
    let (student, deployed, head) = headed();
    let images = images(&Device::flex());
    let all = deployed.forward(images.clone(), &Taps::all());
    let own = student.forward(images.clone(), &Taps::all());
    for level in 0..own.levels(Part::Maps) {
        let [found, wanted] = [&all, &own].map(|output| output.map(level).unwrap());
        assert_eq!(numbers(found), numbers(wanted));
    }
    let classifier = all.classifier().unwrap();
    assert_eq!(
        numbers(classifier.weight.clone()),
        numbers(head.classifier().weight)
    );
    let again = classifier.forward(all.embedding().unwrap()).unwrap();
    let off: f32 = (again - all.logits.clone()).abs().max().into_scalar();
    assert!(off < 1e-5, "{off}");
    let apart: f32 = (all.logits.clone() - own.logits).abs().max().into_scalar();
    assert!(apart > 1e-3, "{apart}");

    let plain = deployed.forward(images, &Taps::none());
    assert_eq!(plain.kept().count(), 0);
    assert_eq!(numbers(plain.logits), numbers(all.logits));
}

#[test]
fn a_file_brings_the_head_back_and_weighs_what_the_cost_says() {
    let (student, deployed, _) = headed();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deployed.safetensors");
    deployed.save(&path, &[]).unwrap();
    let device = Device::flex();
    let config = student.config().clone();
    let read = Network::from_file(&config, &path, &device).unwrap();
    assert_eq!(
        read.head().unwrap().config(),
        deployed.head().unwrap().config()
    );
    let say = |network: &Network| numbers(network.forward(images(&device), &Taps::none()).logits);
    assert_eq!(say(&read), say(&deployed));

    let (bare, whole) = (cost(&config, 32).unwrap(), deployed.cost(32).unwrap());
    let weights = 64 * 32 + 9 * 32 * 32 + 32 * 64;
    let norms = 2 * (32 + 32 + 64);
    let classifier = 64 * CLASSES as u64;
    assert_eq!(
        whole.parameters - bare.parameters,
        weights + norms + classifier + CLASSES as u64
    );
    assert_eq!(whole.macs - bare.macs, 8 * 8 * weights + classifier);
    assert_eq!(whole.bytes, std::fs::metadata(&path).unwrap().len());

    // Weights without a head take it away.
    let bare = folder.path().join("bare.safetensors");
    student.save(&bare, &[]).unwrap();
    let again = read.load(&bare).unwrap();
    assert!(again.head().is_none());
    assert_eq!(say(&again), say(&student.valid()));
}

#[test]
fn a_header_that_lies_is_refused() {
    let (student, deployed, _) = headed();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    deployed.save(&path, &[]).unwrap();
    let honest = std::fs::read(&path).unwrap();
    for (from, to, part) in [
        ("level\\\":3", "level\\\":7", "does not fit `resnet8`"),
        ("[64,32,64]", "[64,99,64]", "which its tensors are not"),
        ("channels", "chunnels", "cannot be read"),
        ("size\\\":[8,8]", "size\\\":[0,8]", "holds no numbers"),
    ] {
        assert_eq!(from.len(), to.len());
        let at = honest
            .windows(from.len())
            .position(|w| w == from.as_bytes());
        let mut lying = honest.clone();
        let at = at.unwrap_or_else(|| panic!("{from}"));
        lying[at..at + to.len()].copy_from_slice(to.as_bytes());
        std::fs::write(&path, lying).unwrap();
        let error = Network::from_file(student.config(), &path, &Device::flex()).unwrap_err();
        assert!(error.to_string().contains(part), "{error}, without {part}");
    }
}

#[test]
fn a_head_that_does_not_fit_is_refused() {
    let (student, _, head) = headed();
    let device = Device::flex();
    let wider = network("resnet8x4", CLASSES, &device).with_head(head.clone());
    assert!(matches!(wider.unwrap_err(), Error::Head { .. }));
    let more = network("resnet8", CLASSES + 1, &device).with_head(head.clone());
    let message = more.unwrap_err().to_string();
    assert!(
        message.contains("it knows 10 classes, and the network 11"),
        "{message}"
    );

    #[derive(Module, Debug)]
    struct Own {
        inside: Network,
    }
    impl Backbone for Own {
        type Input = Tensor<4>;
        fn forward(&self, input: Tensor<4>, taps: &Taps) -> Output {
            self.inside.forward(input, taps)
        }
    }
    let problem = Own { inside: student }.with_head(head).unwrap_err();
    assert!(matches!(problem, Error::NoHead));
}
