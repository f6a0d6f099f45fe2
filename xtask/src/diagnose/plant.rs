//! Troubles, and how each is brought into a run.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use flate2::read::GzDecoder;
use serde_json::Value;

/// A trouble that is planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The classifier of a trained student is damaged in two classes.
    Crippled,
    /// A quarter of the labels of two classes is wrong.
    Labels,
    /// The temperature is 40.
    Temperature,
    /// The teacher gets images that are not normalised.
    Normalisation,
    /// The student has a three-hundredth of its teacher's multiply-accumulates.
    TooBig,
}

/// The two classes that are crippled, and those with wrong labels.
pub const CRIPPLED: [usize; 2] = [3, 7];
pub const NOISY: [usize; 2] = [1, 8];
/// Their names.
const CLASSES: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

impl Cause {
    pub const ALL: [Self; 5] = [
        Self::Crippled,
        Self::Labels,
        Self::Temperature,
        Self::Normalisation,
        Self::TooBig,
    ];

    /// Of its run folders.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crippled => "crippled",
            Self::Labels => "labels",
            Self::Temperature => "temperature",
            Self::Normalisation => "normalisation",
            Self::TooBig => "too-big",
        }
    }

    /// For people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Crippled => "a student whose classifier is damaged in two classes",
            Self::Labels => "a quarter of the labels of two classes is wrong",
            Self::Temperature => "a temperature of 40",
            Self::Normalisation => "a teacher that sees images without normalisation",
            Self::TooBig => "a teacher of three hundred times the student's multiply-accumulates",
        }
    }

    /// The finding that names it.
    pub fn finding(self) -> &'static str {
        match self {
            Self::Crippled => "classes",
            Self::Labels => "label_noise",
            Self::Temperature => "temperature",
            Self::Normalisation => "normalisation",
            Self::TooBig => "capacity",
        }
    }

    /// What the finding must name beside itself: exactly these, or for an empty list whatever it likes.
    pub fn names(self) -> Vec<&'static str> {
        match self {
            Self::Crippled => CRIPPLED.map(|class| CLASSES[class]).into(),
            Self::Labels => NOISY.map(|class| CLASSES[class]).into(),
            Self::Normalisation => vec!["the data set's own mean and deviation"],
            Self::Temperature | Self::TooBig => Vec::new(),
        }
    }

    /// What changes in the recipe.
    pub fn overrides(self, noisy: &Path) -> Vec<String> {
        match self {
            Self::Crippled => Vec::new(),
            Self::Labels => vec![
                "data.name=fashion_mnist".into(),
                format!("data.dir={}", noisy.display()),
            ],
            Self::Temperature => vec!["objective.kd.temperature=40.0".into()],
            Self::Normalisation => vec!["teacher.normalize={ mean = [0.0], std = [1.0] }".into()],
            Self::TooBig => vec![
                "student.model=resnet20".into(),
                "student.prune={ macs = 0.0033, at_most = 0.99 }".into(),
            ],
        }
    }
}

/// Copies a run, and lowers two biases of its student's classifier by 5.
pub fn cripple(healthy: &Path, folder: &Path) -> Result<()> {
    copy(healthy, folder)?;
    let file = folder.join("student.safetensors");
    let mut bytes = fs::read(&file).with_context(|| format!("read {}", file.display()))?;
    lower(&mut bytes, "fc.bias", &CRIPPLED, 5.0)?;
    fs::write(&file, bytes).with_context(|| format!("write {}", file.display()))
}

