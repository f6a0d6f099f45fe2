//! Graph networks on Cora: teachers, students alone, and what they learn from a teacher (GLNN, KD on all nodes, LSP, RKD
//! on some nodes).
//!
//! ```sh
//! cargo run --example cora -- FOLDER [SEEDS]
//! ```
//!
//! FOLDER has `cora.content`, `cora.cites` and `planetoid_split.json`. Each network is trained on the whole graph at once;
//! the validation nodes select the epoch, of which the test nodes' accuracy is told.

use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param, ParamGroup, ParamId};
use burn::optim::decay::WeightDecayConfig;
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use kd_core::{ObjectiveConfig, Output, Pair, Step, Taps, Targets, draw};
use kd_data::graph::{GraphSet, NodeSplit, SparseRows};
use kd_models::{
    Backbone, Features, Graph, GraphConfig, GraphKind, GraphNetwork, Input, SparseFeatures,
};
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;

/// The graph on both devices, and who is in which split.
struct Cora {
    graph: Graph,
    labels: Vec<u32>,
    split: NodeSplit,
    classes: usize,
}

impl Cora {
    fn read(folder: &Path) -> Result<Self, Failure> {
        let of = |name: &str| folder.join(name);
        let set = GraphSet::read(of("cora.content"), of("cora.cites"))?.normalised_rows();
        let split = NodeSplit::read(of("planetoid_split.json"), set.labels.len())?;
        let device = Device::flex();
        let SparseRows {
            rows,
            places,
            values,
            shape,
        } = &set.features;
        let entries = rows.iter().zip(places).map(|(row, place)| [*row, *place]);
        let features = SparseFeatures::new(entries.collect(), values, *shape, &device)?;
        Ok(Self {
            graph: Graph::new(Features::Sparse(features), &set.edges, &device)?,
            labels: set.labels,
            split,
            classes: set.classes.len(),
        })
    }

    /// The classes of all nodes, of which those of the training nodes may be learned from.
    fn targets(&self, device: &Device) -> Targets {
        let count = self.labels.len();
        let labels: Vec<i64> = self.labels.iter().map(|label| i64::from(*label)).collect();
        let mut labelled = vec![false; count];
        self.split
            .train
            .iter()
            .for_each(|node| labelled[*node] = true);
        let labelled = Tensor::<1, Bool>::from_data(TensorData::new(labelled, [count]), device);
        Targets::some_labels(Tensor::from_ints(labels.as_slice(), device), labelled)
    }

    /// Percent of nodes whose class is found.
    fn accuracy(&self, found: &[i64], nodes: &[usize]) -> f64 {
        let right = nodes
            .iter()
            .filter(|node| found[**node] == i64::from(self.labels[**node]));
        100.0 * right.count() as f64 / nodes.len() as f64
    }
}

/// How a network is trained.
struct Plan {
    kind: GraphKind,
    hidden: usize,
    dropout: f64,
    epochs: usize,
    rate: f64,
    /// L2, of the first layer only or of all.
    decay: f32,
    first_only: bool,
    objective: Value,
}

fn labels() -> Value {
    json!({ "cross_entropy": { "weight": 1.0 } })
}

impl Plan {
    fn gcn(hidden: usize, objective: Value) -> Self {
        Self {
            kind: GraphKind::Gcn,
            hidden,
            dropout: 0.5,
            epochs: 200,
            rate: 0.01,
            decay: 5e-4,
            first_only: true,
            objective,
        }
    }

    fn sage() -> Self {
        Self {
            kind: GraphKind::Sage,
            first_only: false,
            ..Self::gcn(16, labels())
        }
    }

    fn gat() -> Self {
        Self {
            kind: GraphKind::Gat(8),
            dropout: 0.6,
            rate: 0.005,
            first_only: false,
            ..Self::gcn(8, labels())
        }
    }

    fn mlp(epochs: usize, decay: f32, objective: Value) -> Self {
        Self {
            kind: GraphKind::Mlp,
            dropout: 0.6,
            epochs,
            decay,
            first_only: false,
            ..Self::gcn(128, objective)
        }
    }

