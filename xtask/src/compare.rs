//! `cargo xtask bench compare`.

mod table;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde::Deserialize;

/// Options of the job.
#[derive(Args)]
#[command(after_help = "\
Of several files of one side, the median counts; of PyTorch's two layouts, the faster.

Example:
  cargo xtask bench step --json kd-1.json
  cargo xtask bench compare --ours kd-1.json --ours kd-2.json --torch torch-1.json")]
pub struct Arguments {
    /// What `kd bench step --json` wrote; can be repeated.
    #[arg(long, value_name = "FILE", required = true)]
    ours: Vec<PathBuf>,
    /// The same steps measured with PyTorch, in a file of the same form; can be repeated.
    #[arg(long, value_name = "FILE", required = true)]
    torch: Vec<PathBuf>,
    /// Print a Markdown table.
    #[arg(long)]
    markdown: bool,
}

/// One file of measurements.
#[derive(Deserialize)]
struct Measured {
    threads: usize,
    batch: usize,
    /// By step and, as the last word, backend or layout.
    rows: BTreeMap<String, Rate>,
    #[serde(skip)]
    path: PathBuf,
}

/// Images per second of the best repetition.
#[derive(Deserialize)]
struct Rate {
    best: f64,
}

/// Steps in the order in which they are shown.
const STEPS: [&str; 35] = [
    "infer resnet20",
    "infer resnet56",
    "infer resnet8x4",
    "infer resnet32x4",
    "infer shufflenet_v2",
    "train resnet20",
    "train resnet8x4",
    "train shufflenet_v2",
    "kd resnet56 resnet20",
    "kd resnet32x4 resnet8x4",
    "kd resnet32x4 shufflenet_v2",
    "infer resnet18_224",
    "infer resnet50_224",
    "infer mobilenet_v2_224",
    "infer mobilenet_v3_large_224",
    "infer vgg16_224",
    "infer efficientnet_b0_224",
    "train resnet18_224",
    "train resnet50_224",
    "train mobilenet_v2_224",
    "train mobilenet_v3_large_224",
    "train vgg16_224",
    "train efficientnet_b0_224",
    "infer vit_p4_d6_w192_mlp4",
    "train vit_p4_d6_w192_mlp4",
    "infer vit_small_patch14_dinov2",
    "kd vit_small_patch14_dinov2 resnet20",
    "infer minilm_l6_h384",
    "train minilm_l6_h384",
    "infer ssd300_vgg16",
    "train ssd300_vgg16",
    "infer fasterrcnn_resnet50_fpn",
    "infer fasterrcnn_resnet50_fpn_800",
    "train fasterrcnn_resnet18_fpn",
    "kd fasterrcnn_resnet18_fpn ssd300_vgg16_quarter",
];

/// A step on both sides, in samples per second.
#[derive(Debug, PartialEq)]
struct Compared {
    step: String,
    ours: f64,
    torch: f64,
    layout: String,
}

impl Compared {
    fn ratio(&self) -> f64 {
        self.ours / self.torch
    }

    /// The ratio to reach: wide networks, large images, scenes and transformers keep PyTorch's kernels busy, narrow
    /// networks do not.
    fn aim(&self) -> f64 {
        let step = self.step.as_str();
        let has = |part: &str| step.contains(part);
        if step.ends_with("_224") {
            if has("resnet") { 1.2 } else { 1.0 }
        } else if has("vit_") || has("minilm") {
            if step.starts_with("infer") { 1.0 } else { 1.2 }
        } else if has("ssd") {
            1.2
        } else if has("fasterrcnn") {
            1.0
        } else if has("x4") {
            1.15
        } else {
            1.3
        }
    }
}

