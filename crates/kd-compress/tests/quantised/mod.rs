//! Runs the cases of `quantization.json`.

use kd_compress::observe::{
    AbsoluteHistogram, MinMax, NormSearch, SymmetricHistogram, entropy_range, least_squares,
    per_channel,
};
use kd_compress::quantise::{Grid, IntegerConvolution, Levels, requantise};
use kd_goldens::Report;
use serde_json::Value;

mod case;
mod drawn;
#[cfg(feature = "flex")]
mod kernels;
pub mod network;
mod pieces;

use case::Case;

const FILE: &str = "quantization.json";
/// Relative tolerance of what is computed in double precision.
const TOLERANCE: f64 = 1e-6;

pub fn arithmetic() {
    let golden = kd_goldens::read(FILE);
    let mut report = Report::new(FILE, &[]);
    for json in golden["cases"].as_array().expect("a list of cases") {
        let name = json["name"].as_str().expect("a name");
        report.case(name, |found| {
            let case = Case::read(json);
            match pieces::outputs(&case) {
                Some(answer) => case.compare(answer, found, TOLERANCE),
                None => found.fail("nothing here is known by this name"),
            }
        });
    }
    report.finish();
}

fn batch(index: usize) -> Vec<f32> {
    let values = kd_goldens::uniform(&format!("observer/batch{index}"), 300);
    let k = index as f64;
    values
        .into_iter()
        .map(|u| (u * (1.0 + k) + 0.3 * k) as f32)
        .collect()
}

/// The ranges, one for all or one a channel.
fn observed(name: &str) -> Vec<[f32; 2]> {
    const SHAPE: [usize; 4] = [4, 3, 5, 5];
    let axis = ["_axis0", "_axis1"]
        .iter()
        .position(|end| name.ends_with(end));
    let start = match name {
        "moving_average_0.1" => MinMax::averaging(0.1),
        name if name.contains("moving_average") => MinMax::averaging(0.01),
        _ => MinMax::new(),
    };
    let channels = |values: Vec<f32>| match axis {
        Some(axis) => per_channel(&values, &SHAPE, axis),
        None => vec![values],
    };
    let count = axis.map_or(1, |axis| SHAPE[axis]);
    let mut observers = vec![start; count];
    for index in 0..3 {
        for (observer, values) in observers.iter_mut().zip(channels(batch(index))) {
            observer.observe(&values).expect("finite values");
        }
    }
    let ranges = observers.iter().map(|observer| observer.range());
    ranges
        .collect::<Result<_, _>>()
        .expect("something observed")
}

pub fn observers() {
    let golden = kd_goldens::read(FILE);
    let mut report = Report::new(FILE, &[]);
    for json in golden["observers"]["values"].as_array().expect("a list") {
        let name = json["name"].as_str().expect("a name");
        report.case(name, |found| {
            let level = |key: &str| json[key].as_i64().expect("a level") as i32;
            let levels = Levels::new(level("qmin"), level("qmax")).expect("levels");
            let ranges = observed(name);
            let searched = (name == "torch_histogram_uint8").then(|| {
                let mut search = NormSearch::new(2048, 256);
                (0..3).for_each(|index| search.observe(&batch(index)).expect("finite values"));
                vec![search.range().expect("a range")]
            });
            let grids: Vec<Grid> = searched
                .as_ref()
                .unwrap_or(&ranges)
                .iter()
                .map(|[low, high]| match symmetric(name) {
                    true => Grid::symmetric(*low, *high, levels),
                    false => Grid::affine(*low, *high, levels),
                })
                .collect();
            let list = |key: &str| numbers(&json[key]);
            let ends = |end: usize| ranges.iter().map(|r| f64::from(r[end])).collect::<Vec<_>>();
            found.close_all("min", &ends(0), &list("min"), TOLERANCE, 0.0);
            found.close_all("max", &ends(1), &list("max"), TOLERANCE, 0.0);
            let scales: Vec<f64> = grids.iter().map(|grid| f64::from(grid.scale)).collect();
            let zeros: Vec<f64> = grids
                .iter()
                .map(|grid| f64::from(grid.zero_point))
                .collect();
            found.close_all("scale", &scales, &list("scale"), TOLERANCE, 0.0);
            found.close_all("zero point", &zeros, &list("zero_point"), 1e-12, 0.0);
        });
    }
    report.finish();
}

fn symmetric(name: &str) -> bool {
    name.contains("symmetric") || name.contains("narrow") || name == "channel_moving_average_axis1"
}

