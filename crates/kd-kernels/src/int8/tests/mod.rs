//! Every layer with every instruction set, bit for bit against the definition.

use proptest::prelude::*;
use proptest::sample::select;

use super::reference::{self, Plain};
use super::*;

mod program;

const ALL: [f32; 2] = [f32::NEG_INFINITY, f32::INFINITY];
const CLIPS: [[f32; 2]; 3] = [ALL, [0.0, f32::INFINITY], [0.0, 6.0]];

fn grid(scale: f32, zero: i32, levels: [i32; 2]) -> ByteGrid {
    ByteGrid::new(scale, zero, levels).expect("a grid")
}

/// Grids without and with a sign, of eight bits and fewer.
fn grids() -> impl Strategy<Value = ByteGrid> {
    let levels = select(vec![[0, 255], [-128, 127], [0, 127], [-7, 7]]);
    (levels, 0.0_f32..1.0, 0.004_f32..0.2).prop_map(
        |([low, high], share, scale): ([i32; 2], _, _)| {
            let zero = low + (share * (high - low) as f32).round() as i32;
            grid(scale, zero, [low, high])
        },
    )
}

/// A grid, or floats.
fn numbers() -> impl Strategy<Value = Option<ByteGrid>> {
    prop_oneof![3 => grids().prop_map(Some), 1 => Just(None)]
}

fn map([channels, height, width]: [usize; 3], border: usize, grid: Option<ByteGrid>) -> Map {
    Map {
        height,
        width,
        channels,
        border,
        grid,
    }
}

/// Bytes, or the bits of floats.
#[track_caller]
fn assert_same(found: &Data, wanted: &Plain, what: &str) {
    match (found, &wanted.data()) {
        (Data::Bytes(found), Data::Bytes(wanted)) => assert_eq!(found, wanted, "{what}"),
        (Data::Floats(found), Data::Floats(wanted)) => {
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(found), bits(wanted), "{what}");
        }
        _ => panic!("{what}: integers and floats"),
    }
}

#[derive(Clone, Debug)]
struct Case {
    input: Map,
    output: Map,
    residual: Option<Map>,
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    dilation: [usize; 2],
    groups: usize,
    clip: [f32; 2],
}

impl Case {
    fn check(&self) {
        let count = self.input.channels / self.groups * self.kernel[0] * self.kernel[1];
        let drawn = kd_goldens::uniform("weight", self.output.channels * count);
        let ends = drawn.into_iter().map(|u| (160.0 * u).clamp(-127.0, 127.0));
        let weight: Vec<i8> = ends.map(|w| w.round() as i8).collect();
        let outputs = self.output.channels;
        let drawn = kd_goldens::uniform("scale", outputs).into_iter();
        let scales: Vec<f32> = drawn.map(|u| (0.002 + 0.001 * u) as f32).collect();
        let drawn = kd_goldens::uniform("bias", outputs).into_iter();
        let bias: Vec<i32> = drawn.map(|u| (3e4 * u) as i32).collect();
        let spec = ConvolutionSpec {
            input: self.input,
            output: self.output,
            residual: self.residual,
            weight: &weight,
            weight_scales: &scales,
            bias: &bias,
            kernel: self.kernel,
            stride: self.stride,
            padding: self.padding,
            dilation: self.dilation,
            groups: self.groups,
            clip: self.clip,
        };
        let x = Plain::drawn(self.input, "x");
        let residual = self.residual.map(|map| Plain::drawn(map, "residual"));
        let wanted = reference::convolution(&spec, &x, residual.as_ref());
        let (x, residual) = (x.data(), residual.map(|residual| residual.data()));
        for set in IntegerSet::available() {
            let convolution = Convolution::new(set, &spec).expect("a convolution");
            for spread in [false, true] {
                let mut y = self.output.zeros();
                convolution.run(&x, residual.as_ref(), &mut y, spread);
                assert_same(&y, &wanted, &format!("{set}, {self:?}"));
            }
        }
    }
}

