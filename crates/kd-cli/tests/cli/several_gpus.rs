//! The example of several GPUs, on the one device that is here.

use burn::tensor::Device;

#[path = "../../examples/several_gpus.rs"]
#[allow(dead_code, reason = "its main function")]
mod example;

#[test]
fn one_device_distils_alone_and_parts_must_be_equal() {
    let parts = example::distil(&[Device::flex()]).unwrap();
    let [part] = parts.as_slice() else {
        panic!("{parts:?}");
    };
    assert!(part.norm.is_finite());
    assert!(part.losses[4] < part.losses[0], "{:?}", part.losses);
    let refused = example::distil(&[]).unwrap_err().to_string();
    assert_eq!(refused, "48 images cannot be divided over 0 devices");
}