/// Lowers numbers of a tensor of single precision in a file of safetensors.
fn lower(bytes: &mut [u8], tensor: &str, places: &[usize], by: f32) -> Result<()> {
    let head = bytes.get(..8).context("the file is cut")?;
    let length = u64::from_le_bytes(head.try_into()?) as usize;
    let header = bytes.get(8..8 + length).context("the file is cut")?;
    let header: Value = serde_json::from_slice(header).context("a header of safetensors")?;
    let entry = &header[tensor];
    ensure!(entry["dtype"] == "F32", "`{tensor}` is no F32");
    let start = entry["data_offsets"][0].as_u64();
    let start = start.with_context(|| format!("there is no `{tensor}`"))? as usize;
    for place in places {
        let at = 8 + length + start + 4 * place;
        let Some(number) = bytes.get_mut(at..at + 4) else {
            bail!("`{tensor}` has no place {place}");
        };
        let value = f32::from_le_bytes((&*number).try_into()?) - by;
        number.copy_from_slice(&value.to_le_bytes());
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let failed = |path: &Path| format!("copy {}", path.display());
    fs::create_dir_all(to).with_context(|| failed(to))?;
    for entry in fs::read_dir(from).with_context(|| failed(from))? {
        let path = entry.with_context(|| failed(from))?.path();
        let place = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy(&path, &place)?;
        } else if !path.ends_with("diagnosis.json") {
            fs::copy(&path, &place).with_context(|| failed(&path))?;
        }
    }
    Ok(())
}

/// The embedded set with a quarter of the labels of some classes changed to others.
pub fn noisy_labels(from: &Path, to: &Path, classes: &[usize]) -> Result<()> {
    const LABELS: &str = "train-labels-idx1-ubyte";
    fs::create_dir_all(to).with_context(|| format!("create {}", to.display()))?;
    for file in [
        "train-images-idx3-ubyte.gz",
        "t10k-images-idx3-ubyte.gz",
        "t10k-labels-idx1-ubyte.gz",
    ] {
        fs::copy(from.join(file), to.join(file)).with_context(|| format!("copy {file}"))?;
    }
    let path: PathBuf = from.join(format!("{LABELS}.gz"));
    let packed = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    let mut labels = Vec::new();
    GzDecoder::new(packed.as_slice()).read_to_end(&mut labels)?;
    let labels_at = 8.min(labels.len());
    mislabel(&mut labels[labels_at..], classes);
    let path = to.join(LABELS);
    fs::write(&path, labels).with_context(|| format!("write {}", path.display()))
}

/// Changes every fourth label of these classes, each to another class in turn.
fn mislabel(labels: &mut [u8], classes: &[usize]) {
    let mut seen = 0;
    for label in labels {
        if !classes.contains(&usize::from(*label)) {
            continue;
        }
        seen += 1;
        if seen % 4 == 0 {
            // 1 to 9 further, so never the same.
            *label = (*label + 1 + (seen / 4 % 9) as u8) % 10;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_two_classes_is_mislabelled_and_the_others_are_not() {
        let before: Vec<u8> = (0..4000).map(|at| (at % 10) as u8).collect();
        let mut after = before.clone();
        mislabel(&mut after, &NOISY);
        let wrong = |class: usize| {
            let pairs = before.iter().zip(&after);
            let own = pairs.filter(|(b, _)| usize::from(**b) == class);
            own.filter(|(b, a)| b != a).count()
        };
        let of_noisy: usize = NOISY.map(wrong).iter().sum();
        assert_eq!(of_noisy, 200);
        assert_eq!((0..10).map(wrong).sum::<usize>(), of_noisy);
        assert!(after.iter().all(|label| *label < 10));
    }

    #[test]
    fn numbers_of_a_tensor_are_lowered_in_place() {
        let header = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"fc.bias":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#;
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.bytes());
        for value in [1.0f32, 2.0, 3.0] {
            bytes.extend(value.to_le_bytes());
        }
        lower(&mut bytes, "fc.bias", &[1], 5.0).unwrap();
        let data = &bytes[8 + header.len()..];
        let values: Vec<f32> = data
            .chunks(4)
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect();
        assert_eq!(values, [1.0, 2.0, -2.0]);
        for (tensor, place, part) in [("b", 0, "no F32"), ("fc.bias", 2, "no place 2")] {
            let error = lower(&mut bytes, tensor, &[place], 1.0).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}
