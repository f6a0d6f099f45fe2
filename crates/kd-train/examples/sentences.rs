//! How alike sentences are, by a network of a Hugging Face folder such as all-MiniLM-L6-v2.
//!
//! ```sh
//! cargo run --example sentences -- FOLDER "A man eats." "Someone has a meal." "The sky is blue."
//! ```

use burn::tensor::{Bool, Device, Tensor, TensorData};
use kd_data::text::WordPiece;
use kd_models::{TextConfig, TextNetwork, TokenBatch};

/// Runs the example.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments
        .next()
        .ok_or("name a folder of the Hugging Face hub")?;
    let texts: Vec<String> = arguments.collect();
    if texts.is_empty() {
        return Err("name sentences to compare".into());
    }
    let device = Device::flex();
    let tokenizer = WordPiece::read(&folder)?;
    let shape = TextConfig::of_folder(&folder)?;
    // Vectors of sentences need no classifier.
    let network = TextNetwork::from_backbone_file(&shape, &folder, &device)?;

    let ids: Vec<Vec<u32>> = texts
        .iter()
        .map(|text| tokenizer.encode(text, 256))
        .collect();
    let longest = ids.iter().map(Vec::len).max().unwrap_or(0);
    let padded = |ids: &Vec<u32>| {
        let mut ids: Vec<i64> = ids.iter().map(|id| i64::from(*id)).collect();
        ids.resize(longest, i64::from(tokenizer.padding()));
        ids
    };
    let words: Vec<i64> = ids.iter().flat_map(padded).collect();
    let real = |ids: &Vec<u32>| (0..longest).map(|at| at < ids.len()).collect::<Vec<_>>();
    let mask: Vec<bool> = ids.iter().flat_map(real).collect();
    let shape = [texts.len(), longest];
    let batch = TokenBatch::new(
        Tensor::from_data(TensorData::new(words, shape), &device),
        Tensor::<2, Bool>::from_data(TensorData::new(mask, shape), &device),
    );
    let vectors = network.sentences(batch);
    let alike = vectors.clone().matmul(vectors.transpose());
    let alike: Vec<f32> = alike.into_data().iter().collect();
    for (row, text) in alike.chunks(texts.len()).zip(&texts) {
        let row: Vec<String> = row.iter().map(|value| format!("{value:.4}")).collect();
        println!("{}  {text}", row.join(" "));
    }
    Ok(())
}
