//! Networks of programs whose files hold layers with arrays of their own layout: Keras and Flax.
//!
//! | file | what |
//! | --- | --- |
//! | `config` | What a file says of its layers. |
//! | `layout` | An array as PyTorch has it. |
//! | `names` | The names of `keras.applications`, and those of a user's own file. |
//! | `said` | What goes with the tensors. |

#![cfg_attr(
    not(feature = "keras"),
    allow(dead_code, reason = "only files of Keras say what their layers are")
)]

mod config;
mod layout;
mod names;
mod said;

use burn::store::burn_pack::Tensor as Stored;
use burn::tensor::{Bytes, DType, Shape};

pub(crate) use self::config::Config;
pub(crate) use self::layout::Array;
pub(crate) use self::names::Names;
pub(crate) use self::said::Said;
use super::Tensors;
use crate::variant::Variant;

/// What a layer is, as far as its arrays need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    BatchNormalization,
    Depthwise,
    /// A convolution, a dense layer, or one of a kind that the file does not tell.
    Other,
}

/// A layer with arrays, by their names in Keras or by their places, `0`, `1`, ...
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub name: String,
    pub kind: Kind,
    pub arrays: Vec<(String, Array)>,
}

/// The tensors of layers under the names of PyTorch's network, and what its network does otherwise. `epsilon` is what
/// the program adds to variances unless it is told otherwise.
///
/// # Errors
/// What is wrong with them.
pub(crate) fn tensors(
    layers: &[Layer],
    config: &Config,
    names: &Names,
    epsilon: f64,
) -> Result<(Tensors, Said), String> {
    let mut arrays = Vec::new();
    for layer in layers {
        let Some(module) = names.module(&layer.name)? else {
            continue;
        };
        for (parameter, mut array) in layout::parameters(layer, config.of(&layer.name))? {
            if let Some(map) = names.flattened(&layer.name) {
                array = array.rows_from_channels_last(map)?;
            }
            arrays.push((format!("{module}.{parameter}"), array));
        }
    }
    let arrays = folded(arrays)?;
    let mut tensors = Tensors::new();
    for (name, array) in arrays {
        let twice = tensors.insert(name.clone(), stored(name.clone(), array));
        if twice.is_some() {
            return Err(format!("two of its layers are named `{name}`"));
        }
    }
    let normalised = tensors.keys().any(|name| name.ends_with(".running_var"));
    let epsilon = config.epsilon()?.or(names.epsilon).unwrap_or(epsilon);
    let said = Said {
        epsilon: normalised.then_some(epsilon),
        variant: Variant {
            same_padding: config.same_padding().unwrap_or(names.variant.same_padding),
            ..names.variant
        },
    };
    Ok((tensors, said))
}

fn stored(name: String, array: Array) -> Stored {
    let bytes: Vec<u8> = array.values.iter().flat_map(|v| v.to_ne_bytes()).collect();
    let bytes = Bytes::from_bytes_vec(bytes);
    Stored::new(name, DType::F32, Shape::from(array.shape), None, bytes)
}

/// Without the biases of convolutions before a normalisation, which a ResNet does not have in PyTorch: what is
/// normalised less its running mean is the same when both are less by the bias.
fn folded(arrays: Vec<(String, Array)>) -> Result<Vec<(String, Array)>, String> {
    let (biases, mut others): (Vec<_>, Vec<_>) = arrays
        .into_iter()
        .partition(|(name, _)| mean_of(name).is_some());
    for (name, bias) in biases {
        let mean = mean_of(&name).unwrap_or_default();
        let found = others.iter_mut().find(|(name, _)| *name == mean);
        let Some((_, mean)) = found else {
            others.push((name, bias));
            continue;
        };
        if mean.values.len() != bias.values.len() {
            return Err(format!("`{name}` has another length than the running mean"));
        }
        for (mean, bias) in mean.values.iter_mut().zip(&bias.values) {
            *mean -= bias;
        }
    }
    Ok(others)
}

/// The running mean behind a convolution of a ResNet, whose bias this is.
fn mean_of(name: &str) -> Option<String> {
    let layer = name.strip_suffix(".bias")?;
    let (before, last) = match layer.rsplit_once('.') {
        Some((before, last)) => (format!("{before}."), last),
        None => (String::new(), layer),
    };
    let norm = match last.strip_prefix("conv") {
        Some(number) => format!("bn{number}"),
        None if before.ends_with("downsample.") && last == "0" => "1".into(),
        None => return None,
    };
    Some(format!("{before}{norm}.running_mean"))
}
