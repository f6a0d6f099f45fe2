//! The operations.

use burn::backend::Flex;
use burn_flex::FlexTensor;

use super::{MapGrads, MapOps, compare, inverse, share};
use crate::flex::Maybe;
use crate::flex::tensor::{Map, build, dense, values};
use crate::images::Size;
use crate::isa;
use crate::loss::blend::{self, Blend};
use crate::loss::distance::{self, Rule};
use crate::loss::energy;
use crate::loss::power_iteration::Iterations;
use crate::loss::products::{self, Along};
use crate::nn::{channels, pool};

/// Means over positions of products of channels.
fn outer(a: &Map, b: &Map) -> FlexTensor {
    let (a, b) = (a.images(), b.images());
    let shape = [a.size.batch, a.size.channels, b.size.channels];
    let scale = inverse(a.size.area());
    dense(products::outer(isa(), a, b, scale), shape)
}

impl MapOps for Flex {
    fn kernel_distance(
        student: FlexTensor,
        target: FlexTensor,
        margin: Maybe<Self>,
        rule: Rule,
    ) -> FlexTensor {
        compare([student, target], margin.into_option(), rule, |compared| {
            let channels = compared.student.size.channels;
            dense(distance::mean_squares(isa(), compared), [channels])
        })
    }

    fn kernel_pearson(student: FlexTensor, target: FlexTensor, epsilon: f64) -> FlexTensor {
        Self::pearson(student, target, epsilon).0
    }

    fn kernel_divergence(student: FlexTensor, target: FlexTensor, temperature: f64) -> FlexTensor {
        Self::divergence(student, target, temperature).0
    }

    fn kernel_negative_part(x: FlexTensor) -> FlexTensor {
        let x = Map::new(x);
        let x = x.images();
        dense(channels::negative_part(isa(), x), [2, x.size.channels])
    }

    fn kernel_energy(x: FlexTensor) -> FlexTensor {
        let x = Map::new(x);
        let x = x.images();
        let energy = values(x.size.pixels(), |y| energy::energy(isa(), x, y));
        dense(energy, [x.size.batch, x.size.area()])
    }

    fn kernel_products(a: FlexTensor, b: FlexTensor) -> FlexTensor {
        outer(&Map::new(a), &Map::new(b))
    }

    fn kernel_gram(x: FlexTensor, along: Along) -> FlexTensor {
        let x = Map::new(x);
        let x = x.images();
        let products = products::gram(isa(), x, along, share(x, along));
        let size = match along {
            Along::Channels => x.size.channels,
            Along::Positions => x.size.area(),
        };
        dense(products, [x.size.batch, size, size])
    }

    fn kernel_average_pool(x: FlexTensor, [height, width]: [usize; 2]) -> FlexTensor {
        let x = Map::new(x);
        let x = x.images();
        let output = Size {
            height,
            width,
            ..x.size
        };
        build(output, |y| pool::average(isa(), x, output, y))
    }

    fn kernel_blend(a: FlexTensor, b: FlexTensor, shares: FlexTensor) -> FlexTensor {
        let [a, b, shares] = [a, b, shares].map(Map::new);
        let blend = Blend {
            a: a.images(),
            b: b.images(),
            shares: shares.images(),
        };
        build(blend.a.size, |y| blend::blend(isa(), blend, y))
    }

    fn kernel_leaky_relu(x: FlexTensor, slope: f64) -> FlexTensor {
        Self::leaky_relu_grad(x.clone(), x, slope)
    }

    fn kernel_unit_rows(x: FlexTensor, zero: f64) -> FlexTensor {
        Self::unit_rows(x, zero).0
    }

    fn kernel_leading_vectors(
        matrices: FlexTensor,
        start: FlexTensor,
        search: usize,
        steps: usize,
        zero: f64,
    ) -> FlexTensor {
        let iterations = Iterations::new(search, steps, zero);
        Self::leading_vectors(matrices, start, iterations).0
    }
}
