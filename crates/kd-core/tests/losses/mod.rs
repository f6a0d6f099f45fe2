//! Runs the cases of `losses.json` and `losses_more.json` on a device, so that other crates can run them on theirs.

use burn::tensor::{DType, Device};
use kd_core::Error;
use kd_goldens::Report;

use case::{Answer, Case, Precision};

mod case;
mod detection;
mod more;
mod parameters;
mod plain;

/// Cases that are not met, each with the reason that the method's documentation gives: none.
const DOCUMENTED: [(&str, &str); 0] = [];

/// Single precision, where an element of a gradient keeps four digits down to a hundredth of the largest.
const SINGLE: Precision = Precision {
    dtype: DType::F32,
    small: 1e-2,
};

/// Runs every case of `losses.json`, functions on tensors, in single precision.
///
/// # Panics
/// When a case is not met.
pub fn run(device: &Device) {
    run_file(
        "losses.json",
        device,
        |_| SINGLE,
        |case| plain::loss(case).map(|loss| loss.map(Answer::new)),
    );
}

/// Runs every case of `losses_more.json`, terms with their adapters.
///
/// # Panics
/// When a case is not met.
pub fn run_more(device: &Device, dtype: DType) {
    run_file(
        "losses_more.json",
        device,
        |name| more::precision(name, dtype),
        more::loss,
    );
}

/// Runs every case of `detection_losses.json`.
///
/// # Panics
/// When a case is not met.
pub fn run_detection(device: &Device, dtype: DType) {
    for file in [
        "detection_losses.json",
        "box_head.json",
        "matched_detections.json",
        "fine_grained.json",
        "fbkd.json",
        "retinanet.json",
    ] {
        run_file(
            file,
            device,
            |_| Precision { dtype, ..SINGLE },
            detection::loss,
        );
    }
}

fn run_file(
    file: &'static str,
    device: &Device,
    precision: impl Fn(&str) -> Precision,
    loss: impl Fn(&Case) -> Option<Result<Answer, Error>>,
) {
    let golden = kd_goldens::read(file);
    let salt = golden["salt"].as_str().expect("a salt");
    let device = device.clone().autodiff();
    let mut report = Report::new(file, &DOCUMENTED);
    for json in golden["cases"].as_array().expect("a list of cases") {
        let name = json["name"].as_str().expect("a name");
        if detection::ELSEWHERE.contains(&name) {
            continue;
        }
        report.case(name, |found| {
            let case = Case::read(json, salt, &device, precision(name));
            match loss(&case) {
                None => found.fail("no loss here is known by this name"),
                Some(Err(problem)) => found.fail(problem.to_string()),
                Some(Ok(answer)) => case.compare(&answer, found),
            }
        });
    }
    report.finish();
}
