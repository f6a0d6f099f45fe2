//! Weights that were made ready for the kernels, kept from one forward pass to the next.

#[cfg(feature = "flex")]
pub(crate) use kept::{Folding, Sources, folded, packed};

/// What inference makes of a network's weights before it computes: batch normalisation folded into convolutions,
/// Winograd's transformations, and the order in which register tiles read. Kept from one forward pass to the next, so
/// that only the first one makes it.
///
/// What is kept is known by the very tensors it was made of. A tensor that took the place of another, after an
/// optimiser's step or from a file, is another one, for which it is made anew; and as long as something is kept that
/// was made of a tensor, burn changes a copy instead of the tensor itself. So a forward pass gives, bit for bit, what it
/// gives without.
///
/// It takes memory: about twice that of the weights for most layers, and five times for 3×3 convolutions of stride 1.
/// What was made of tensors that are no more is dropped when something else is made, and the rest with the last clone
/// of this value.
///
/// ```
/// use burn::nn::conv::Conv2dConfig;
/// use burn::tensor::{Device, Tensor};
/// use kd_kernels::PreparedWeights;
/// use kd_kernels::layers::{BatchNorm, conv_bn};
///
/// # fn main() {
/// # #[cfg(feature = "flex")] {
/// let device = Device::flex();
/// let conv = Conv2dConfig::new([3, 16], [3, 3]).init(&device);
/// let bn = BatchNorm::new(16, &device);
/// let prepared = PreparedWeights::new();
/// for _ in 0..2 {
///     let image = Tensor::zeros([1, 3, 32, 32], &device);
///     let map = prepared.run(|| conv_bn(&conv, &bn, image, None, true));
///     assert_eq!(map.dims(), [1, 16, 30, 30]);
/// }
/// # }
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct PreparedWeights {
    #[cfg(feature = "flex")]
    kept: std::sync::Arc<kept::Kept>,
}

impl PreparedWeights {
    /// Nothing is kept yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs a forward pass on this thread, with what is kept, and keeps what it makes. Layers of [`layers`],
    /// [`conv2d`] and [`linear`] take part, on Flex devices without autodiff.
    ///
    /// [`layers`]: crate::layers
    /// [`conv2d`]: crate::conv2d()
    /// [`linear`]: crate::linear()
    pub fn run<R>(&self, forward: impl FnOnce() -> R) -> R {
        #[cfg(feature = "flex")]
        let _scope = kept::Scope::enter(self.kept.clone());
        forward()
    }

    /// How often something was made: for tests.
    #[doc(hidden)]
    pub fn made(&self) -> u64 {
        #[cfg(feature = "flex")]
        return self.kept.made();
        #[cfg(not(feature = "flex"))]
        0
    }

    /// Bytes of what is kept.
    pub fn bytes(&self) -> usize {
        #[cfg(feature = "flex")]
        return self.kept.bytes();
        #[cfg(not(feature = "flex"))]
        0
    }
}