/// Runs the job.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let read = |paths: &[PathBuf]| paths.iter().map(|p| read(p)).collect::<Result<Vec<_>>>();
    let (ours, torch) = (read(&arguments.ours)?, read(&arguments.torch)?);
    let compared = compare(&ours, &torch)?;
    print!("{}", table::text(&compared, arguments.markdown));
    let left_out: Vec<_> = STEPS
        .into_iter()
        .filter(|step| compared.iter().all(|row| row.step != *step))
        .collect();
    if !left_out.is_empty() {
        println!("\nnot measured: {}", left_out.join(", "));
    }
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> Result<Measured> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let measured: Measured = serde_json::from_str(&text)
        .with_context(|| format!("{} holds no measurements of steps", path.display()))?;
    Ok(Measured {
        path: path.into(),
        ..measured
    })
}

/// Our steps beside PyTorch's better layout.
fn compare(ours: &[Measured], torch: &[Measured]) -> Result<Vec<Compared>> {
    if let Some(first) = ours.first() {
        for other in ours.iter().chain(torch) {
            first.comparable(other)?;
        }
    }
    let (ours, torch) = (medians(ours)?, medians(torch)?);
    let mut rows = Vec::new();
    for (step, variants) in ours {
        let [(backend, rate)] = variants.as_slice() else {
            let names: Vec<_> = variants.iter().map(|(name, _)| name.as_str()).collect();
            bail!(
                "`{step}` of --ours is measured on {}: give the files of one backend",
                names.join(" and ")
            );
        };
        let Some((layout, best)) = torch
            .get(&step)
            .and_then(|layouts| layouts.iter().max_by(|a, b| a.1.total_cmp(&b.1)))
        else {
            bail!("no file of --torch has `{step}`, which --ours has ({step} {backend})");
        };
        rows.push(Compared {
            ours: *rate,
            torch: *best,
            layout: layout.clone(),
            step,
        });
    }
    ensure!(!rows.is_empty(), "the files of --ours hold no steps");
    let place = |row: &Compared| STEPS.iter().position(|step| *step == row.step);
    rows.sort_by_key(|row| place(row).unwrap_or(STEPS.len()));
    Ok(rows)
}

impl Measured {
    /// Whether the two were measured alike.
    fn comparable(&self, other: &Self) -> Result<()> {
        for (what, a, b) in [
            ("batches of", self.batch, other.batch),
            ("threads:", self.threads, other.threads),
        ] {
            ensure!(
                a == b,
                "{} was measured with {what} {a}, {} with {what} {b}: measure one of them again",
                self.path.display(),
                other.path.display()
            );
        }
        Ok(())
    }
}

/// Backends or layouts of a step with the median of the files.
type Variants = Vec<(String, f64)>;

