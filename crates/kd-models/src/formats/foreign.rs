//! Weights of other programs: what they are, and what to do with them.

use std::fmt;
use std::path::Path;

/// A format that is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Foreign {
    /// A folder of TensorFlow with a graph and its variables.
    SavedModel,
    /// A checkpoint of TensorFlow.
    TensorFlowCheckpoint,
    /// A model for TensorFlow Lite.
    TfLite,
    /// A file of Keras.
    Keras,
    /// A checkpoint of Orbax, which JAX programs write.
    Orbax,
    /// A file of Flax.
    Flax,
    /// A file of llama.cpp.
    Gguf,
    /// A graph for other runtimes.
    Onnx,
    /// Arrays of NumPy.
    NumPy,
    /// A program that PyTorch exported in the first format of `.pt2`.
    OldExported,
}

/// What a file is by its first bytes and its name; none when it may be one that is read.
pub(crate) fn of_file(path: &Path, start: &[u8]) -> Option<Foreign> {
    let named = |end: &str| {
        path.extension()
            .is_some_and(|e| e.eq_ignore_ascii_case(end))
    };
    let begins = |mark: &[u8]| start.starts_with(mark);
    // A small map whose first key is a short text.
    let map = matches!(
        start,
        [0x81..=0x8f, 0xa1..=0xbf, ..] | [0xde, _, _, 0xa1..=0xbf, ..]
    );
    let found = if begins(b"GGUF") {
        Foreign::Gguf
    } else if start.get(4..8) == Some(b"TFL3") {
        Foreign::TfLite
    } else if begins(b"\x89HDF\r\n\x1a\n") {
        Foreign::Keras
    } else if begins(b"\x93NUMPY") {
        Foreign::NumPy
    } else if named("msgpack") || map {
        Foreign::Flax
    } else if named("onnx") || matches!(start, [0x08, 1..=20, 0x12, ..]) {
        Foreign::Onnx
    } else if path
        .file_name()
        .is_some_and(|name| name == "saved_model.pb")
    {
        Foreign::SavedModel
    } else if named("index") || path.to_string_lossy().contains(".ckpt.data-") {
        Foreign::TensorFlowCheckpoint
    } else {
        return None;
    };
    Some(found)
}

/// What a folder is by the names in it; none when it may be one that is read.
pub(crate) fn of_folder(names: &[String]) -> Option<Foreign> {
    let has = |name: &str| names.iter().any(|n| n == name);
    let any = |end: &str| names.iter().any(|n| n.ends_with(end));
    if has("saved_model.pb") || has("saved_model.pbtxt") || has("keras_metadata.pb") {
        Some(Foreign::SavedModel)
    } else if has("_CHECKPOINT_METADATA") || has("manifest.ocdbt") || has("_METADATA") {
        Some(Foreign::Orbax)
    } else if has("checkpoint") && any(".index") {
        Some(Foreign::TensorFlowCheckpoint)
    } else if any(".msgpack") {
        Some(Foreign::Flax)
    } else if any(".gguf") {
        Some(Foreign::Gguf)
    } else if any(".onnx") {
        Some(Foreign::Onnx)
    } else if any(".tflite") {
        Some(Foreign::TfLite)
    } else if any(".keras") || any(".h5") {
        Some(Foreign::Keras)
    } else {
        None
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SAVE: &str = "with the names and shapes of PyTorch's network of the same architecture, and save them \
                            with safetensors.torch.save_file";
        let (what, cure) = match self {
            Self::SavedModel => (
                "a SavedModel of TensorFlow, whose names need its graph",
                "load it in TensorFlow, write its variables",
            ),
            Self::TensorFlowCheckpoint => (
                "a checkpoint of TensorFlow",
                "read it with tf.train.load_checkpoint, write its variables",
            ),
            Self::TfLite => (
                "a model for TensorFlow Lite, in which normalisation is folded into the convolutions and values are \
                 often quantised, so that it cannot be trained further",
                "take the model that it was converted from: write its variables",
            ),
            Self::Keras => {
                return f.write_str(
                    "of Keras, whose files .keras and .h5 are read where `keras` is among the features: name the file",
                );
            }
            Self::Orbax => (
                "a checkpoint of Orbax",
                "restore it with orbax.checkpoint, write its parameters (kernels [height, width, in, out] become \
                 [out, in, height, width], those of dense layers are transposed)",
            ),
            Self::Flax => {
                return f.write_str("of Flax, whose files .msgpack are read: name the file");
            }
            Self::Gguf => (
                "a file of llama.cpp (GGUF), which holds language models",
                "take the files that it was converted from; of a network of images write the tensors",
            ),
            Self::Onnx => (
                "a graph of ONNX, in which names are often lost and normalisation is folded into the convolutions",
                "take the weights that it was exported from, or write its initializers",
            ),
            Self::NumPy => (
                "an archive of NumPy",
                "read it with numpy.load, write its arrays",
            ),
            Self::OldExported => {
                return f.write_str(
                    "a program that PyTorch exported in the first format of `.pt2`: load it with torch.export.load and save its weights, \
                     torch.save(program.state_dict, \"weights.pth\")",
                );
            }
        };
        write!(f, "{what}: {cure} {SAVE}")
    }
}
