//! Folders that other programs load: weights with what describes them.

mod readme;
mod tensors;
mod timm;
mod transformers;

use std::fmt;
use std::fs;
use std::path::Path;

use serde_json::Value;

pub(crate) use tensors::write_spelled;

use crate::elsewhere::Elsewhere;
use crate::header::WeightsHeader;
use crate::network::Network;
use crate::spelling::Spelling;
use crate::{Error, Origin};

/// A folder of weights, as one program loads it. Each holds `model.safetensors` and a `README.md` with the lines that
/// load it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FolderFormat {
    /// The names of the reference, for programs of one's own.
    Safetensors,
    /// The `transformers` library: `config.json` and `preprocessor_config.json`.
    HuggingFace,
    /// timm: `config.json` with `pretrained_cfg`.
    Timm,
    /// torchvision, which reads no description.
    Torchvision,
}

impl FolderFormat {
    /// Every format.
    pub const ALL: [Self; 4] = [
        Self::Safetensors,
        Self::HuggingFace,
        Self::Timm,
        Self::Torchvision,
    ];

    /// Its name: `safetensors`, `hf`, `timm` or `torchvision`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::HuggingFace => "hf",
            Self::Timm => "timm",
            Self::Torchvision => "torchvision",
        }
    }

    /// That of a name; none when there is no such.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// The program that loads it, if it is one with names of its own.
    fn program(self) -> Option<Origin> {
        match self {
            Self::Safetensors => None,
            Self::HuggingFace => Some(Origin::HuggingFace),
            Self::Timm => Some(Origin::Timm),
            Self::Torchvision => Some(Origin::Torchvision),
        }
    }
}

impl fmt::Display for FolderFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Network {
    /// Writes a folder that another program loads as it is, and in which the network gives the same logits there.
    /// It appears whole or not at all. `header` says how images are prepared and what the classes are called; the
    /// counts are the network's own.
    ///
    /// # Errors
    /// [`Error::Export`] for a program that cannot build this network, [`Error::Unprepared`] when `header` lacks the
    /// mean and standard deviation that the program has to know, [`Error::Save`] for a folder that is there already or
    /// cannot be written.
    pub fn export(
        &self,
        folder: impl AsRef<Path>,
        format: FolderFormat,
        header: &WeightsHeader,
    ) -> Result<(), Error> {
        let export = Export::new(self, format, header)?;
        let files = export.texts();
        publish_folder(folder.as_ref(), |unfinished| {
            for (name, text) in &files {
                fs::write(unfinished.join(name), text)?;
            }
            export.write_tensors(&unfinished.join("model.safetensors"))
        })
    }

    /// The formats that this network can be exported as.
    pub fn folder_formats(&self) -> Vec<FolderFormat> {
        let all = FolderFormat::ALL.into_iter();
        all.filter(|format| self.within(*format).is_ok()).collect()
    }

    /// This network as the program of a format has it; none where it is no program's.
    ///
    /// # Errors
    /// Why the program cannot have it.
    fn within(&self, format: FolderFormat) -> Result<Option<Elsewhere>, String> {
        let Some(program) = format.program() else {
            return Ok(None);
        };
        if self.head.is_some() {
            return Err(
                "the classifier of another network stands in the place of its own (simkd)".into(),
            );
        }
        let channels = self.config.channels().map_err(|e| e.to_string())?;
        if program == Origin::Torchvision && channels != 3 {
            return Err(format!(
                "its networks read images of 3 channels, and this one {channels}"
            ));
        }
        self.elsewhere(program).map(Some)
    }
}

/// A folder whose files `write` writes into an unfinished one, so that it appears whole or not at all.
///
/// # Errors
/// [`Error::Save`] for a folder that is there already or cannot be written.
pub(crate) fn publish_folder(
    folder: &Path,
    write: impl FnOnce(&Path) -> std::io::Result<()>,
) -> Result<(), Error> {
    let failed = |problem: String| Error::Save {
        path: folder.to_owned(),
        problem,
    };
    if folder.exists() {
        return Err(failed("it exists already; name another folder".into()));
    }
    let beside = match folder.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(beside).map_err(|e| failed(e.to_string()))?;
    let unfinished = tempfile::Builder::new()
        .prefix(".kd-export-")
        .tempdir_in(beside)
        .map_err(|e| failed(e.to_string()))?;
    let publish = || -> std::io::Result<()> {
        write(unfinished.path())?;
        open_to_all(unfinished.path())?;
        fs::rename(unfinished.path(), folder)
    };
    publish().map_err(|e| failed(e.to_string()))
}

/// Numbers with the digits that they were written with: 0.485, and not 0.48500001430511475.
fn decimals(values: Option<&Vec<f32>>) -> Value {
    let each = values.into_iter().flatten();
    let each = each.map(|value| {
        value
            .to_string()
            .parse::<f64>()
            .unwrap_or(f64::from(*value))
    });
    each.collect::<Vec<_>>().into()
}

/// Lets everybody read a folder that was made under a temporary, and so private, name.
#[cfg(unix)]
fn open_to_all(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn open_to_all(_: &Path) -> std::io::Result<()> {
    Ok(())
}

/// What a folder is made of.
struct Export<'a> {
    network: &'a Network,
    format: FolderFormat,
    /// None where no program's names are asked for.
    elsewhere: Option<Elsewhere>,
    header: WeightsHeader,
    /// Channels, height and width of an image.
    channels: usize,
    size: usize,
}

impl<'a> Export<'a> {
    fn new(
        network: &'a Network,
        format: FolderFormat,
        header: &WeightsHeader,
    ) -> Result<Self, Error> {
        let elsewhere = network.within(format).map_err(|problem| {
            let possible = network.folder_formats();
            let possible: Vec<&str> = possible.into_iter().map(FolderFormat::name).collect();
            Error::Export {
                model: network.config.model.clone(),
                format,
                problem,
                possible: possible.join(", "),
            }
        })?;
        let (channels, size) = (network.config.channels()?, network.config.image_size()?);
        let header = WeightsHeader {
            model: Some(network.config.model.clone()),
            architecture: None,
            classes: Some(network.config.classes),
            channels: Some(channels),
            size: Some(size),
            ..header.clone()
        };
        let export = Self {
            network,
            format,
            elsewhere,
            header,
            channels,
            size,
        };
        let described = matches!(format, FolderFormat::HuggingFace | FolderFormat::Timm);
        let fits = |values: &Option<Vec<f32>>| values.as_ref().is_some_and(|v| v.len() == channels);
        match described && !(fits(&export.header.mean) && fits(&export.header.std)) {
            true => Err(Error::Unprepared { format, channels }),
            false => Ok(export),
        }
    }

    /// The files beside the weights.
    fn texts(&self) -> Vec<(&'static str, String)> {
        let mut files = vec![("README.md", readme::text(self))];
        let spelled = |value: &Value| format!("{value:#}\n");
        match (self.format, &self.elsewhere) {
            (FolderFormat::HuggingFace, Some(network)) => {
                let config = transformers::config(self, network);
                files.push(("config.json", spelled(&config)));
                let prepared = transformers::preprocessor(self);
                files.push(("preprocessor_config.json", spelled(&prepared)));
            }
            (FolderFormat::Timm, Some(network)) => {
                files.push(("config.json", spelled(&timm::config(self, network))));
            }
            _ => {}
        }
        files
    }

    /// The names that the weights get.
    fn spelling(&self) -> Spelling {
        match &self.elsewhere {
            Some(elsewhere) => elsewhere.spelling.clone(),
            None => Spelling::own(Origin::Timm),
        }
    }
}
