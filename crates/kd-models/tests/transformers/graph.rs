//! Networks on a graph of twelve nodes, from files with the names of their references.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};
use kd_core::{Output, Part, Taps};
use kd_goldens::{Comparison, uniform, write_weights};
use kd_models::{
    Backbone, Features, Graph, GraphConfig, GraphKind, GraphNetwork, Input, SparseFeatures,
};
use serde_json::Value;

use crate::{check, dims};

/// The graph that a case describes, with dense features or with sparse ones.
pub fn graph(salt: &str, described: &Value, sparse: bool, device: &Device) -> Graph {
    let features = &described["features"];
    let shape: [usize; 2] = dims(&features["shape"]).try_into().unwrap();
    let scale = features["scale"].as_f64().unwrap();
    let key = format!("{salt}{}", features["key"].as_str().unwrap());
    let values = uniform(&key, shape[0] * shape[1]).into_iter();
    let values: Vec<f32> = values.map(|u| (scale * u) as f32).collect();
    let features = match sparse {
        false => {
            let flat = Tensor::<1>::from_floats(values.as_slice(), device);
            Features::Dense(flat.reshape(shape))
        }
        true => {
            let entries = (0..values.len()).map(|entry| [entry / shape[1], entry % shape[1]]);
            let entries = entries.collect();
            Features::Sparse(SparseFeatures::new(entries, &values, shape, device).unwrap())
        }
    };
    let pairs: Vec<[usize; 2]> =
        serde_json::from_value(described["edges_undirected"].clone()).unwrap();
    let back = pairs.iter().map(|[a, b]| [*b, *a]);
    let edges: Vec<[usize; 2]> = pairs.iter().copied().chain(back).collect();
    Graph::new(features, &edges, device).unwrap()
}

/// The shape that a name and the shapes of weights say.
pub fn shape(name: &str, keys: &BTreeMap<String, Vec<usize>>) -> GraphConfig {
    let of = |key: &str| keys[key].clone();
    let (kind, first, second) = match name {
        "gcn_row" => (
            GraphKind::GcnRow,
            of("conv1.lin.weight"),
            of("conv2.lin.weight"),
        ),
        "gat" => (
            GraphKind::Gat(2),
            of("conv1.lin.weight"),
            of("conv2.lin.weight"),
        ),
        "sage_mean" => (
            GraphKind::Sage,
            of("conv1.lin_l.weight"),
            of("conv2.lin_l.weight"),
        ),
        "sage_gcn" => (
            GraphKind::SageGcn,
            of("layers.0.fc_neigh.weight"),
            of("layers.1.fc_neigh.weight"),
        ),
        "mlp" => (GraphKind::Mlp, of("layers.0.weight"), of("layers.1.weight")),
        _ => (
            GraphKind::Gcn,
            of("conv1.lin.weight"),
            of("conv2.lin.weight"),
        ),
    };
    let hidden = match kind {
        GraphKind::Gat(heads) => first[0] / heads,
        _ => first[0],
    };
    GraphConfig::new(kind, first[1], hidden, second[0])
}

pub fn network(salt: &str, case: &Value, found: &mut Comparison) {
    let (name, keys) = (case["name"].as_str().unwrap(), kd_goldens::keys(case));
    let device = Device::flex();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    write_weights(&path, salt, &keys);
    let network = GraphNetwork::new(&shape(name, &keys), &device).unwrap();
    let network = network.load(&path).unwrap();
    assert_eq!(network.parameters(), case["params"].as_u64().unwrap());
    for sparse in [false, true] {
        let graph = graph(salt, &case["graph"], sparse, &device);
        let output = network.forward(graph.clone(), &Taps::all());
        compare(case, &output, found);
        // All nodes in another order are the same nodes.
        let order: Vec<i64> = (0..graph.nodes() as i64).rev().collect();
        let order = Tensor::from_ints(order.as_slice(), &device);
        let turned = network.forward(graph.select(order.clone()), &Taps::none());
        let back = turned.logits.select(0, order);
        check("logits of another order", &case["logits"], &back, found);
    }
    let again = folder.path().join("again.safetensors");
    network.save(&again).unwrap();
    let read = |path| std::fs::read(path).unwrap();
    let (before, after) = (read(&path), read(&again));
    let [before, after] =
        [&before, &after].map(|bytes| safetensors::SafeTensors::deserialize(bytes).unwrap());
    assert_eq!(after.names().len(), keys.len());
    for key in keys.keys() {
        let same = before.tensor(key).unwrap().data() == after.tensor(key).unwrap().data();
        assert!(same, "{key}");
    }
}

fn compare(case: &Value, output: &Output, found: &mut Comparison) {
    check("logits", &case["logits"], &output.logits, found);
    let embedding = output.embedding().unwrap();
    check("hidden", &case["hidden"], &embedding, found);
    for (layer, want) in case["attentions"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
    {
        let attention: Tensor<2> = output.get(Part::Attentions, layer).unwrap();
        check(&format!("attention {layer}"), want, &attention, found);
    }
}