pub fn calibration() {
    let golden = kd_goldens::read(FILE);
    let wanted = golden["calibration"]["values"].as_object().expect("values");
    let batches: Vec<Vec<f32>> = (0..3)
        .map(|k| {
            let values = kd_goldens::uniform(&format!("observer/batch{k}"), 300);
            values
                .into_iter()
                .map(|u| (u / (1.02 - u.abs())) as f32)
                .collect()
        })
        .collect();
    let mut symmetric = SymmetricHistogram::new(512);
    let mut absolute = AbsoluteHistogram::new(512);
    for batch in &batches {
        symmetric.observe(batch).expect("finite values");
        absolute.observe(batch).expect("finite values");
    }
    let all = batches.concat();
    let mut report = Report::new(FILE, &[]);
    for (name, want) in wanted {
        report.case(name, |found| {
            let mut check = |key: &str, got: f64| {
                let want = if want.is_number() { want } else { &want[key] };
                found.close(key, got, want.as_f64().expect("a number"), TOLERANCE, 0.0);
            };
            let mut ends = |[low, high]: [f32; 2]| {
                check("low", low.into());
                check("high", high.into());
            };
            match name.as_str() {
                "entropy" => {
                    let (histogram, range) = symmetric.counted().expect("data");
                    ends(entropy_range(histogram, 64, range));
                }
                "percentile_99" => ends(symmetric.percentile(99.0).expect("data")),
                "percentile_99_symmetric" => {
                    let high = absolute.percentile(99.0).expect("data");
                    ends([-high, high]);
                }
                "mse_symmetric_int4" => {
                    let levels = Levels::new(-7, 7).expect("levels");
                    let [best, whole] = least_squares(&all, levels, 100).expect("data");
                    check("high", best.high.into());
                    check("error", best.error);
                    check("error_at_max", whole.error);
                }
                "exact_quantile_0.99_of_abs" => {
                    // What the bins of the two percentiles approximate.
                    let mut sizes: Vec<f64> = all.iter().map(|v| f64::from(v.abs())).collect();
                    sizes.sort_by(f64::total_cmp);
                    let place = 0.99 * (sizes.len() - 1) as f64;
                    let (below, share) = (place as usize, place.fract());
                    check("", sizes[below] * (1.0 - share) + sizes[below + 1] * share);
                }
                _ => found.fail("nothing here is known by this name"),
            }
        });
    }
    report.finish();
}

pub fn integers() {
    let golden = kd_goldens::read(FILE);
    let mut report = Report::new(FILE, &[]);
    for json in golden["integer_convolution"].as_array().expect("a list") {
        let name = json["name"].as_str().expect("a name");
        report.case(name, |found| {
            let list = |key: &str| ints(&json[key]);
            let number = |key: &str| json[key].as_i64().expect("an integer") as i32;
            let scale = |value: &Value| value.as_f64().expect("a number") as f32;
            let shape = |key: &str| {
                let shape: Vec<usize> = list(key).into_iter().map(|d| d as usize).collect();
                <[usize; 4]>::try_from(shape).expect("four sizes")
            };
            let (x, w, bias) = (list("x"), list("w"), list("bias"));
            let convolution = IntegerConvolution {
                input: (&x, shape("x_shape")),
                input_zero: number("x_zero"),
                weight: (&w, shape("w_shape")),
                bias: &bias,
                stride: number("stride") as usize,
                padding: number("padding") as usize,
                groups: 1,
            };
            let sums = convolution.sums();
            let [_, outputs, rows, columns] = convolution.shape();
            let levels = match name.starts_with("uint8") {
                true => Levels::UINT8,
                false => Levels::INT8,
            };
            let y: Vec<f64> = sums
                .iter()
                .enumerate()
                .map(|(place, sum)| {
                    let channel = place / (rows * columns) % outputs;
                    let weight_scale = scale(&json["w_scales"][channel]);
                    let multiplier =
                        scale(&json["x_scale"]) * weight_scale / scale(&json["y_scale"]);
                    f64::from(requantise(*sum, multiplier, number("y_zero"), levels))
                })
                .collect();
            #[cfg(feature = "flex")]
            {
                let scales = ["x_scale", "y_scale"].map(|key| scale(&json[key]));
                let weights = json["w_scales"].as_array().expect("a list");
                let weights: Vec<f32> = weights.iter().map(scale).collect();
                let zeros = [number("x_zero"), number("y_zero")];
                kernels::compare(found, &convolution, levels, (scales, zeros, &weights), &y);
            }
            let sums: Vec<f64> = sums.into_iter().map(f64::from).collect();
            found.close_all("sums", &sums, &numbers(&json["accumulator"]), 1e-12, 0.0);
            found.close_all("output", &y, &numbers(&json["y"]), 1e-12, 0.0);
        });
    }
    report.finish();
}

fn ints(list: &Value) -> Vec<i32> {
    let items = list.as_array().expect("a list").iter();
    items
        .map(|i| i.as_i64().expect("an integer") as i32)
        .collect()
}

fn numbers(list: &Value) -> Vec<f64> {
    let items = list.as_array().expect("a list").iter();
    items.map(|i| i.as_f64().expect("a number")).collect()
}
