//! Networks that read text.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use kd_core::{Taps, draw};
use kd_export::{Normalisation, Options, Output, export_text};
use kd_models::{Backbone, TextConfig, TextNetwork, TokenBatch};

use crate::{Moved, near};

const TOKENS: usize = 9;
/// Sequences of a full length, of some words, and of one.
const LENGTHS: [usize; 3] = [TOKENS, 4, 1];

fn network(config: TextConfig) -> TextNetwork {
    draw::seed(5);
    let config = TextConfig {
        vocabulary: 50,
        positions: 12,
        ..config
    };
    let network = TextNetwork::new(&config, &Device::flex()).unwrap();
    network.map(&mut Moved)
}

/// Numbers of words, of which 0 is padding.
fn ids() -> Vec<i32> {
    let places = (0..LENGTHS.len() * TOKENS).map(|place| (place / TOKENS, place % TOKENS));
    let ids = places.map(|(sequence, token)| match token < LENGTHS[sequence] {
        true => ((7 * sequence + 13 * token) % 49 + 1) as i32,
        false => 0,
    });
    ids.collect()
}

#[test]
fn a_runtime_reads_numbers_of_words_and_sees_no_padding() {
    for config in [TextConfig::bert(24, 2, 4), TextConfig::distilbert(24, 2, 4)] {
        let name = config.to_string();
        let network = network(config);
        for output in [Output::Logits, Output::Probabilities] {
            let options = Options {
                output,
                ..Options::default()
            };
            let onnx = export_text(&network, TOKENS, &options).unwrap();
            assert!(onnx.operations().contains_key("Gather"), "{name}");
            let model = rten::Model::load(onnx.bytes()).unwrap();
            let shape = [LENGTHS.len(), TOKENS];
            let input = rten::Value::from_shape(shape, ids()).unwrap();
            let found = model.run_one(input.into(), None).unwrap();
            let ([rows, classes], found) = found.into_shape_vec::<f32, 2>().unwrap();
            assert_eq!([rows, classes], [3, 2], "{name}");
            for (sequence, length) in LENGTHS.into_iter().enumerate() {
                // Without the padding, which the file was given.
                let words = ids()[sequence * TOKENS..][..length].to_vec();
                let words = TensorData::new(words, [1, length]).convert::<i64>();
                let words = Tensor::<2, Int>::from_data(words, &Device::flex());
                let mask = words.clone().greater_elem(0);
                let logits = network.forward(TokenBatch::new(words, mask), &Taps::none());
                let wanted = match output {
                    Output::Logits => logits.logits,
                    Output::Probabilities => burn::tensor::activation::softmax(logits.logits, 1),
                };
                let wanted: Vec<f32> = wanted.into_data().iter().collect();
                near(&name, &found[2 * sequence..][..2], &wanted, 2e-5);
            }
        }
    }
}

#[test]
fn what_a_text_network_cannot_do_is_said() {
    let network = network(TextConfig::bert(24, 1, 4));
    let says = |tokens, options: Options| {
        let problem = export_text(&network, tokens, &options).err().unwrap();
        problem.to_string()
    };
    let fine = Options::default();
    for tokens in [0, 13] {
        let said = says(tokens, fine.clone());
        assert!(said.contains("positions for 1 to 12"), "{said}");
    }
    let float16 = Options {
        float16: true,
        ..fine.clone()
    };
    assert!(says(5, float16).contains("float16"));
    let normalise = Options {
        normalise: Some(Normalisation {
            mean: vec![0.0],
            std: vec![1.0],
        }),
        ..fine
    };
    assert!(says(5, normalise).contains("text has no pixels"));
}
