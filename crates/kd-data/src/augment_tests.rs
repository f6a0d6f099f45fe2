use serde_json::json;

use super::*;

fn read(value: serde_json::Value) -> Augment {
    serde_json::from_value(value).unwrap()
}

#[test]
fn a_part_of_the_image_takes_the_place_of_the_shift() {
    let all = json!({
        "random_resized_crop": {}, "timm_rand_augment": {}, "color_jitter": {}, "random_erasing": {},
        "repeats": 3
    });
    let augment = read(all);
    assert_eq!((augment.crop, augment.flip, augment.cutout), (0, true, 0));
    augment.validate().unwrap();
    assert!(augment.is_endless() && !Augment::default().is_endless());
    let written = serde_json::to_value(augment).unwrap();
    assert_eq!(read(written), augment);
    let old = json!({"crop": 4, "flip": true, "cutout": 0});
    assert_eq!(serde_json::to_value(Augment::default()).unwrap(), old);
}

#[test]
fn mistakes_name_the_key_and_the_cure() {
    for (value, parts) in [
        (
            json!({"random_resized_crop": {}, "crop": 4}),
            ["data.augment.crop = 4", "leave `crop` out"],
        ),
        (
            json!({"random_resized_crop": {"scale": [0.0, 1.0]}}),
            [
                "data.augment.random_resized_crop.scale = [0, 1]",
                "above 0, at most 1",
            ],
        ),
        (
            json!({"random_resized_crop": {"scale": [0.5, 1.5]}}),
            ["random_resized_crop.scale = [0.5, 1.5]", "at most 1"],
        ),
        (
            json!({"random_resized_crop": {"ratio": [2.0, 1.0]}}),
            ["random_resized_crop.ratio = [2, 1]", "above 0"],
        ),
        (
            json!({"rand_augment": {"magnitude": 31}}),
            [
                "rand_augment.magnitude = 31",
                "below num_magnitude_bins = 31",
            ],
        ),
        (
            json!({"rand_augment": {"num_magnitude_bins": 1, "magnitude": 0}}),
            ["rand_augment.num_magnitude_bins = 1", "at least 2"],
        ),
        (
            json!({"rand_augment": {"num_ops": 0}}),
            ["rand_augment.num_ops = 0", "leave the table out"],
        ),
        (
            json!({"rand_augment": {}, "trivial_augment": {}}),
            ["data.augment.trivial_augment", "leave one of the two out"],
        ),
        (
            json!({"timm_rand_augment": {}, "rand_augment": {}}),
            ["data.augment.timm_rand_augment", "leave one of the two out"],
        ),
        (
            json!({"timm_rand_augment": {"num_ops": 0}}),
            ["timm_rand_augment.num_ops = 0", "leave the table out"],
        ),
        (
            json!({"timm_rand_augment": {"magnitude": 15}}),
            ["timm_rand_augment.magnitude = 15", "from 0 to 10"],
        ),
        (
            json!({"timm_rand_augment": {"magnitude_std": -1}}),
            ["timm_rand_augment.magnitude_std = -1", "0 to 100"],
        ),
        (
            json!({"timm_rand_augment": {"probability": 1.5}}),
            ["timm_rand_augment.probability = 1.5", "from 0 to 1"],
        ),
        (
            json!({"repeats": 0}),
            ["data.augment.repeats = 0", "1 repeats nothing"],
        ),
        (
            json!({"trivial_augment": {"num_magnitude_bins": 1}}),
            ["trivial_augment.num_magnitude_bins = 1", "at least 2"],
        ),
        (
            json!({"color_jitter": {"contrast": -0.5}}),
            ["color_jitter.contrast = -0.5", "at least 0"],
        ),
        (
            json!({"random_erasing": {"probability": 2.0}}),
            ["random_erasing.probability = 2", "from 0 to 1"],
        ),
        (
            json!({"random_erasing": {"scale": [0.3, 0.2]}}),
            ["random_erasing.scale = [0.3, 0.2]", "above 0"],
        ),
    ] {
        let error = read(value).validate().unwrap_err().to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
    for (value, part) in [
        (
            json!({"rand_augment": {"magnitud": 9}}),
            "unknown field `magnitud`",
        ),
        (
            json!({"random_resized_crop": {"interpolation": "cubic"}}),
            "`bicubic`, `lanczos`",
        ),
        (
            json!({"random_erasing": {"mode": "random"}}),
            "`const`, `rand`",
        ),
    ] {
        let error = serde_json::from_value::<Augment>(value).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
}
