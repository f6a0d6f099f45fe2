//! The page in a folder: what is in it, and how it is loaded.

use serde_json::Value;

use super::{Export, FolderFormat};
use crate::elsewhere::Elsewhere;

pub(super) fn text(export: &Export<'_>) -> String {
    let config = &export.network.config;
    let (channels, size) = (export.channels, export.size);
    let mut text = format!(
        "# {}\n\nWeights for {} classes and images of {channels}x{size}x{size}",
        config.model, config.classes
    );
    match (&export.header.mean, &export.header.std) {
        (Some(mean), Some(std)) => text.push_str(&format!(
            ": pixels of 0 to 1, less the mean {mean:?}, over the standard deviation {std:?}.\n"
        )),
        _ => text.push_str(". How images were normalised is not known.\n"),
    }
    if let Some(names) = &export.header.class_names {
        text.push_str(&format!("\nClasses, from 0: {}.\n", names.join(", ")));
    }
    let lines = lines(export).join("\n");
    text.push_str(&format!("\n```python\n{lines}\n```\n"));
    text
}

/// The lines of Python that load the network.
fn lines(export: &Export<'_>) -> Vec<String> {
    let classes = export.network.config.classes;
    let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
    match (export.format, &export.elsewhere) {
        (FolderFormat::HuggingFace, Some(network)) => vec![
            format!("from transformers import {}", network.name),
            format!(
                "network = {}.from_pretrained(\"path/of/this/folder\").eval()",
                network.name
            ),
        ],
        (FolderFormat::Timm, Some(_)) => lines(&[
            "import timm",
            "network = timm.create_model(\"local-dir:path/of/this/folder\", pretrained=True).eval()",
        ]),
        (FolderFormat::Torchvision, Some(network)) => vec![
            "import safetensors.torch, torchvision".into(),
            format!(
                "network = torchvision.models.{}({}num_classes={classes}).eval()",
                network.name,
                arguments(network)
            ),
            "network.load_state_dict(safetensors.torch.load_file(\"model.safetensors\"))".into(),
        ],
        _ => lines(&[
            "import safetensors.torch",
            "tensors = safetensors.torch.load_file(\"model.safetensors\")  # by PyTorch's names",
        ]),
    }
}

fn arguments(network: &Elsewhere) -> String {
    let each = network.arguments.iter();
    each.map(|(key, value): (&String, &Value)| format!("{key}={value}, "))
        .collect()
}
