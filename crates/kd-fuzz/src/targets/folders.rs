//! Folders of weights: what describes them, and what names their parts.

use burn::tensor::Device;
use kd_models::{Error, Network, NetworkConfig, WeightsHeader};

use super::{Seed, Target, text};
use crate::Scratch;

/// A file with one tensor.
fn part() -> Vec<u8> {
    let header = br#"{"fc.bias":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let length = (header.len() as u64).to_le_bytes();
    [&length[..], header, &[0; 4]].concat()
}

pub(super) fn described() -> Target {
    fn run(scratch: &Scratch, bytes: &[u8]) -> Result<(), String> {
        scratch.once("described/model.safetensors", part);
        scratch.file("described/config.json", bytes);
        scratch.file("described/preprocessor_config.json", bytes);
        let header = WeightsHeader::read(scratch.folder("described"));
        header.map(|header| drop(header.entries())).map_err(text)
    }
    let timm = r#"{"architecture":"resnet18.a1_in1k","num_classes":2,"label_names":["cat","dog"],"pretrained_cfg":
        {"input_size":[3,224,224],"interpolation":"bicubic","crop_pct":0.95,"mean":[0.5,0.5,0.5],"std":[0.2,0.2,0.2]}}"#;
    let transformers = r#"{"architectures":["ViTForImageClassification"],"id2label":{"0":"cat","1":"dog"},"image_size":
        224,"num_channels":3,"do_normalize":true,"do_rescale":true,"rescale_factor":0.00392,"image_mean":[0.5,0.5,0.5],
        "image_std":[0.5,0.5,0.5],"size":{"height":224,"width":224},"crop_size":{"shortest_edge":224},"resample":2}"#;
    Target {
        name: "described",
        run,
        seeds: vec![Seed::plain(timm), Seed::plain(transformers)],
        words: &[
            b"\"size\":",
            b"\"num_channels\":",
            b"\"do_normalize\":false",
            b"\"do_rescale\":false",
            b"\"shortest_edge\":",
            b"null",
            b"1e300",
            b"18446744073709551615",
        ],
        allowance: 4 << 20,
        multiple: 1000,
    }
}

pub(super) fn index() -> Target {
    fn run(scratch: &Scratch, bytes: &[u8]) -> Result<(), String> {
        scratch.once("index/1.safetensors", part);
        scratch.file("index/model.safetensors.index.json", bytes);
        let config = NetworkConfig::new("resnet8", 10, 1);
        match Network::from_file(&config, scratch.folder("index"), &Device::flex()) {
            // It was read, and is another network's.
            Ok(_) | Err(Error::Mismatch(_)) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }
    Target {
        name: "index",
        run,
        seeds: vec![Seed::plain(
            r#"{"metadata":{"total_size":4},"weight_map":{"fc.bias":"1.safetensors"}}"#,
        )],
        words: &[
            b"\"weight_map\":",
            b"1.safetensors",
            b"../1.safetensors",
            b"/",
            b"fc.bias",
            b"model.safetensors.index.json",
        ],
        allowance: 8 << 20,
        multiple: 2048,
    }
}
