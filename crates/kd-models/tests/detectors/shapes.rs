//! Detectors of other widths and bodies, and what is refused.

use burn::tensor::{Device, Tensor};
use kd_models::detection::{
    Detector, FasterRcnn, FasterRcnnBody, FasterRcnnConfig, ProposalFilter, Ssd, SsdConfig,
    SsdLite, SsdNormed, SsdNormedConfig, SsdTrunk,
};

/// Parameters for four classes, by the sums of the layers' shapes.
#[test]
fn narrow_students_have_the_parameters_of_their_layers() {
    let device = Device::flex();
    for (divisor, millions) in [(2, 6.3), (4, 1.70), (8, 0.49)] {
        let config = SsdConfig::ssd300(4).with_divisor(divisor);
        let count = Ssd::new(&config, &device).unwrap().parameters() as f64 / 1e6;
        assert!((count / millions - 1.0).abs() < 0.02, "{divisor}: {count}");
    }
}

/// torchvision's published figures, and sums over the layers.
#[test]
fn multiply_accumulates_are_the_published_ones() {
    let device = Device::flex();
    let ssd = |classes: usize, divisor: usize| {
        let config = SsdConfig::ssd300(classes).with_divisor(divisor);
        Ssd::new(&config, &device).unwrap().macs(300)
    };
    let rcnn = |body: FasterRcnnBody, classes: usize| FasterRcnnConfig::new(body, classes);
    let count = |config: FasterRcnnConfig, size: usize, regions: usize| {
        let network = FasterRcnn::new(&config, &device).unwrap();
        network.macs(size, regions)
    };
    let small = FasterRcnnConfig {
        width: 128,
        hidden: 512,
        ..rcnn(FasterRcnnBody::ResNet18, 4)
    };
    let lite = SsdLite::new(91, &device).unwrap().macs(320);
    for (name, macs, billions, digits) in [
        ("ssd300_vgg16", ssd(91, 1), 34.858, 3),
        ("ssd300 of four classes", ssd(4, 1), 30.53, 2),
        ("half", ssd(4, 2), 7.8, 1),
        ("quarter", ssd(4, 4), 2.0, 1),
        ("eighth", ssd(4, 8), 0.54, 2),
        ("ssdlite320", lite, 0.583, 3),
        (
            "fasterrcnn_resnet50_fpn",
            count(rcnn(FasterRcnnBody::ResNet50, 91), 800, 1000),
            134.380,
            3,
        ),
        (
            "at 300 pixels",
            count(rcnn(FasterRcnnBody::ResNet50, 4), 300, 300),
            21.4,
            1,
        ),
        ("small teacher", count(small, 300, 128), 6.2, 1),
    ] {
        let step = 10_f64.powi(-digits);
        let off = (macs as f64 / 1e9 - billions).abs();
        assert!(off <= 0.51 * step, "{name}: {macs} and not {billions}e9");
    }
}

/// Counted in PyTorch, layer by layer, and by sums over the shapes for those of fewer channels; MobileNetV3 with the 1000 and 150 regions that it looks at, at most.
#[test]
fn other_trunks_have_the_parameters_and_the_cost_that_pytorch_counts() {
    let device = Device::flex();
    for (name, classes, side, parameters, macs) in [
        ("ssd300_resnet18", 4, 300, 13_915_952, 3_563_145_984),
        ("ssd300_resnet18", 91, 300, 21_936_482, 4_884_900_096),
        ("ssd300_resnet18_half", 4, 300, 3_669_008, 974_091_648),
        ("ssd300_resnet18_quarter", 4, 300, 1_012_352, 285_175_488),
        ("ssd300_mobilenet_v2", 4, 300, 3_059_184, 638_507_632),
        ("ssd300_mobilenet_v2", 91, 300, 4_542_882, 917_921_008),
        // torchvision's published 19,386,354 and its normalisations, which are frozen there.
        (
            "fasterrcnn_mobilenet_v3_large_fpn",
            91,
            800,
            19_386_354 + 24_400,
            18_853_144_256,
        ),
        (
            "fasterrcnn_mobilenet_v3_large_320_fpn",
            91,
            320,
            19_386_354 + 24_400,
            2_872_931_200,
        ),
    ] {
        let network = Detector::new(name, classes, &device).unwrap();
        let got = (network.parameters(), network.macs(side));
        assert_eq!(got, (parameters, macs), "{name}, {classes} classes");
    }
}

