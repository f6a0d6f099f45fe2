//! RoIAlign.

use burn::tensor::Tensor;
use kd_core::Error;
use kd_core::detection::{LevelScales, RegionOfInterest, RoiAlign, multi_scale_roi_align};

use super::super::case::{Answer, Case, numbers};
use super::weighted;

pub fn roi_align(case: &Case) -> Result<Answer, Error> {
    let align = RoiAlign {
        output: case.param("output") as usize,
        scale: case.param("scale"),
        sampling_ratio: case.param("sampling_ratio") as usize,
        aligned: case.json["params"]["aligned"] == true,
    };
    let images = case.indices("image").into_iter();
    let regions: Vec<RegionOfInterest> = images
        .zip(case.boxes("rois"))
        .map(|(image, corners)| RegionOfInterest { image, corners })
        .collect();
    let pooled = align.forward(case.tensor("feature"), &regions)?;
    Ok(weighted(case, "pooled", pooled))
}

pub fn multi_scale(case: &Case) -> Result<Answer, Error> {
    let maps: Vec<Tensor<4>> = case.tensors("f");
    let sizes: Vec<[usize; 2]> = maps
        .iter()
        .map(|map| [map.dims()[2], map.dims()[3]])
        .collect();
    let scales = LevelScales::new([512, 512], &sizes);
    let boxes = case.boxes("rois");
    let levels = boxes.iter().map(|corners| scales.level_of(corners) as f64);
    let levels = levels.collect();
    let regions: Vec<RegionOfInterest> = boxes
        .into_iter()
        .map(|corners| RegionOfInterest { image: 0, corners })
        .collect();
    let pooled = multi_scale_roi_align(&maps, &scales, &regions, 2, 2)?;
    let weights = kd_goldens::uniform(
        "multi_scale_roi_align/grad_weight",
        numbers(pooled.clone()).len(),
    );
    let loss = (pooled.clone() * case.of_data(weights, pooled.dims())).sum();
    Ok(Answer::new(loss)
        .with_value("pooled", numbers(pooled))
        .with_value("levels", levels))
}
