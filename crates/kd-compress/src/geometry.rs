//! How a convolution goes over its input.

use kd_export::trace::Node;

/// Steps, borders and groups of a convolution along two axes. A linear layer is one of one pixel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    pub stride: [usize; 2],
    pub padding: [usize; 2],
    pub dilation: [usize; 2],
    pub groups: usize,
}

impl Geometry {
    pub const LINEAR: Self = Self {
        stride: [1; 2],
        padding: [0; 2],
        dilation: [1; 2],
        groups: 1,
    };

    /// Of a `Conv`; what it is instead where it is none of these.
    pub fn of(node: &Node) -> Result<Self, &'static str> {
        let pair = |name: &str| {
            let values = node.ints(name, &[1; 2]);
            [values[0] as usize, values[values.len() - 1] as usize]
        };
        let pads = node.ints("pads", &[0; 4]);
        let [top, left, bottom, right] = pads[..] else {
            return Err("a convolution along other than two axes");
        };
        if [top, left] != [bottom, right] {
            return Err("padding that differs from side to side");
        }
        Ok(Self {
            stride: pair("strides"),
            padding: [top as usize, left as usize],
            dilation: pair("dilations"),
            groups: node.int("group", 1) as usize,
        })
    }
}