/// C3, C4 and C5 of a teacher are 38, 19 and 10 pixels wide at 300.
#[test]
fn students_with_normalisation_pair_with_a_teacher_and_learn_at_every_layer() {
    let device = Device::flex().autodiff();
    for (trunk, divisor, widths, layers) in [
        // Twenty convolutions of the trunk, six of the extras, each with a scale and a shift, and twelve heads.
        (SsdTrunk::ResNet18, 8, [8, 16, 32, 64], 3 * 26 + 2 * 12),
        // Fifty-two, nine and twelve depthwise ones before the heads.
        (
            SsdTrunk::MobileNetV2,
            1,
            [144, 192, 576, 1280],
            3 * (52 + 9 + 12) + 2 * 12,
        ),
    ] {
        let config = SsdNormedConfig::new(trunk, 4).with_divisor(divisor);
        let network = SsdNormed::new(&config, &device).unwrap();
        let output = network.forward(Tensor::ones([2, 3, 300, 300], &device));
        assert_eq!(output.logits.dims(), [2, 8732, 4]);
        let levels: Vec<[usize; 4]> = output.levels.iter().map(Tensor::dims).collect();
        let sides = [75, 38, 19, 10];
        let expected: Vec<[usize; 4]> = widths
            .iter()
            .zip(sides)
            .map(|(w, s)| [2, *w, s, s])
            .collect();
        assert_eq!(levels, expected, "{trunk:?}");
        let maps: Vec<usize> = output.maps.iter().map(|map| map.dims()[2]).collect();
        assert_eq!(maps, [38, 19, 10, 5, 3, 1]);
        let loss = output.logits.square().mean() + output.offsets.square().mean();
        let gradients = burn::optim::GradientsParams::from_grads(loss.backward(), &network);
        assert_eq!(gradients.len(), layers, "{trunk:?}");
    }
    let refused = SsdNormedConfig::new(SsdTrunk::MobileNetV2, 4).with_divisor(2);
    let refused = SsdNormed::new(&refused, &device).unwrap_err().to_string();
    assert!(refused.contains("divisor = 2"), "{refused}");
}

#[test]
fn a_narrow_student_finds_boxes_and_learns_at_every_layer() {
    let device = Device::flex().autodiff();
    let config = SsdConfig::ssd300(4).with_divisor(8);
    let network = Ssd::new(&config, &device).unwrap();
    let output = network.forward(Tensor::ones([2, 3, 300, 300], &device));
    assert_eq!(output.logits.dims(), [2, 8732, 4]);
    let sizes: Vec<[usize; 4]> = output.levels.iter().map(Tensor::dims).collect();
    let level = |channels, side| [2, channels, side, side];
    let expected = [level(32, 75), level(64, 38), level(128, 19), level(64, 10)];
    assert_eq!(sizes, expected);
    let found = network
        .detect(&output, [300, 300], &SsdConfig::FILTER)
        .unwrap();
    assert_eq!(found.len(), 2);
    let loss = output.logits.square().mean() + output.offsets.square().mean();
    let gradients = burn::optim::GradientsParams::from_grads(loss.backward(), &network);
    // Twenty-three convolutions before the heads and twelve in them, each with a bias, and the factors of conv4_3.
    assert_eq!(gradients.len(), 2 * (23 + 12) + 1);
}

#[test]
fn a_small_teacher_runs_on_sizes_that_no_stride_divides() {
    let device = Device::flex();
    let config = FasterRcnnConfig {
        width: 32,
        hidden: 64,
        ..FasterRcnnConfig::new(FasterRcnnBody::ResNet18, 4)
    };
    let network = FasterRcnn::new(&config, &device).unwrap();
    let images = Tensor::ones([2, 3, 150, 130], &device);
    let pyramid = network.pyramid(&network.stages(images.clone()));
    let sizes: Vec<_> = pyramid.iter().map(|map| map.dims()[2]).collect();
    assert_eq!(sizes, [38, 19, 10, 5, 3]);
    let few = ProposalFilter {
        an_image: 8,
        ..ProposalFilter::TEST
    };
    let found = network
        .detect(images, &few, &FasterRcnnConfig::FILTER)
        .unwrap();
    assert_eq!(found.len(), 2);
}

#[test]
fn configurations_and_files_that_cannot_be_are_refused() {
    let device = Device::flex();
    let one = SsdConfig::ssd300(1);
    let refused = Ssd::new(&one, &device).unwrap_err().to_string();
    assert!(refused.contains("classes = 1"), "{refused}");
    let third = SsdConfig::ssd300(4).with_divisor(3);
    assert!(Ssd::new(&third, &device).is_err());
    let none = FasterRcnnConfig {
        width: 0,
        ..FasterRcnnConfig::new(FasterRcnnBody::ResNet18, 4)
    };
    assert!(FasterRcnn::new(&none, &device).is_err());

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("four.safetensors");
    let four = SsdConfig::ssd300(4).with_divisor(8);
    Ssd::new(&four, &device).unwrap().save(&path).unwrap();
    let five = SsdConfig::ssd300(5).with_divisor(8);
    let refused = Ssd::from_file(&five, &path, &device)
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("head.classification_head.module_list.0.weight"),
        "{refused}"
    );
}