/// Channels of a group, outputs of a group, groups.
fn channels() -> impl Strategy<Value = [usize; 3]> {
    prop_oneof![
        4 => (1_usize..20, 1_usize..70).prop_map(|(inputs, outputs)| [inputs, outputs, 1]),
        1 => (20_usize..150, 1_usize..40).prop_map(|(inputs, outputs)| [inputs, outputs, 1]),
        2 => (1_usize..7, 1_usize..20, 2_usize..4).prop_map(|(i, o, g)| [i, o, g]),
        2 => (2_usize..40).prop_map(|groups| [1, 1, groups]),
    ]
}

fn cases() -> impl Strategy<Value = Case> {
    let sizes = ([1_usize..13, 1_usize..20], [1_usize..5, 1_usize..5]);
    let steps = ([1_usize..4, 1_usize..4], [1_usize..3, 1_usize..3]);
    let borders = [0_usize..3, 0_usize..3, 0_usize..3];
    let kinds = (
        grids(),
        numbers(),
        prop_oneof![Just(None), numbers().prop_map(Some)],
    );
    let all = (
        sizes,
        steps,
        borders,
        kinds,
        channels(),
        (select(CLIPS.to_vec()), [0_usize..4, 0_usize..4]),
    );
    all.prop_map(
        |(sizes, steps, borders, kinds, channels, (clip, padding))| {
            let ([output, mut kernel], [stride, dilation]) =
                ([sizes.0, sizes.1], [steps.0, steps.1]);
            let [inputs, outputs, groups] = channels;
            let mut padding = padding;
            let mut size = [0; 2];
            for axis in 0..2 {
                // A pixel at least lies between the paddings.
                let reach = (kernel[axis] - 1) * dilation[axis] + 1;
                let padded = (output[axis] - 1) * stride[axis] + reach;
                padding[axis] = padding[axis].min((padded - 1) / 2);
                size[axis] = padded - 2 * padding[axis];
                kernel[axis] = kernel[axis].max(1);
            }
            let border = padding[0].max(padding[1]) + borders[0];
            let shape = |channels: usize, [height, width]: [usize; 2]| [channels, height, width];
            Case {
                input: map(shape(inputs * groups, size), border, Some(kinds.0)),
                output: map(shape(outputs * groups, output), borders[1], kinds.1),
                residual: kinds
                    .2
                    .map(|grid| map(shape(outputs * groups, output), borders[2], grid)),
                kernel,
                stride,
                padding,
                dilation,
                groups,
                clip,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn convolutions_are_those_of_the_definition(case in cases()) {
        case.check();
    }

    #[test]
    fn sums_of_maps_are_those_of_the_definition(
        grids in [numbers(), numbers(), numbers()],
        borders in [0_usize..3, 0_usize..3, 0_usize..3],
        shape in [1_usize..140, 1_usize..6, 1_usize..6],
        clip in select(CLIPS.to_vec()),
    ) {
        let maps = [0, 1, 2].map(|at| map(shape, borders[at], grids[at]));
        let [a, b] = [Plain::drawn(maps[0], "a"), Plain::drawn(maps[1], "b")];
        let wanted = reference::add([&a, &b], maps[2], clip);
        for set in IntegerSet::available() {
            let add = Add::new(set, [maps[0], maps[1]], maps[2], clip).expect("a sum");
            let mut y = maps[2].zeros();
            add.run([&a.data(), &b.data()], &mut y);
            assert_same(&y, &wanted, &set.to_string());
        }
    }

    #[test]
    fn pools_are_those_of_the_definition(
        input in numbers(),
        output in numbers(),
        kind in 0_usize..3,
        channels in 1_usize..140,
        size in [1_usize..9, 1_usize..9],
        kernel in [1_usize..5, 1_usize..5],
        stride in [1_usize..4, 1_usize..4],
        padding in [0_usize..4, 0_usize..4],
        more in [0_usize..2, 0_usize..2],
        borders in [0_usize..3, 0_usize..3],
    ) {
        let kind = [
            PoolKind::Max,
            PoolKind::Average { count_padding: false },
            PoolKind::Average { count_padding: true },
        ][kind];
        let (mut places, mut padding) = ([0; 2], padding);
        for axis in 0..2 {
            padding[axis] = padding[axis].min(kernel[axis] - 1);
            // With `more`, the last window is cut off at the end.
            let room = (size[axis] + 2 * padding[axis]).saturating_sub(kernel[axis]);
            places[axis] = room / stride[axis] + 1 + more[axis];
            let last = (places[axis] - 1) * stride[axis];
            prop_assume!(last < size[axis] + padding[axis]);
        }
        let output = if kind == PoolKind::Max { input } else { output };
        let spec = PoolSpec {
            input: map([channels, size[0], size[1]], borders[0], input),
            output: map([channels, places[0], places[1]], borders[1], output),
            kind,
            kernel,
            stride,
            padding,
        };
        let x = Plain::drawn(spec.input, "x");
        let wanted = reference::pool(&spec, &x);
        for set in IntegerSet::available() {
            let pool = Pool::new(set, spec).expect("pooling");
            let mut y = spec.output.zeros();
            pool.run(&x.data(), &mut y);
            assert_same(&y, &wanted, &format!("{set}, {spec:?}"));
        }
    }

    #[test]
    fn channels_are_those_of_the_definition(
        grids in [numbers(), numbers(), numbers()],
        same in any::<bool>(),
        scaled in any::<bool>(),
        borders in [0_usize..3, 0_usize..3, 0_usize..3],
        counts in [1_usize..40, 1_usize..40],
        taken in proptest::collection::vec((0_usize..2, any::<u16>(), 1_usize..60), 1..12),
        size in [1_usize..6, 1_usize..6],
        clip in select(CLIPS.to_vec()),
    ) {
        let shape = |channels: usize| [channels, size[0], size[1]];
        let inputs = [0, 1].map(|at| map(shape(counts[at]), borders[at], grids[at]));
        let runs = taken.into_iter().flat_map(|(source, from, count)| {
            (0..count).map(move |next| (source, (usize::from(from) + next) % counts[source]))
        });
        let taken: Vec<_> = runs.collect();
        let grid = if same { grids[0] } else { grids[2] };
        let output = map(shape(taken.len()), borders[2], grid);
        let plain = inputs.map(|map| Plain::drawn(map, "x"));
        let numbers = ["factor", "shift"].map(|key| {
            let drawn = kd_goldens::uniform(key, taken.len()).into_iter();
            drawn.map(|u| 2.0 * u as f32).collect::<Vec<_>>()
        });
        let affine = scaled.then_some([&numbers[0][..], &numbers[1][..]]);
        let wanted = reference::channels(&plain, output, &taken, affine, clip);
        let data = plain.map(|plain| plain.data());
        for set in IntegerSet::available() {
            let channels = Channels::new(set, &inputs, output, &taken, affine, clip).expect("channels");
            let mut y = output.zeros();
            channels.run(&[&data[0], &data[1]], &mut y);
            assert_same(&y, &wanted, &set.to_string());
        }
    }

    #[test]
    fn images_are_put_on_their_grid(
        grid in grids(),
        shape in [1_usize..6, 1_usize..9, 1_usize..9],
        border in 0_usize..3,
    ) {
        let map = map(shape, border, Some(grid));
        let count = shape.iter().product();
        let drawn = kd_goldens::uniform("image", count).into_iter();
        let mut image: Vec<f32> = drawn.map(|u| (40.0 * u) as f32).collect();
        image[0] = 0.5 * grid.scale();
        image[count - 1] = f32::INFINITY;
        let wanted = reference::images(&image, map);
        for set in IntegerSet::available() {
            let images = Images::new(set, map).expect("images");
            let mut y = map.zeros();
            images.run(&image, &mut y);
            assert_same(&y, &wanted, &set.to_string());
        }
    }
}

/// Sums of two products of bytes at their ends leave 16 bits, and long sums leave the whole numbers of a float.
#[test]
fn the_largest_products_do_not_saturate() {
    let map = |shape, border, grid| map(shape, border, Some(grid));
    let input = map([64, 5, 9], 1, grid(0.1, 0, [0, 255]));
    let output = map([40, 5, 9], 0, grid(4000.0, 3, [-128, 127]));
    let taps = 64 * 9;
    for sign in [-1_i8, 1] {
        let weight = vec![127 * sign; 40 * taps];
        let spec = ConvolutionSpec {
            input,
            output,
            residual: None,
            weight: &weight,
            weight_scales: &[0.125; 40],
            bias: &[12_345_678; 40],
            kernel: [3; 2],
            stride: [1; 2],
            padding: [1; 2],
            dilation: [1; 2],
            groups: 1,
            clip: ALL,
        };
        let x = Plain::of(input, |_, _, _| 255.0);
        let wanted = reference::convolution(&spec, &x, None);
        let middle = (12_345_678 + i32::from(sign) * 255 * 127 * taps as i32) as f32;
        let level = (middle * (0.1_f32 * 0.125 / 4000.0)).round_ties_even() + 3.0;
        assert_eq!(wanted.at(0, 2, 2), level);
        for set in IntegerSet::available() {
            let mut y = output.zeros();
            let convolution = Convolution::new(set, &spec).expect("a convolution");
            convolution.run(&x.data(), None, &mut y, true);
            assert_same(&y, &wanted, &set.to_string());
        }
    }
}

#[test]
fn what_cannot_be_computed_is_told() {
    let refused = |found: Result<ByteGrid, IntegerError>| found.expect_err("refused").to_string();
    assert!(refused(ByteGrid::new(0.1, 0, [0, 256])).contains("0 to 256 are not those of a byte"));
    assert!(refused(ByteGrid::new(0.1, 0, [-1, 200])).contains("-1 to 200"));
    assert!(refused(ByteGrid::new(0.1, 9, [0, 7])).contains("zero point 9"));
    assert!(refused(ByteGrid::new(f32::NAN, 0, [0, 7])).contains("scale NaN"));
    let bytes = Some(grid(0.1, 0, [0, 255]));
    let input = map([2, 4, 4], 0, bytes);
    let weight = [1; 18];
    let good = ConvolutionSpec {
        input,
        output: map([1, 2, 2], 0, bytes),
        residual: None,
        weight: &weight,
        weight_scales: &[0.1],
        bias: &[0],
        kernel: [3; 2],
        stride: [1; 2],
        padding: [0; 2],
        dilation: [1; 2],
        groups: 1,
        clip: ALL,
    };
    let set = IntegerSet::chosen();
    assert!(Convolution::new(set, &good).is_ok());
    let refused = |spec: ConvolutionSpec| {
        let refused = Convolution::new(set, &spec).expect_err("refused");
        refused.to_string()
    };
    let floats = map([2, 4, 4], 0, None);
    for (spec, problem) in [
        (
            ConvolutionSpec {
                padding: [1; 2],
                output: map([1, 4, 4], 0, bytes),
                ..good
            },
            "a border of 0",
        ),
        (
            ConvolutionSpec { groups: 2, ..good },
            "1 outputs in 2 groups",
        ),
        (
            ConvolutionSpec {
                stride: [0; 2],
                ..good
            },
            "no size",
        ),
        (
            ConvolutionSpec {
                output: map([1, 3, 2], 0, bytes),
                ..good
            },
            "3 outputs along an axis with 2 places",
        ),
        (
            ConvolutionSpec {
                input: floats,
                ..good
            },
            "of floats",
        ),
        (
            ConvolutionSpec {
                residual: Some(input),
                ..good
            },
            "a residual of another size",
        ),
        (
            ConvolutionSpec {
                weight: &weight[1..],
                ..good
            },
            "17 weights where 18",
        ),
        (
            ConvolutionSpec {
                weight: &[-128; 18],
                ..good
            },
            "a weight of -128",
        ),
        (
            ConvolutionSpec {
                bias: &[i32::MAX],
                ..good
            },
            "do not fit 32 bits",
        ),
        (
            ConvolutionSpec {
                weight_scales: &[f32::INFINITY],
                ..good
            },
            "too far apart",
        ),
    ] {
        let found = refused(spec);
        assert!(found.contains(problem), "{problem}: {found}");
    }
}