/// The median of the files for every step; all files must have the same rows.
fn medians(files: &[Measured]) -> Result<BTreeMap<String, Variants>> {
    let mut steps = BTreeMap::<String, Variants>::new();
    for name in files.iter().flat_map(|file| file.rows.keys()) {
        let mut rates = Vec::new();
        for file in files {
            let Some(rate) = file.rows.get(name) else {
                bail!(
                    "{} has no row `{name}`, which another file of its side has: measure it \
                     again, or leave one of them out",
                    file.path.display()
                );
            };
            ensure!(
                rate.best.is_finite() && rate.best > 0.0,
                "{}: `{name}` has {} images/s",
                file.path.display(),
                rate.best
            );
            rates.push(rate.best);
        }
        rates.sort_by(f64::total_cmp);
        let median = (rates[(rates.len() - 1) / 2] + rates[rates.len() / 2]) / 2.0;
        let (step, variant) = name.rsplit_once(' ').unwrap_or((name, ""));
        let variants = steps.entry(step.into()).or_default();
        if variants.iter().all(|(known, _)| known != variant) {
            variants.push((variant.into(), median));
        }
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(name: &str, rows: &[(&str, f64)]) -> Measured {
        Measured {
            threads: 2,
            batch: 64,
            rows: rows
                .iter()
                .map(|(name, best)| ((*name).to_owned(), Rate { best: *best }))
                .collect(),
            path: name.into(),
        }
    }

    fn error(ours: &[Measured], torch: &[Measured]) -> String {
        compare(ours, torch).unwrap_err().to_string()
    }

    #[test]
    fn medians_of_files_meet_the_better_layout() {
        let ours =
            [130.0, 100.0, 160.0].map(|rate| measured("o", &[("infer resnet20 flex", rate)]));
        let torch = [(90.0, 100.0), (300.0, 80.0), (50.0, 104.0)].map(|(nchw, nhwc)| {
            measured(
                "t",
                &[("infer resnet20 nchw", nchw), ("infer resnet20 nhwc", nhwc)],
            )
        });
        let rows = compare(&ours, &torch).unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].ours, rows[0].torch), (130.0, 100.0));
        assert_eq!((rows[0].layout.as_str(), rows[0].ratio()), ("nhwc", 1.3));
    }

    #[test]
    fn a_pair_with_a_wide_network_has_the_wide_aim() {
        let aims = STEPS.map(|step| {
            let row = Compared {
                step: step.into(),
                ours: 1.0,
                torch: 1.0,
                layout: "nchw".into(),
            };
            row.aim()
        });
        let (narrow, wide) = (1.3, 1.15);
        assert_eq!(
            aims[..11],
            [
                narrow, narrow, wide, wide, narrow, narrow, wide, narrow, narrow, wide, wide
            ]
        );
        let large = [1.2, 1.2, 1.0, 1.0, 1.0, 1.0];
        assert_eq!([&aims[11..17], &aims[17..23]], [&large; 2]);
        assert_eq!(aims[23..27], [1.0, 1.2, 1.0, 1.2]);
        assert_eq!(aims[27..], [1.0, 1.2, 1.2, 1.2, 1.0, 1.0, 1.0, 1.2]);
    }

    #[test]
    fn a_row_that_is_missing_is_named() {
        let both = [("infer resnet20 flex", 1.0), ("train resnet20 flex", 1.0)];
        let torch = [measured("t.json", &[("infer resnet20 nchw", 1.0)])];
        let message = error(&[measured("o.json", &both)], &torch);
        assert!(
            message.contains("--torch has `train resnet20`"),
            "{message}"
        );

        let files = [measured("a.json", &both), measured("b.json", &both[..1])];
        let message = error(&files, &torch);
        assert!(
            message.contains("b.json has no row `train resnet20 flex`"),
            "{message}"
        );
        let message = error(&[measured("o.json", &[])], &torch);
        assert!(message.contains("no steps"), "{message}");
    }

    #[test]
    fn other_batches_or_threads_are_refused() {
        let row = [("infer resnet20 flex", 1.0)];
        let ours = || [measured("o.json", &row)];
        let mut torch = measured("t.json", &row);
        torch.batch = 32;
        let message = error(&ours(), &[torch]);
        for part in ["o.json", "batches of 64", "t.json", "batches of 32"] {
            assert!(message.contains(part), "{message}");
        }
        let mut torch = measured("t.json", &row);
        torch.threads = 4;
        let message = error(&ours(), &[torch]);
        assert!(message.contains("threads: 4"), "{message}");
    }

    #[test]
    fn two_backends_are_not_mixed() {
        let ours = [measured(
            "o",
            &[("infer resnet20 flex", 1.0), ("infer resnet20 cuda", 1.0)],
        )];
        let torch = [measured("t", &[("infer resnet20 nchw", 1.0)])];
        assert!(error(&ours, &torch).contains("cuda and flex"));
    }

    #[test]
    fn a_file_of_something_else_is_named() {
        let folder = std::env::temp_dir().join(format!("kd-compare-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("summary.json");
        fs::write(&path, r#"{"name": "quickstart"}"#).unwrap();
        let message = read(&path).map(|_| ()).unwrap_err().to_string();
        assert!(message.contains("summary.json"), "{message}");
        fs::remove_dir_all(&folder).unwrap();
    }
}
