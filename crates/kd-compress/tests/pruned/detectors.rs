//! Detectors of one stage, whose boxes and scores are one tensor. Those of two stages choose boxes while they run, which no
//! recording of one image holds.

use burn::tensor::{Device, Distribution, Tensor};
use kd_compress::prune::{
    Criterion, Options, Ranking, Scope, Score, Structure, cut, masked, parameters, plan,
};
use kd_export::trace::trace_module;
use kd_models::detection::Detector;

pub fn masked_is_pruned() {
    for (name, size) in [
        ("ssd300_vgg16_eighth", 300),
        ("ssd300_resnet18_quarter", 300),
        ("ssd300_mobilenet_v2", 300),
        ("ssdlite320_mobilenet_v3_large", 320),
        ("retinanet_resnet18_quarter_fpn_small", 160),
    ] {
        kd_core::draw::seed(5);
        let network = Detector::new(name, 4, &Device::flex()).expect("a detector");
        let forward = |network: &Detector, images: Tensor<4>| {
            network.boxes_and_scores(images).expect("boxes")
        };
        let graph = trace_module(&network, [1, 3, size, size], forward).expect("a graph");
        let structure = Structure::of(&graph, &Options::default());
        let rename = |path: &str| path.to_owned();
        let values = parameters(&network, &rename);
        let score = Score::by(Criterion::Random { seed: 3 });
        let ranking = Ranking::new(Scope::Local);
        let plan = plan(&structure, &values, &score, &ranking, 0.3, |_, _| None);
        let plan = plan.expect("a plan");
        let (before, after) = (structure.cost(), plan.cost(&structure).expect("a cost"));
        assert!(
            4 * after.macs < 3 * before.macs,
            "{name}: {before:?} {after:?}"
        );
        let removed = plan.removed(&structure).expect("units");
        let pruned = cut(&network, &plan.cuts(&structure).expect("cuts"), &rename);
        let off = masked(&network, &structure, &removed, &rename);
        let shape = [1, 3, size, size];
        let images = Tensor::random(shape, Distribution::Uniform(0.0, 1.0), &Device::flex());
        let [one, other] = [&pruned, &off].map(|network| forward(network, images.clone()));
        let scale: f32 = other.clone().abs().max().into_scalar();
        let difference: f32 = (one - other).abs().max().into_scalar();
        eprintln!("{name}: {difference:e} of {scale}");
        assert!(difference < 1e-4 * scale, "{name}: {difference} of {scale}");
    }
}
