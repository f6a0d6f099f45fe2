//! A network of every layer against the definition, layer by layer.

use super::super::reference::{self, Plain};
use super::super::*;
use super::{ALL, assert_same, grid, map};

/// What is known of a network while it is built: its maps, its steps, and what an image gives by the definition.
struct Built {
    set: IntegerSet,
    maps: Vec<Map>,
    steps: Vec<Step>,
    /// For each image.
    plain: Vec<Vec<Plain>>,
}

impl Built {
    fn step(&mut self, operation: Operation, inputs: &[usize], map: Map) -> usize {
        self.maps.push(map);
        let output = self.maps.len() - 1;
        self.steps.push(Step {
            operation,
            inputs: inputs.to_vec(),
            output,
        });
        output
    }

    fn convolution(
        &mut self,
        x: usize,
        residual: Option<usize>,
        output: Map,
        [kernel, stride, groups]: [usize; 3],
    ) -> usize {
        let input = self.maps[x];
        let count = output.channels * input.channels / groups * kernel * kernel;
        let drawn = kd_goldens::uniform(&format!("weight {x}"), count);
        let weight: Vec<i8> = drawn.into_iter().map(|u| (127.0 * u) as i8).collect();
        let bias = vec![300; output.channels];
        let scales = vec![0.01; output.channels];
        let spec = ConvolutionSpec {
            input,
            output,
            residual: residual.map(|residual| self.maps[residual]),
            weight: &weight,
            weight_scales: &scales,
            bias: &bias,
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [kernel / 2; 2],
            dilation: [1; 2],
            groups,
            clip: [0.0, f32::INFINITY],
        };
        for plain in &mut self.plain {
            let other = residual.map(|residual| &plain[residual]);
            let y = reference::convolution(&spec, &plain[x], other);
            plain.push(y);
        }
        let layer = Convolution::new(self.set, &spec).expect("a convolution");
        let inputs: Vec<usize> = [Some(x), residual].into_iter().flatten().collect();
        self.step(Operation::Convolution(layer), &inputs, output)
    }

    fn pool(&mut self, x: usize, output: Map, kind: PoolKind, kernel: usize) -> usize {
        let spec = PoolSpec {
            input: self.maps[x],
            output,
            kind,
            kernel: [kernel; 2],
            stride: [2; 2],
            padding: [0; 2],
        };
        for plain in &mut self.plain {
            let y = reference::pool(&spec, &plain[x]);
            plain.push(y);
        }
        let pool = Pool::new(self.set, spec).expect("pooling");
        self.step(Operation::Pool(pool), &[x], output)
    }
}

