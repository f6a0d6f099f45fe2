//! From maps of a head to a row a box.

use burn::tensor::Tensor;

/// A map of a head `[batch, boxes · width, height, width of the map]` as a row a box,
/// `[batch, height · width of the map · boxes, width]`: by row, column and box of a cell, as anchors and default
/// boxes are listed.
///
/// # Panics
/// When the channels are no multiple of `width`.
pub fn rows_of_map(map: Tensor<4>, width: usize) -> Tensor<3> {
    let [batch, channels, height, columns] = map.dims();
    assert_eq!(channels % width, 0, "{channels} channels for {width} a box");
    let boxes = channels / width;
    map.permute([0, 2, 3, 1])
        .reshape([batch, height * columns * boxes, width])
}
