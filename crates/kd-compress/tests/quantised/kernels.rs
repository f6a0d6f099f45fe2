//! The kernels' convolutions of integers against the definition.

use kd_compress::quantise::{IntegerConvolution, Levels};
use kd_goldens::Comparison;
use kd_kernels::int8::{ByteGrid, Convolution, ConvolutionSpec, Data, IntegerSet, Map};

/// Compares every instruction set's output with `wanted`, the integers of `[batch, outputs, height, width]`. Scales and zero
/// points are those of input and output.
pub fn compare(
    found: &mut Comparison,
    convolution: &IntegerConvolution,
    levels: Levels,
    (scales, zeros, weight_scales): ([f32; 2], [i32; 2], &[f32]),
    wanted: &[f64],
) {
    let grid = |at: usize| {
        let grid = ByteGrid::new(scales[at], zeros[at], [levels.low, levels.high]);
        Some(grid.expect("a grid of bytes"))
    };
    let map = |[_, channels, height, width]: [usize; 4], border: usize, grid| Map {
        height,
        width,
        channels,
        border,
        grid,
    };
    let (values, shape) = convolution.input;
    let input = map(shape, convolution.padding, grid(0));
    let output = map(convolution.shape(), 0, grid(1));
    let (weight, [_, _, height, width]) = convolution.weight;
    let weight: Vec<i8> = weight
        .iter()
        .map(|w| i8::try_from(*w).expect("a byte"))
        .collect();
    let spec = ConvolutionSpec {
        input,
        output,
        residual: None,
        weight: &weight,
        weight_scales,
        bias: convolution.bias,
        kernel: [height, width],
        stride: [convolution.stride; 2],
        padding: [convolution.padding; 2],
        dilation: [1; 2],
        groups: convolution.groups,
        clip: [f32::NEG_INFINITY, f32::INFINITY],
    };
    let places = |map: &Map| {
        let map = *map;
        let rows = (0..map.channels).flat_map(move |c| (0..map.height).map(move |y| (c, y)));
        rows.flat_map(move |(c, y)| (0..map.width).map(move |x| map.at(y, x) + c))
    };
    let first = input.grid.map_or(0, |grid| grid.first());
    for set in IntegerSet::available() {
        let layer = Convolution::new(set, &spec).expect("a convolution");
        let mut got = Vec::new();
        for image in values.chunks(shape[1..].iter().product()) {
            let (mut x, mut y) = (input.zeros(), output.zeros());
            if let Data::Bytes(bytes) = &mut x {
                for (place, value) in places(&input).zip(image) {
                    bytes[place] = (value - first) as u8;
                }
            }
            layer.run(&x, None, &mut y, true);
            let bytes = y.bytes();
            got.extend(places(&output).map(|place| f64::from(i32::from(bytes[place]) + first)));
        }
        found.close_all(&format!("output by {set}"), &got, wanted, 1e-12, 0.0);
    }
}
