//! The published table of parameters and multiply-accumulates (100 classes, 32×32 colour images).

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::path::Path;

use kd_models::{Error, Network, NetworkConfig, cost, models, stride};

/// Name, parameters, millions of multiply-accumulates with one decimal.
const TABLE: [(&str, u64, &str); 24] = [
    ("resnet8", 83_892, "12.5"),
    ("resnet14", 181_108, "26.7"),
    ("resnet20", 278_324, "40.8"),
    ("resnet32", 472_756, "69.1"),
    ("resnet44", 667_188, "97.4"),
    ("resnet56", 861_620, "125.8"),
    ("resnet110", 1_736_564, "253.2"),
    ("resnet8x4", 1_233_540, "177.1"),
    ("resnet32x4", 7_433_860, "1083.0"),
    ("resnet18", 11_220_132, "555.5"),
    ("resnet50", 23_705_252, "1298.0"),
    ("wrn_16_1", 180_916, "26.7"),
    ("wrn_16_2", 703_284, "101.1"),
    ("wrn_40_1", 569_780, "83.3"),
    ("wrn_40_2", 2_255_156, "327.6"),
    ("vgg8", 3_965_028, "96.2"),
    ("vgg11", 9_277_284, "209.4"),
    ("vgg13", 9_462_180, "284.9"),
    ("vgg16", 14_774_436, "398.2"),
    ("ShuffleV1", 949_258, "38.7"),
    ("ShuffleV2", 1_355_528, "44.5"),
    ("MobileNetV2", 812_836, "6.5"),
    ("resnet101", 42_697_380, ""),
    ("resnet152", 58_341_028, ""),
];

#[test]
fn parameters_and_macs_are_the_published_ones() {
    for (name, parameters, macs) in TABLE {
        let cost = cost(&NetworkConfig::new(name, 100, 3), 32).unwrap();
        assert_eq!(cost.parameters, parameters, "{name}: parameters");
        if !macs.is_empty() {
            assert_eq!(
                format!("{:.1}", cost.macs as f64 / 1e6),
                macs,
                "{name}: millions of multiply-accumulates"
            );
        }
    }
}

/// Name, parameters for 1000 classes, multiply-accumulates with three digits. DeiT's and ViT's parameters are those of
/// timm, multiply-accumulates those of the formula: for N tokens of width D and r·D inside the perceptrons
/// `4ND² + 2N²D + 2rND²` a block.
const TRANSFORMERS: [(&str, u64, &str); 9] = [
    ("vit_tiny_patch16_224", 5_717_416, "1.25"),
    ("deit_tiny_patch16_224", 5_717_416, "1.25"),
    ("deit_tiny_distilled_patch16_224", 5_910_800, ""),
    ("vit_small_patch16_224", 22_050_664, "4.60"),
    ("deit_small_distilled_patch16_224", 22_436_432, ""),
    ("vit_base_patch16_224", 86_567_656, "17.6"),
    ("deit_base_distilled_patch16_224", 87_338_192, ""),
    ("vit_base_patch32_224", 88_224_232, "4.41"),
    ("vit_small_patch14_dinov2", 22_825_192, ""),
];

#[test]
fn transformers_have_the_published_parameters_and_the_macs_of_the_formula() {
    for (name, parameters, macs) in TRANSFORMERS {
        let cost = cost(&NetworkConfig::new(name, 1000, 3), 224).unwrap();
        assert_eq!(cost.parameters, parameters, "{name}: parameters");
        let digits = format!(
            "{:.*}",
            3 - macs.find('.').unwrap_or(0),
            cost.macs as f64 / 1e9
        );
        assert!(macs.is_empty() || macs == digits, "{name}: {digits} G");
    }
}

#[test]
fn transformers_for_small_images_cost_what_their_table_says() {
    for (name, parameters, macs) in [
        ("vit_p4_d6_w192_mlp4", "2.71", "0.183"),
        ("vit_p4_d6_w192_mlp2", "1.82", "0.125"),
        ("deit_p4_d6_w192_mlp2_distilled", "1.84", "0.127"),
        ("vit_p4_d9_w192_mlp2", "2.71", "0.188"),
        ("vit_p8_d6_w192_mlp4", "2.73", "0.046"),
    ] {
        let cost = cost(&NetworkConfig::new(name, 100, 3), 32).unwrap();
        let found = format!("{:.2}", cost.parameters as f64 / 1e6);
        assert_eq!(found, parameters, "{name}: millions of parameters");
        let found = format!("{:.3}", cost.macs as f64 / 1e9);
        assert_eq!(found, macs, "{name}: G multiply-accumulates");
    }
}

