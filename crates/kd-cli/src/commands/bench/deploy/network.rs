//! A network as it is deployed.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use burn::tensor::{Device, Tensor};
use kd_core::{Taps, draw};
use kd_export::{Options, export_network};
use kd_models::{Backbone, Cost, Network, NetworkConfig, Prepared, WeightsHeader};
use serde_json::{Value, json};

use crate::failure::BadInput;

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
        let is_file = path.exists();
        let config = match is_file {
            true => config(path)?,
            false => NetworkConfig::new(what, CLASSES, 3),
        };
        let size = config.image_size()?;
        let shape = [config.channels()?, size, size];
        let before = forget_peak();
        let network = match is_file {
            true => Network::from_file(&config, path, device)?,
            false => {
                draw::seed(1);
                Network::new(&config, device)?
            }
        };
        let cost = network.cost(size)?;
        let network = network.prepare();
        let image = Tensor::zeros([1, shape[0], size, size], device);
        let _ = network.forward(image, &Taps::none()).logits.into_data();
        let peak = before.and_then(|before| Some(resident("VmHWM:")?.saturating_sub(before)));
        Ok(Self {
            name: what.to_owned(),
            network,
            shape,
            cost,
            peak,
        })
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
    let (Some(model), Some(classes)) = (&header.model, header.classes) else {
        let problem = format!(
            "{}: these weights do not say which network of `kd models` they are of, and for how many classes; `kd \
             convert` writes weights that do",
            path.display()
        );
        return Err(BadInput(problem).into());
    };
    let config = NetworkConfig::new(model, classes, header.channels.unwrap_or(3));
    Ok(match header.size {
        Some(size) => config.with_image_size(size),
        None => config,
    })
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
