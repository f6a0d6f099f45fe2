//! A network of your own loses half of its multiply-accumulates, and its weights are put on 8-bit grids.
//!
//! `cargo run -p kd-compress --example own_network`

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Distribution, Tensor};
use kd_compress::prune::{
    Criterion, Goal, Options, Ranking, Scope, Score, Structure, cut, filled, masked, parameters,
    plan_for,
};
use kd_compress::quantise::{Grid, Levels};
use kd_export::trace::trace_module;

/// Two branches that are concatenated, shuffled and flattened.
#[derive(Module, Debug)]
struct Own {
    stem: Conv2d,
    left: Conv2d,
    right: Conv2d,
    hidden: Linear,
    classifier: Linear,
}

impl Own {
    fn new(device: &Device) -> Self {
        let same = |channels: [usize; 2]| {
            let padding = PaddingConfig2d::Explicit(1, 1, 1, 1);
            Conv2dConfig::new(channels, [3, 3])
                .with_padding(padding)
                .init(device)
        };
        Self {
            stem: same([3, 16]),
            left: same([16, 16]),
            right: same([16, 16]),
            hidden: LinearConfig::new(32 * 4 * 4, 64).init(device),
            classifier: LinearConfig::new(64, 10).init(device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let x = relu(self.stem.forward(x));
        let branches = vec![
            relu(self.left.forward(x.clone())),
            relu(self.right.forward(x)),
        ];
        let x = Tensor::cat(branches, 1);
        let [batch, channels, height, width] = x.dims();
        let x = x
            .reshape([batch, 2, channels / 2, height, width])
            .swap_dims(1, 2);
        let x = x.reshape([batch, channels * height * width]);
        self.classifier.forward(relu(self.hidden.forward(x)))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::default();
    let network = Own::new(&device);
    let shape = [1, 3, 4, 4];
    let graph = trace_module(&network, shape, Own::forward)?;
    let structure = Structure::of(&graph, &Options::default());
    for group in &structure.groups {
        println!(
            "{}: {} units of {} layers' axes",
            group.name(),
            group.len(),
            group.members.len()
        );
    }

    let rename = |path: &str| path.to_owned();
    let values = parameters(&network, &rename);
    let score = Score::by(Criterion::Magnitude { power: 2 });
    let ranking = Ranking::new(Scope::Global);
    let plan = plan_for(
        &structure,
        &values,
        &score,
        &ranking,
        Goal::Macs(0.5),
        |_, _| None,
    )?;
    let pruned = cut(&network, &plan.cuts(&structure)?, &rename);
    println!("{:?} became {:?}", structure.cost(), plan.cost(&structure)?);

    // The same channels switched off compute the same.
    let off = masked(&network, &structure, &plan.removed(&structure)?, &rename);
    let images = Tensor::random([8, 3, 4, 4], Distribution::Default, &device);
    let logits = [&pruned, &off].map(|network| network.forward(images.clone()));
    let [one, other] = logits.clone();
    let difference: f32 = (one - other).abs().max().into_scalar();
    println!("masked and pruned differ by {difference:e}");
    assert!(difference < 1e-4);

    // A grid for each output channel of every weight: a linear layer's outputs are its last axis.
    let mut rounded = parameters(&pruned, &rename);
    for (name, array) in rounded
        .iter_mut()
        .filter(|(_, array)| array.shape.len() > 1)
    {
        let linear = structure.is_linear(name);
        let inner: usize = if linear {
            1
        } else {
            array.shape[1..].iter().product()
        };
        let count = if linear {
            array.shape[1]
        } else {
            array.shape[0]
        };
        for channel in 0..count {
            let own = |place: usize| place / inner % count == channel;
            let values = array
                .values
                .iter()
                .enumerate()
                .filter(|(place, _)| own(*place));
            let largest = values.fold(0.0_f64, |most, (_, value)| most.max(value.abs())) as f32;
            let grid = Grid::symmetric(-largest, largest, Levels::INT8_NARROW);
            for (place, value) in array.values.iter_mut().enumerate() {
                if own(place) {
                    *value = f64::from(grid.snap(*value as f32));
                }
            }
        }
    }
    let [one, _] = logits;
    let error = filled(&pruned, &rounded, &rename).forward(images) - one.clone();
    let share: f32 = (error.abs().mean() / one.abs().mean()).into_scalar();
    println!("8-bit weights change logits by {:.2} %", 100.0 * share);
    assert!(share < 0.05);
    Ok(())
}