/// Torchvision's networks for 1000 classes and 224×224 colour images: parameters, and what their documentation says
/// of multiply-accumulates, in 10⁹.
const TORCHVISION: [(&str, u64, f64); 21] = [
    ("resnet18", 11_689_512, 1.814),
    ("resnet34", 21_797_672, 3.664),
    ("resnet50", 25_557_032, 4.089),
    ("resnet101", 44_549_160, 7.801),
    ("resnet152", 60_192_808, 11.514),
    ("mobilenet_v2", 3_504_872, 0.301),
    ("mobilenet_v3_small", 2_542_856, 0.057),
    ("mobilenet_v3_large", 5_483_032, 0.217),
    ("efficientnet_b0", 5_288_548, 0.386),
    ("shufflenet_v2_x0_5", 1_366_792, 0.040),
    ("shufflenet_v2_x1_0", 2_278_604, 0.145),
    ("shufflenet_v2_x1_5", 3_503_624, 0.296),
    ("shufflenet_v2_x2_0", 7_393_996, 0.583),
    ("vgg11", 132_863_336, 7.609),
    ("vgg13", 133_047_848, 11.308),
    ("vgg16", 138_357_544, 15.470),
    ("vgg19", 143_667_240, 19.632),
    ("vgg11_bn", 132_868_840, 7.609),
    ("vgg13_bn", 133_053_736, 11.308),
    ("vgg16_bn", 138_365_992, 15.470),
    ("vgg19_bn", 143_678_248, 19.632),
];

#[test]
fn parameters_and_macs_are_torchvisions() {
    for (name, parameters, billions) in TORCHVISION {
        let config = NetworkConfig::new(format!("torchvision.{name}"), 1000, 3);
        let cost = cost(&config, config.image_size().unwrap()).unwrap();
        assert_eq!(cost.parameters, parameters, "{name}");
        let found = cost.macs as f64 / 1e9;
        assert!((found - billions).abs() <= 0.0006, "{name}: {found}");
    }
    let ours = models().iter().filter(|model| {
        let theirs = model.name.strip_suffix("_224").unwrap_or_default();
        model
            .aliases
            .contains(&format!("torchvision.{theirs}").as_str())
    });
    assert_eq!(ours.count(), TORCHVISION.len());
}

/// The table of the book's page about networks, and that every network is in the book.
#[test]
fn the_books_table_says_what_the_networks_are() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/src");
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let page = read(&Path::new(folder).join("networks.md"));
    let mut listed = 0;
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, name, size, divides, millions, macs, _] = cells[..] else {
            panic!("{line}")
        };
        let info = kd_models::find(name.trim_matches('`')).unwrap();
        assert_eq!(info.image_size.to_string(), size, "{name}");
        let classes = if size == "32" { 100 } else { 1000 };
        let config = NetworkConfig::new(info.name, classes, 3);
        assert_eq!(stride(&config).unwrap().to_string(), divides, "{name}");
        let cost = cost(&config, info.image_size).unwrap();
        assert_eq!(
            format!("{:.2}", cost.parameters as f64 / 1e6),
            millions,
            "{name}"
        );
        assert_eq!(format!("{:.1}", cost.macs as f64 / 1e6), macs, "{name}");
        listed += 1;
    }
    assert!(listed > 50, "{listed}");
    let pages = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let pages = pages.filter(|path| path.extension().is_some_and(|e| e == "md"));
    let book: String = pages.map(|path| read(&path)).collect();
    for model in models() {
        assert!(
            book.contains(&format!("`{}`", model.name)),
            "{}",
            model.name
        );
    }
}

#[test]
fn option_a_has_the_parameters_of_the_paper() {
    for (name, millions) in [
        ("resnet20_a", "0.27"),
        ("resnet32_a", "0.46"),
        ("resnet44_a", "0.66"),
        ("resnet56_a", "0.85"),
    ] {
        let cost = cost(&NetworkConfig::new(name, 10, 3), 32).unwrap();
        assert_eq!(format!("{:.2}", cost.parameters as f64 / 1e6), millions);
    }
    let cost = cost(&NetworkConfig::new("resnet110_a", 10, 3), 32).unwrap();
    assert_eq!(format!("{:.1}", cost.parameters as f64 / 1e6), "1.7");
}

#[test]
fn a_larger_image_costs_more_and_a_vanishing_one_is_an_error() {
    for model in models() {
        let config = NetworkConfig::new(model.name, 10, 1);
        // A multiple of every patch.
        let small = cost(&config, model.image_size).unwrap();
        let large = cost(&config, 2 * model.image_size).unwrap();
        assert!(small.macs < large.macs, "{}", model.name);
        assert_eq!(small.parameters, large.parameters);
        assert_eq!(small.bytes, large.bytes);
        assert!(matches!(cost(&config, 0), Err(Error::Config { .. })));
    }
    let message = cost(&NetworkConfig::new("vgg8", 10, 3), 4).unwrap_err();
    assert!(message.to_string().contains("image_size = 4"), "{message}");
}

#[test]
fn counts_of_zero_are_refused() {
    let device = burn::tensor::Device::flex();
    let error = Network::new(&NetworkConfig::new("resnet8", 0, 3), &device).unwrap_err();
    assert_eq!(error.to_string(), "classes = 0: at least 1");
    let error = Network::new(&NetworkConfig::new("resnet8", 10, 0), &device).unwrap_err();
    assert_eq!(error.to_string(), "channels = 0: at least 1");
}
