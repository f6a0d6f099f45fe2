//! Weights of text networks in and out, by Hugging Face's names.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use burn::tensor::Device;

use super::config::TextConfig;
use super::network::{CLASSIFIER, TextNetwork};
use super::tables;
use crate::Error;
use crate::detection::State;
use crate::folder::{publish_folder, write_spelled};
use crate::formats::folder;
use crate::keys::Key;
use crate::spelling::Spelling;

/// How the path of what BERT's language models lack begins.
const POOLER: &str = "head.pooler.";

impl State for TextNetwork {
    fn name(&self) -> String {
        self.config().to_string()
    }

    fn reference_key(&self, path: &str) -> String {
        path.to_owned()
    }

    /// Files of 2018 and 2019.
    fn todays_name(name: &str) -> String {
        let layer = name.strip_suffix("LayerNorm.gamma");
        let bias = name.strip_suffix("LayerNorm.beta");
        match (layer, bias) {
            (Some(layer), _) => format!("{layer}LayerNorm.weight"),
            (_, Some(layer)) => format!("{layer}LayerNorm.bias"),
            _ => name.to_owned(),
        }
    }

    fn spellings(&self, own: &[Key]) -> Vec<Spelling> {
        let names: Vec<String> = own.iter().map(|key| key.name.clone()).collect();
        tables::spellings(self.config().kind, &names)
    }
}

impl TextNetwork {
    /// Builds a network and fills it from a file, or from a Hugging Face folder with one; nothing is drawn. Names are
    /// those of Hugging Face's BERT and DistilBERT, old ones too. What such a file holds for another head is left alone;
    /// otherwise every key must be used and none be missing.
    ///
    /// # Errors
    /// As [`TextNetwork::new`] and [`Network::load`](crate::Network::load).
    pub fn from_file(
        config: &TextConfig,
        path: impl AsRef<Path>,
        device: &Device,
    ) -> Result<Self, Error> {
        let mut network = Self::lazy(config, device)?;
        network.fill(&folder::weights(path.as_ref())?)?;
        Ok(network)
    }

    /// As [`TextNetwork::from_file`], but for the classifier, which is drawn, and the layer before it, which is drawn
    /// where the file has none: for weights that were trained without labels or for other classes.
    ///
    /// # Errors
    /// As [`TextNetwork::from_file`].
    pub fn from_backbone_file(
        config: &TextConfig,
        path: impl AsRef<Path>,
        device: &Device,
    ) -> Result<Self, Error> {
        let mut network = Self::lazy(config, device)?;
        let path = folder::weights(path.as_ref())?;
        network.fill_but(&path, &[CLASSIFIER], &[POOLER])?;
        network.draw();
        Ok(network)
    }

    /// Writes the state dict as safetensors with the names of Hugging Face's files, under a temporary name first.
    /// `metadata` goes into the header.
    ///
    /// # Errors
    /// [`Error::Save`].
    pub fn save(&self, path: impl AsRef<Path>, metadata: &[(String, String)]) -> Result<(), Error> {
        let path = path.as_ref();
        let mut said: HashMap<String, String> = metadata.iter().cloned().collect();
        said.insert("format".into(), "pt".into());
        let own = self.keys();
        let spelling = self.spellings(&own).swap_remove(0);
        write_spelled(self, &own, &spelling, said, path).map_err(|e| Error::Save {
            path: path.to_owned(),
            problem: e.to_string(),
        })
    }

    /// Writes a folder that the `transformers` library loads, and in which the network gives the same logits there:
    /// `config.json` and `model.safetensors`. It appears whole or not at all. `names` are those of the classes, by
    /// label; `beside` are files that are copied into it, such as the tokenizer's.
    ///
    /// # Errors
    /// [`Error::Save`] for a folder that is there already or cannot be written.
    pub fn export(
        &self,
        folder: impl AsRef<Path>,
        names: &[String],
        beside: &[impl AsRef<Path>],
    ) -> Result<(), Error> {
        let config = self.config().described(names);
        publish_folder(folder.as_ref(), |unfinished| {
            let text = serde_json::to_string_pretty(&config)?;
            fs::write(unfinished.join("config.json"), text + "\n")?;
            for file in beside {
                let file = file.as_ref();
                if let Some(name) = file.file_name() {
                    fs::copy(file, unfinished.join(name))?;
                }
            }
            self.save(unfinished.join("model.safetensors"), &[])
                .map_err(std::io::Error::other)
        })
    }
}