#[cfg(feature = "flex")]
mod kept {
    use std::cell::RefCell;
    use std::collections::HashMap;
    use std::hash::Hash;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Mutex, PoisonError, Weak};

    use burn::backend::Flex;
    use burn::tensor::{Bytes, Tensor};
    use burn_flex::{FlexTensor, Layout};

    use crate::ConvOptions;
    use crate::nn::conv::{Way, Weights};

    thread_local! {
        /// Where the forward pass of this thread keeps what it makes.
        static CURRENT: RefCell<Option<Arc<Kept>>> = const { RefCell::new(None) };
    }

    /// Until it is dropped, forward passes of this thread use what is kept.
    pub(super) struct Scope {
        before: Option<Arc<Kept>>,
    }

    impl Scope {
        pub fn enter(kept: Arc<Kept>) -> Self {
            Self {
                before: CURRENT.replace(Some(kept)),
            }
        }
    }

    impl Drop for Scope {
        fn drop(&mut self) {
            CURRENT.set(self.before.take());
        }
    }

    /// A weight and a bias that were made of other tensors.
    pub(crate) type Folded = (Tensor<4>, Tensor<1>);

    /// How they were made.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub(crate) enum Folding {
        /// A batch normalisation went into the convolution before it, whose epsilon has these bits.
        BatchNorm(u64),
        /// A linear layer became a convolution of one pixel.
        Linear,
    }

    /// Everything that is kept.
    #[derive(Debug, Default)]
    pub(super) struct Kept {
        folded: Table<Folding, Folded>,
        packed: Table<(ConvOptions, Way), Arc<Weights>>,
    }

    impl Kept {
        pub fn made(&self) -> u64 {
            self.folded.made.load(Ordering::Relaxed) + self.packed.made.load(Ordering::Relaxed)
        }

        pub fn bytes(&self) -> usize {
            let folded = |(weight, bias): &Folded| {
                weight.shape().num_elements() + bias.shape().num_elements()
            };
            size_of::<f32>() * (self.folded.sum(folded) + self.packed.sum(|packed| packed.len()))
        }
    }

    /// A weight and a bias that `make` makes of `sources`; they may be from an earlier forward pass. Sources on another
    /// backend are none, and then nothing is kept.
    pub(crate) fn folded(
        how: Folding,
        sources: impl FnOnce() -> Sources,
        make: impl FnOnce() -> Folded,
    ) -> Folded {
        match CURRENT.with_borrow(Option::clone) {
            Some(kept) => match sources().0 {
                Some(sources) => kept.folded.get(how, &sources, make),
                None => make(),
            },
            None => make(),
        }
    }

    /// What `make` makes of the weight of a convolution for inference; it may be from an earlier forward pass.
    pub(crate) fn packed(
        weight: &FlexTensor,
        how: (ConvOptions, Way),
        make: impl FnOnce() -> Weights,
    ) -> Arc<Weights> {
        let make = || Arc::new(make());
        match CURRENT.with_borrow(Option::clone) {
            Some(kept) => kept.packed.get(how, std::slice::from_ref(weight), make),
            None => make(),
        }
    }

    /// A tensor of which something was made.
    ///
    /// A weak pointer keeps the address of the values from being given to others, and keeps them from being changed in
    /// place: `Arc::get_mut` refuses, and `Arc::make_mut` moves them elsewhere. So the same address means the same
    /// values.
    #[derive(Debug)]
    struct Source {
        values: Weak<Bytes>,
        layout: Layout,
    }

    impl Source {
        fn of(tensor: &FlexTensor) -> Self {
            Self {
                values: Arc::downgrade(&tensor.data_arc()),
                layout: tensor.layout().clone(),
            }
        }

        fn is(&self, tensor: &FlexTensor) -> bool {
            self.values.as_ptr() == Arc::as_ptr(&tensor.data_arc())
                && self.layout == *tensor.layout()
        }
    }

    #[derive(Debug)]
    struct Entry<V> {
        sources: Vec<Source>,
        value: V,
    }

    /// What was made of tensors, by the address of the first one and by how it was made.
    #[derive(Debug)]
    struct Table<K, V> {
        entries: Mutex<HashMap<(usize, K), Entry<V>>>,
        made: AtomicU64,
    }

    impl<K, V> Default for Table<K, V> {
        fn default() -> Self {
            Self {
                entries: Mutex::default(),
                made: AtomicU64::new(0),
            }
        }
    }

    impl<K: Copy + Eq + Hash, V: Clone> Table<K, V> {
        fn get(&self, how: K, sources: &[FlexTensor], make: impl FnOnce() -> V) -> V {
            let key = (Arc::as_ptr(&sources[0].data_arc()) as usize, how);
            let lock = || self.entries.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(entry) = lock().get(&key)
                && entry.sources.len() == sources.len()
                && entry.sources.iter().zip(sources).all(|(a, b)| a.is(b))
            {
                return entry.value.clone();
            }
            // Not locked: while this thread waits for the others, it may be given another forward pass to do.
            let value = make();
            self.made.fetch_add(1, Ordering::Relaxed);
            let mut entries = lock();
            let lives = |source: &Source| source.values.strong_count() > 0;
            entries.retain(|_, entry| entry.sources.iter().all(lives));
            let sources = sources.iter().map(Source::of).collect();
            let entry = Entry {
                sources,
                value: value.clone(),
            };
            entries.insert(key, entry);
            value
        }

        fn sum(&self, size: impl Fn(&V) -> usize) -> usize {
            let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
            entries.values().map(|entry| size(&entry.value)).sum()
        }
    }

    /// Tensors as sources.
    pub(crate) struct Sources(Option<Vec<FlexTensor>>);

    impl Sources {
        pub fn of<const D: usize>(tensor: Tensor<D>) -> Self {
            Self(Some(Vec::new())).and(tensor)
        }

        pub fn and<const D: usize>(self, tensor: Tensor<D>) -> Self {
            let add = |mut sources: Vec<FlexTensor>| {
                sources.push(tensor.try_into_primitive::<Flex>().ok()?);
                Some(sources)
            };
            Self(self.0.and_then(add))
        }
    }
}