#[test]
fn a_network_gives_what_its_layers_give_for_any_number_of_images_and_threads() {
    let unsigned = |scale| Some(grid(scale, 0, [0, 255]));
    let signed = |scale| Some(grid(scale, 5, [-128, 127]));
    let count = 9;
    let images: Vec<f32> = kd_goldens::uniform("images", count * 3 * 12 * 12)
        .into_iter()
        .map(|u| 2.0 * u as f32)
        .collect();
    let input = map([3, 12, 12], 1, signed(0.02));
    for set in IntegerSet::available() {
        let each = images.chunks_exact(3 * 12 * 12);
        let mut built = Built {
            set,
            maps: vec![input],
            steps: vec![],
            plain: each
                .map(|image| vec![reference::images(image, input)])
                .collect(),
        };
        let wide = map([20, 12, 12], 1, unsigned(0.05));
        let small = |border, grid| map([20, 6, 6], border, grid);
        let stem = built.convolution(0, None, wide, [3, 1, 1]);
        let inner = built.convolution(stem, None, wide, [3, 1, 20]);
        let block = built.convolution(inner, Some(stem), wide, [3, 1, 1]);
        let inner = built.convolution(block, None, wide, [1, 1, 1]);
        let block = built.convolution(inner, Some(block), wide, [3, 1, 1]);
        // A shortcut of floats, as no layer reads it.
        let shortcut = built.convolution(block, None, small(0, None), [1, 2, 1]);
        let inner = built.convolution(block, None, small(1, unsigned(0.1)), [3, 2, 2]);
        let down = built.convolution(inner, Some(shortcut), small(0, unsigned(0.1)), [3, 1, 1]);
        let pooled = built.pool(block, small(0, unsigned(0.05)), PoolKind::Max, 2);
        // Their sum, and every second channel of both.
        let sum = small(0, signed(0.2));
        let maps = [built.maps[down], built.maps[pooled]];
        let add = Add::new(set, maps, sum, ALL).expect("a sum");
        for plain in &mut built.plain {
            let y = reference::add([&plain[down], &plain[pooled]], sum, ALL);
            plain.push(y);
        }
        let added = built.step(Operation::Add(add), &[down, pooled], sum);
        let taken: Vec<_> = (0..20).map(|channel| (channel % 2, channel)).collect();
        let mixed = small(0, signed(0.1));
        let maps = [built.maps[added], built.maps[pooled]];
        let channels = Channels::new(set, &maps, mixed, &taken, None, ALL).expect("channels");
        for plain in &mut built.plain {
            let inputs = [plain[added].clone(), plain[pooled].clone()];
            plain.push(reference::channels(&inputs, mixed, &taken, None, ALL));
        }
        let shuffled = built.step(Operation::Channels(channels), &[added, pooled], mixed);
        let kind = PoolKind::Average {
            count_padding: false,
        };
        let mean = built.pool(shuffled, map([20, 1, 1], 0, unsigned(0.02)), kind, 6);
        let logits = built.convolution(mean, None, map([7, 1, 1], 0, None), [1, 1, 1]);

        let last = built.plain.iter().map(|plain| plain[logits].clone());
        let wanted: Vec<Plain> = last.collect();
        let different = wanted.iter().any(|plain| plain.values != wanted[0].values);
        assert!(different, "images give what is theirs");
        let all: usize = built.maps.iter().map(Map::len).sum();
        let program = Program::new(set, built.maps, 0, built.steps, logits).expect("a program");
        assert!(program.memory() < all, "maps take the places of others");
        for threads in [1, 2, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            let pool = pool.expect("threads");
            for (first, number) in [(0, count), (3, 1), (2, 2), (0, count)] {
                let some = &images[first * program.image_len()..];
                let some = &some[..number * program.image_len()];
                let found = pool.install(|| program.run(some));
                assert_eq!(found.len(), number * 7);
                for (found, wanted) in found.chunks(7).zip(&wanted[first..]) {
                    let mut data = wanted.map.zeros();
                    if let Data::Floats(floats) = &mut data {
                        floats[..7].copy_from_slice(found);
                    }
                    assert_same(&data, wanted, &format!("{set}, {threads} threads"));
                }
            }
        }
    }
}

#[test]
fn programs_that_cannot_be_run_are_told() {
    let set = IntegerSet::chosen();
    let bytes = map([4, 1, 1], 0, Some(grid(0.1, 0, [0, 255])));
    let floats = map([4, 1, 1], 0, None);
    let taken: Vec<_> = (0..4).map(|channel| (0, channel)).collect();
    let copy = Channels::new(set, &[bytes], floats, &taken, None, ALL).expect("channels");
    let step = |input, output| Step {
        operation: Operation::Channels(copy.clone()),
        inputs: vec![input],
        output,
    };
    let told = |steps: Vec<Step>, output| {
        let program = Program::new(set, vec![bytes, floats, floats], 0, steps, output);
        program.expect_err("refused").to_string()
    };
    assert!(told(vec![step(2, 1)], 1).contains("map 2 is read before"));
    assert!(told(vec![step(0, 0)], 1).contains("map 0 is written twice"));
    assert!(told(vec![step(0, 1)], 0).contains("not floats of one pixel"));
    assert!(told(vec![step(0, 1)], 2).contains("not floats of one pixel"));
    assert!(Program::new(set, vec![bytes, floats], 0, vec![step(0, 1)], 1).is_ok());
}
