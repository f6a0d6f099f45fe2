//! `kd predict`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use kd_train::Finder;

use super::DeviceArgument;

/// Find objects in images, with the detector of a run
#[derive(Args)]
#[command(after_help = "\
Example:
  kd predict runs/detection photo1.jpg photo2.jpg      predictions.html with boxes, predictions.json with numbers

Boxes are x, y of the upper left corner, width and height, in pixels of the image.")]
pub struct Arguments {
    /// Folder of a finished run that trained a detector.
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Images, PNG or JPEG.
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,
    /// Other weights of the student's network [default: the run's student].
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Tell what the network is at least so sure of, from 0 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.3, value_parser = share)]
    score: f64,
    /// Folder for the page and the numbers.
    #[arg(long, value_name = "DIR", default_value = "predictions")]
    out: PathBuf,
    #[command(flatten)]
    device: DeviceArgument,
}

fn share(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    match (0.0..=1.0).contains(&value) {
        true => Ok(value),
        false => Err("a share from 0 to 1".into()),
    }
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let device = arguments.device.selection()?.open()?;
    let finder = Finder::of_run(&arguments.run, arguments.weights.as_deref(), &device)?;
    let mut found = Vec::new();
    for path in &arguments.images {
        let image = finder.find(path, arguments.score)?;
        let count = image.objects().len();
        let objects = if count == 1 { "object" } else { "objects" };
        super::print(format_args!("{}: {count} {objects}", path.display()))?;
        for object in image.objects() {
            let [x1, y1, x2, y2] = object.corners;
            let class = finder.classes().get(object.class - 1);
            super::print(format_args!(
                "  {:12} {:5.1} %  at {x1:.0}, {y1:.0}, {:.0} × {:.0}",
                class.map_or("?", String::as_str),
                100.0 * object.score,
                x2 - x1,
                y2 - y1
            ))?;
        }
        found.push(image);
    }
    let page = finder.write(&found, arguments.score, &arguments.out)?;
    super::print(page.display())
}
