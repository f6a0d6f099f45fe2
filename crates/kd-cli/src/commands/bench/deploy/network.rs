//! A network as it is deployed.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use burn::tensor::{Device, Tensor};
#[cfg(feature = "flex")]
use kd_compress::integer::IntegerNetwork;
use kd_core::{Taps, draw};
use kd_export::{Options, export_network};
use kd_models::{Backbone, Cost, Network, NetworkConfig, Prepared, WeightsHeader};
use kd_train::{Recipe, Role, Summary};
use serde_json::{Value, json};

use crate::{commands::network_of, failure::BadInput};

/// A network that is ready to run, and what it costs.
pub struct Deployed {
    /// Its name, or the file it came from.
    pub name: String,
    pub network: Prepared<Network>,
    /// Channels, height and width of an image.
    pub shape: [usize; 3],
    pub cost: Cost,
    /// Bytes that the process grew by when it was built and asked for one image, at the peak; none where the system
    /// does not say.
    pub peak: Option<u64>,
    /// What a network on grids has beside: itself with floats, and with integers.
    #[cfg(feature = "flex")]
    pub on_grids: Option<OnGrids>,
}

/// Other ways to compute a network on grids.
#[cfg(feature = "flex")]
pub struct OnGrids {
    pub floats: Prepared<Network>,
    /// Or why there are none.
    pub integers: Result<IntegerNetwork, String>,
}

#[cfg(feature = "flex")]
impl OnGrids {
    fn of(network: &Network, size: usize) -> Option<Self> {
        network.grids()?;
        Some(Self {
            floats: network.clone().without_grids().prepare(),
            integers: IntegerNetwork::new(network, size).map_err(|problem| problem.to_string()),
        })
    }
}

/// Classes of a network without weights.
const CLASSES: usize = 100;

impl Deployed {
    /// A network of the registry with drawn weights, or the one of a file of weights.
    ///
    /// # Errors
    /// For an unknown name, and for weights that cannot be read or do not say which network they are of.
    pub fn new(what: &str, device: &Device) -> Result<Self> {
        let path = Path::new(what);
        match path.exists() {
            true => Self::of(what, &config(path)?, Some(path), device),
            false => Self::of(what, &NetworkConfig::new(what, CLASSES, 3), None, device),
        }
    }

    /// A network with the weights of a file, or drawn ones.
    fn of(
        name: &str,
        config: &NetworkConfig,
        weights: Option<&Path>,
        device: &Device,
    ) -> Result<Self> {
        let size = config.image_size()?;
        let shape = [config.channels()?, size, size];
        let before = forget_peak();
        let network = match weights {
            Some(path) => Network::from_file(config, path, device)?,
            None => {
                draw::seed(1);
                Network::new(config, device)?
            }
        };
        let cost = network.cost(size)?;
        let network = network.prepare();
        let image = Tensor::zeros([1, shape[0], size, size], device);
        let _ = network.forward(image, &Taps::none()).logits.into_data();
        let peak = before.and_then(|before| Some(resident("VmHWM:")?.saturating_sub(before)));
        Ok(Self {
            name: name.to_owned(),
            #[cfg(feature = "flex")]
            on_grids: OnGrids::of(network.network(), size),
            network,
            shape,
            cost,
            peak,
        })
    }

    /// The student of a run, the stages on its way in a recipe that prunes or quantises, and its teacher where it has one. How long a network takes does
    /// not depend on its weights, so those of the teacher are drawn.
    ///
    /// # Errors
    /// For a folder that is not that of a finished run of image classifiers.
    pub fn of_run(folder: &Path, device: &Device) -> Result<Vec<Self>> {
        let summary = Summary::of_run(folder)?;
        let weights = folder.join("student.safetensors");
        let student = config(&weights)?;
        let mut networks = vec![Self::of("student", &student, Some(&weights), device)?];
        let seed = summary.student.as_ref().map(|student| student.seed);
        let stages = summary
            .networks
            .iter()
            .filter(|n| n.onnx.is_some() && n.seed == seed && matches!(n.role, Role::Stage(_)));
        for stage in stages {
            if let Some(weights) = stage.weights(folder) {
                let config = config(&weights)?;
                networks.push(Self::of(
                    &stage.role.title(),
                    &config,
                    Some(&weights),
                    device,
                )?);
            }
        }
        let mut measured = summary.networks.iter();
        if let Some(teacher) = measured.find(|network| network.role == Role::Teacher) {
            let recipe = Recipe::load(&folder.join("recipe.toml"), &[])?;
            let size = recipe.teacher.and_then(|teacher| teacher.size);
            let shape = networks[0].shape;
            let classes = summary.data.classes.len();
            let config = NetworkConfig::new(&teacher.model, classes, shape[0])
                .with_image_size(size.unwrap_or(shape[1]));
            networks.push(Self::of("teacher", &config, None, device)?);
        }
        Ok(networks)
    }

    /// Whether there are other ways to compute it: it is on grids.
    pub fn has_integers(&self) -> bool {
        #[cfg(feature = "flex")]
        return self.on_grids.is_some();
        #[cfg(not(feature = "flex"))]
        false
    }

    /// Writes it as ONNX.
    ///
    /// # Errors
    /// For a network that cannot be exported.
    pub fn export(&self, file: &Path) -> Result<()> {
        let [_, size, _] = self.shape;
        let onnx = export_network(self.network.network(), size, &Options::default());
        onnx.and_then(|onnx| onnx.save(file))
            .with_context(|| format!("export {} as ONNX", self.name))
    }

    pub fn json(&self) -> Value {
        json!({
            "name": self.name,
            "parameters": self.cost.parameters,
            "macs": self.cost.macs,
            "file_bytes": self.cost.bytes,
            "peak_bytes": self.peak,
            "prepared_bytes": self.network.bytes(),
            "image": self.shape,
        })
    }
}

/// The network that weights say they are of.
fn config(path: &Path) -> Result<NetworkConfig> {
    let header = WeightsHeader::read(path)?;
    let unsaid = || {
        BadInput(format!(
            "{}: these weights do not say which network of `kd models` they are of, and for how many classes; `kd \
             convert` writes weights that do",
            path.display()
        ))
    };
    Ok(network_of(&header).ok_or_else(unsaid)?)
}

/// Has Linux forget the peak of this process's memory. What is resident now, in bytes; none elsewhere.
fn forget_peak() -> Option<u64> {
    fs::write("/proc/self/clear_refs", "5").ok()?;
    resident("VmRSS:")
}

fn resident(key: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
