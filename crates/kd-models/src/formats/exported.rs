//! Programs that `torch.export.save` wrote (`.pt2`): weights as raw storages, described in JSON.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Tensors;
use super::archive::Archive;
use super::view::{View, of_number};

#[derive(Deserialize)]
struct Weights {
    config: BTreeMap<String, Weight>,
}

#[derive(Deserialize)]
struct Weight {
    path_name: String,
    #[serde(default)]
    use_pickle: bool,
    tensor_meta: Option<Meta>,
}

#[derive(Deserialize)]
struct Meta {
    dtype: u32,
    sizes: Vec<Size>,
    strides: Vec<Size>,
    storage_offset: Size,
}

/// A number that may be a symbol in an exported program, but not in its weights.
#[derive(Deserialize)]
struct Size {
    as_int: Option<usize>,
}

/// The weights of an exported program by their names in the state dict.
pub(super) fn tensors(archive: &mut Archive) -> Result<Tensors, String> {
    let text = archive.text("data/weights/model_weights_config.json")?;
    let weights: Weights = serde_json::from_slice(&text)
        .map_err(|e| format!("`model_weights_config.json` cannot be read: {e}"))?;
    let mut found = Tensors::new();
    let mut storages = BTreeMap::new();
    for (name, weight) in weights.config {
        let view = weight.view(&name)?;
        let storage = match storages.get(&weight.path_name) {
            Some(storage) => std::sync::Arc::clone(storage),
            None => {
                let storage = archive.content(&format!("data/weights/{}", weight.path_name))?;
                storages.insert(weight.path_name, storage.clone());
                storage
            }
        };
        found.insert(name.clone(), view.of(name, storage)?);
    }
    Ok(found)
}

impl Weight {
    fn view(&self, name: &str) -> Result<View, String> {
        let meta = self.tensor_meta.as_ref().filter(|_| !self.use_pickle);
        let meta = meta.ok_or_else(|| {
            format!(
                "`{name}` is kept as a pickle of its own: save the state dict, \
                 torch.save(program.state_dict, \"weights.pth\")"
            )
        })?;
        let dtype = of_number(meta.dtype).ok_or_else(|| {
            format!(
                "`{name}` has elements of a kind that is not read ({})",
                meta.dtype
            )
        })?;
        let sizes = |sizes: &[Size]| -> Result<Vec<usize>, String> {
            let known = sizes.iter().map(|size| size.as_int).collect::<Option<_>>();
            known.ok_or_else(|| format!("`{name}` has a size that is no number"))
        };
        Ok(View {
            dtype,
            offset: sizes(std::slice::from_ref(&meta.storage_offset))?[0],
            shape: sizes(&meta.sizes)?,
            strides: sizes(&meta.strides)?,
        })
    }
}
