//! The devices that `--device` can name: the one place of the workspace that knows backends.

use std::fmt;

use anyhow::{Result, bail};
use burn::tensor::Device;
use kd_core::nearest_name;

/// A backend, and how to reach its devices when it is built in.
struct Backend {
    name: &'static str,
    about: &'static str,
    /// Whether a machine can have several, told apart by a number.
    numbered: bool,
    built: Option<Built>,
}

/// How a built-in backend is reached.
#[derive(Clone, Copy)]
struct Built {
    /// The devices of this machine.
    all: fn() -> Vec<Device>,
    /// The one to take when no number is given; the first of `all` when there is no better rule.
    preferred: Option<fn() -> Device>,
}

/// `Some(Built)` when one of the features is on. Features decide at compile time, so this cannot
/// be a function.
macro_rules! built {
    ([$($feature:literal),+], $kind:ident $(, $preferred:expr)?) => {{
        #[cfg(any($(feature = $feature),+))]
        {
            #[allow(unused_mut, unused_assignments)]
            let mut preferred: Option<fn() -> Device> = None;
            $(preferred = Some($preferred);)?
            Some(Built {
                all: || Device::enumerate(burn::tensor::DeviceType::$kind).into_vec(),
                preferred,
            })
        }
        #[cfg(not(any($(feature = $feature),+)))]
        None
    }};
}

/// Every backend, in the order in which a default is looked for.
fn backends() -> [Backend; 8] {
    let backend = |name, about, numbered, built| Backend {
        name,
        about,
        numbered,
        built,
    };
    [
        backend(
            "flex",
            "CPU, pure Rust with SIMD and threads",
            false,
            built!(["flex"], Flex),
        ),
        backend("cuda", "NVIDIA GPU", true, built!(["cuda"], Cuda)),
        backend("rocm", "AMD GPU", true, built!(["rocm"], Rocm)),
        backend(
            "metal",
            "Apple GPU",
            true,
            built!(["metal"], Metal, || Device::metal(Default::default())),
        ),
        backend(
            "vulkan",
            "any GPU with a Vulkan driver, shaders as SPIR-V",
            true,
            built!(["vulkan"], Vulkan, || Device::vulkan(Default::default())),
        ),
        backend(
            "wgpu",
            "any GPU with a Vulkan, Metal or DirectX driver (feature wgpu or webgpu)",
            true,
            built!(
                ["wgpu", "webgpu", "vulkan", "metal"],
                Wgpu,
                || Device::wgpu(Default::default())
            ),
        ),
        backend(
            "cpu",
            "CPU, kernels compiled at run time by LLVM",
            false,
            built!(["cpu"], Cpu),
        ),
        backend(
            "ndarray",
            "CPU, reference for comparisons; slow in training",
            false,
            built!(["ndarray"], NdArray),
        ),
    ]
}

/// A `--device` value: a backend that is built in and, perhaps, a number.
#[derive(Clone)]
pub struct Selection {
    name: &'static str,
    index: Option<usize>,
    built: Built,
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            None => f.write_str(self.name),
            Some(index) => write!(f, "{}:{index}", self.name),
        }
    }
}

impl Selection {
    /// Whether it computes on the CPU, in the memory of this process.
    pub fn on_cpu(&self) -> bool {
        // Several of a kind are cards.
        backends()
            .iter()
            .any(|b| b.name == self.name && !b.numbered)
    }

    /// The device itself.
    ///
    /// # Errors
    /// When this machine has no such device.
    pub fn open(&self) -> Result<Device> {
        let mut all = (self.built.all)();
        match (self.index, self.built.preferred) {
            _ if all.is_empty() => bail!(
                "this machine has no {} device: no driver for one was found. `kd devices` lists \
                 what there is",
                self.name
            ),
            (Some(index), _) if index >= all.len() => bail!(
                "there is no device {self}: the last one is {}:{}. `kd devices` lists what there is",
                self.name,
                all.len() - 1
            ),
            (Some(index), _) => Ok(all.swap_remove(index)),
            (None, Some(preferred)) => Ok(preferred()),
            (None, None) => Ok(all.swap_remove(0)),
        }
    }
}

