//! Serving a student without us: rten reads the file, and nothing here is C.
//!
//! `cargo run -p kd-export --example serve_rten -- student.onnx` classifies an image of zeros; a program of yours puts
//! pixels there, `[1, channels, height, width]`, normalised as the file's metadata say.

use rten::{Dimension, Model, Value};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args().nth(1).ok_or("which file? student.onnx")?;
    let model = Model::load_file(&file)?;
    let input = model
        .node_info(model.input_ids()[0])
        .ok_or("the file has no input")?;
    let shape = input.shape().ok_or("the input has no shape")?;
    // The number of images is free, and here 1.
    let sizes = shape.iter().map(|size| match size {
        Dimension::Fixed(size) => *size,
        Dimension::Symbolic(_) => 1,
    });
    let sizes: [usize; 4] = sizes
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| "not for images")?;
    let image = vec![0.0_f32; sizes.iter().product()];
    let logits = model.run_one(Value::from_shape(sizes, image)?.into(), None)?;
    let (_, logits) = logits.into_shape_vec::<f32, 2>()?;
    let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    let (class, logit) = best.ok_or("the file gives no classes")?;
    println!(
        "class {class} with the logit {logit:.3} of {}",
        logits.len()
    );
    Ok(())
}
