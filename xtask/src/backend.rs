//! The backends that `kd` can be built with.

/// Cargo feature of `kd-cli`, the `--device` it serves, and whether that is a CPU.
const BACKENDS: [(&str, &str, bool); 9] = [
    ("flex", "flex", true),
    ("ndarray", "ndarray", true),
    ("cpu", "cpu", true),
    ("wgpu", "wgpu", false),
    ("webgpu", "wgpu", false),
    ("vulkan", "vulkan", false),
    ("metal", "metal", false),
    ("cuda", "cuda", false),
    ("rocm", "rocm", false),
];

/// A backend and, where one was given, the number of its device.
#[derive(Clone, Debug, PartialEq)]
pub struct Backend {
    feature: &'static str,
    device: &'static str,
    index: Option<usize>,
    /// Whether it computes on the CPU.
    pub on_cpu: bool,
}

impl Default for Backend {
    fn default() -> Self {
        let (feature, device, on_cpu) = BACKENDS[0];
        Self {
            feature,
            device,
            index: None,
            on_cpu,
        }
    }
}

impl Backend {
    /// The feature to add to `cargo build -p kd-cli`; none for the default one.
    pub fn feature(&self) -> Option<&'static str> {
        (self.feature != BACKENDS[0].0).then_some(self.feature)
    }

    /// The value of `kd --device`.
    pub fn device(&self) -> String {
        match self.index {
            None => self.device.into(),
            Some(index) => format!("{}:{index}", self.device),
        }
    }
}

/// Reads `NAME` or `NAME:INDEX`.
pub fn parse(text: &str) -> Result<Backend, String> {
    let (name, index) = match text.split_once(':') {
        None => (text, None),
        Some((name, number)) => {
            let index = number
                .parse()
                .map_err(|_| format!("`{number}` is not a device number"))?;
            (name, Some(index))
        }
    };
    let Some((feature, device, on_cpu)) = BACKENDS.into_iter().find(|b| b.0 == name) else {
        let names = BACKENDS.map(|b| b.0).join(", ");
        return Err(format!("no backend of that name; there are {names}"));
    };
    if on_cpu && index.is_some() {
        return Err(format!(
            "`{name}` has one device only; leave the number out"
        ));
    }
    Ok(Backend {
        feature,
        device,
        index,
        on_cpu,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_selects_the_device_not_the_feature() {
        let backend = parse("cuda:1").unwrap();
        assert_eq!(backend.feature(), Some("cuda"));
        assert_eq!(backend.device(), "cuda:1");
    }

    #[test]
    fn webgpu_is_a_feature_of_the_wgpu_device() {
        let backend = parse("webgpu").unwrap();
        assert_eq!(backend.feature(), Some("webgpu"));
        assert_eq!(backend.device(), "wgpu");
    }

    #[test]
    fn the_default_needs_no_feature() {
        assert_eq!(parse("flex"), Ok(Backend::default()));
        assert_eq!(Backend::default().feature(), None);
    }

    #[test]
    fn mistakes_say_what_is_right() {
        assert!(parse("cudda").unwrap_err().contains("cuda"));
        assert!(parse("cuda:x").unwrap_err().contains("`x`"));
        assert!(parse("flex:1").unwrap_err().contains("one device"));
    }
}