/// Reads `NAME` or `NAME:INDEX`.
///
/// # Errors
/// A sentence on what is wrong and what would be right.
pub fn parse(text: &str) -> Result<Selection, String> {
    let (name, number) = match text.split_once(':') {
        None => (text, None),
        Some((name, number)) => (name, Some(number)),
    };
    // `webgpu` is a way to build the wgpu device, and people will write it here.
    let name = if name == "webgpu" { "wgpu" } else { name };
    let Some(backend) = backends().into_iter().find(|b| b.name == name) else {
        return Err(unknown(name));
    };
    let Some(built) = backend.built else {
        return Err(format!(
            "`{name}` is not built into this kd, which has {}. Build it in with \
             `cargo build -p kd-cli --features {name}`, or start a job with \
             `cargo xtask JOB --backend {name}`",
            names(|b| b.built.is_some())
        ));
    };
    let index = match number {
        None => None,
        Some(_) if !backend.numbered => {
            return Err(format!("there is only one {name} device; write `{name}`"));
        }
        Some(number) => Some(number.parse().map_err(|_| {
            format!("`{number}` is not a device number; write `{name}` or `{name}:0`")
        })?),
    };
    Ok(Selection {
        name: backend.name,
        index,
        built,
    })
}

/// The first backend that is built in.
///
/// # Errors
/// When none is.
pub fn preferred() -> Result<Selection> {
    let found = backends()
        .into_iter()
        .find_map(|b| Some((b.name, b.built?)));
    let Some((name, built)) = found else {
        bail!("this kd was built without any backend: build it with `--features flex`");
    };
    Ok(Selection {
        name,
        index: None,
        built,
    })
}

fn names(wanted: impl Fn(&Backend) -> bool) -> String {
    let names: Vec<_> = backends()
        .into_iter()
        .filter(wanted)
        .map(|b| b.name)
        .collect();
    names.join(", ")
}

fn unknown(name: &str) -> String {
    let all = names(|_| true);
    match nearest_name(name, backends().into_iter().map(|b| b.name)) {
        Some(nearest) => format!("no such device; did you mean `{nearest}`? There are {all}"),
        None => format!("no such device; there are {all}"),
    }
}

/// One line of `kd devices`.
pub struct Listed {
    /// What to give to `--device`.
    pub name: String,
    /// What it is.
    pub about: String,
    /// What to do to use it, or what the driver calls it.
    pub state: String,
}

/// Every backend with the devices of this machine.
pub fn list() -> Vec<Listed> {
    backends().iter().flat_map(rows).collect()
}

fn rows(backend: &Backend) -> Vec<Listed> {
    let row = |name: String, state: String| Listed {
        name,
        about: backend.about.into(),
        state,
    };
    let Some(built) = backend.built else {
        let state = format!("not built in: --features {}", backend.name);
        return vec![row(backend.name.into(), state)];
    };
    let all = (built.all)();
    if all.is_empty() {
        return vec![row(backend.name.into(), "built in, no device found".into())];
    }
    if !backend.numbered {
        return vec![row(backend.name.into(), "ready".into())];
    }
    all.iter()
        .enumerate()
        .map(|(index, device)| {
            row(
                format!("{}:{index}", backend.name),
                format!("ready: {device:?}"),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse(text).map(|s| s.to_string()).unwrap_err()
    }

    #[test]
    fn an_unknown_name_gets_the_nearest() {
        assert!(error("cudda:0").contains("did you mean `cuda`"));
        assert!(error("zzz").contains("there are flex, cuda"));
    }

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn a_backend_that_is_not_built_in_says_how_to_build_it() {
        let message = error("cuda:1");
        assert!(message.contains("--features cuda"), "{message}");
        assert!(message.contains("--backend cuda"), "{message}");
    }

    #[test]
    #[cfg(feature = "flex")]
    fn flex_is_preferred_and_has_no_number() {
        let selection = preferred().unwrap();
        assert_eq!(selection.to_string(), "flex");
        selection.open().unwrap();
        assert!(error("flex:0").contains("write `flex`"));
    }

    #[test]
    #[cfg(any(feature = "wgpu", feature = "webgpu"))]
    fn a_number_must_be_one_of_this_machine() {
        assert!(error("wgpu:x").contains("`x` is not a device number"));
        let message = parse("wgpu:999").unwrap().open().unwrap_err().to_string();
        assert!(message.contains("kd devices"), "{message}");
    }
}