    fn optimizer(&self, network: &GraphNetwork) -> ModuleOptimizer {
        #[derive(Default)]
        struct Others {
            path: Vec<String>,
            ids: Vec<ParamId>,
        }
        impl ModuleVisitor for Others {
            fn enter_module(&mut self, name: &str, _: &str) {
                self.path.push(name.into());
            }
            fn exit_module(&mut self, _: &str, _: &str) {
                self.path.pop();
            }
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                if !self.path.iter().any(|name| name == "0") {
                    self.ids.push(param.id);
                }
            }
        }
        let adam = AdamConfig::new()
            .with_beta_1(0.9)
            .with_beta_2(0.999)
            .with_epsilon(1e-8);
        let decay = (self.decay > 0.0).then(|| WeightDecayConfig::new(self.decay));
        let decays = adam.clone().with_weight_decay(decay).init();
        if !self.first_only {
            return decays;
        }
        let mut others = Others::default();
        network.visit(&mut others);
        decays.with_group(ParamGroup::from_ids(others.ids), adam.build(), None)
    }

    /// Test accuracy at the epoch of the best validation accuracy, and what the network shows there.
    fn train(
        &self,
        cora: &Cora,
        teacher: Option<&Output>,
        seed: u64,
    ) -> Result<(f64, Output), Failure> {
        let device = Device::flex().autodiff();
        draw::seed(seed);
        device.seed(seed);
        let [_, features] = cora.graph.features().shape();
        let shape = GraphConfig {
            dropout: self.dropout,
            ..GraphConfig::new(self.kind, features, self.hidden, cora.classes)
        };
        let mut network = GraphNetwork::new(&shape, &device)?;
        let mut optimizer = self.optimizer(&network);
        let (graph, targets) = (cora.graph.clone().lift(), cora.targets(&device));
        let teacher = teacher.map(|teacher| teacher.clone().lift());
        let config: ObjectiveConfig = serde_json::from_value(self.objective.clone())?;
        let dry = network.forward(graph.clone(), &Taps::all());
        let objective = config.init(&dry, teacher.as_ref(), &device)?;
        let taps = objective.taps().student;
        let mut best: Option<(f64, f64, Output)> = None;
        for epoch in 1..=self.epochs {
            let shown = network.forward(graph.clone(), &taps);
            let pair = Pair {
                student: &shown,
                teacher: teacher.as_ref(),
                targets: &targets,
                indices: None,
            };
            let step = Step {
                epoch,
                epochs: self.epochs,
                index: epoch - 1,
            };
            let gradients = objective.forward(&pair, &step)?.total.backward();
            let gradients = GradientsParams::from_grads(gradients, &network);
            network = optimizer.step(self.rate, network, gradients);
            let shown = network.valid().forward(cora.graph.clone(), &Taps::all());
            let found: Tensor<1, Int> = shown.logits.clone().argmax(1).squeeze_dim(1);
            let found: Vec<i64> = found.into_data().iter().collect();
            let validation = cora.accuracy(&found, &cora.split.validation);
            if best.as_ref().is_none_or(|(most, ..)| validation > *most) {
                best = Some((validation, cora.accuracy(&found, &cora.split.test), shown));
            }
        }
        let (_, test, shown) = best.ok_or("no epoch was trained")?;
        Ok((test, shown))
    }
}

/// Runs the example.
pub fn main() -> Result<(), Failure> {
    kd_kernels::keep_freed_memory();
    let mut arguments = std::env::args().skip(1);
    let folder = arguments
        .next()
        .ok_or("name the folder with cora.content, cora.cites and planetoid_split.json")?;
    let seeds: u64 = arguments.next().map_or(Ok(5), |seeds| seeds.parse())?;
    let cora = Cora::read(Path::new(&folder))?;
    let kd = json!({ "kd": { "weight": 1.0, "temperature": 1.0 } });
    let both =
        json!({ "cross_entropy": { "weight": 1.0 }, "kd": { "weight": 1.0, "temperature": 1.0 } });
    let lsp = json!({ "cross_entropy": { "weight": 1.0 }, "lsp": { "weight": 10.0 } });
    let rkd =
        json!({ "cross_entropy": { "weight": 1.0 }, "rkd": { "weight": 0.1, "samples": 128 } });
    // Name, plan, and whether the GCN of the same seed teaches it.
    let rows = [
        ("GCN 16", Plan::gcn(16, labels()), false),
        ("GraphSAGE 16", Plan::sage(), false),
        ("GAT 8 x 8", Plan::gat(), false),
        ("MLP 128 alone", Plan::mlp(100, 5e-3, labels()), false),
        ("GLNN: MLP 128 <- GCN 16", Plan::mlp(150, 0.0, kd), true),
        ("GCN 8 alone", Plan::gcn(8, labels()), false),
        ("GCN 8, KD on all nodes", Plan::gcn(8, both), true),
        ("GCN 8, LSP", Plan::gcn(8, lsp), true),
        ("GCN 8, RKD on 128 nodes", Plan::gcn(8, rkd), true),
    ];
    let mut found = vec![Vec::new(); rows.len()];
    for seed in 1..=seeds {
        let (accuracy, teacher) = rows[0].1.train(&cora, None, seed)?;
        found[0].push(accuracy);
        for ((_, plan, taught), found) in rows.iter().zip(&mut found).skip(1) {
            let (accuracy, _) = plan.train(&cora, taught.then_some(&teacher), seed)?;
            found.push(accuracy);
        }
    }
    println!("| network | test accuracy %, {seeds} seeds |\n| --- | ---: |");
    for ((name, ..), found) in rows.iter().zip(found) {
        let mean = found.iter().sum::<f64>() / found.len() as f64;
        let squares: f64 = found.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = (squares / (found.len().max(2) - 1) as f64).sqrt();
        println!("| {name} | {mean:.2} ± {deviation:.2} |");
    }
    Ok(())
}
