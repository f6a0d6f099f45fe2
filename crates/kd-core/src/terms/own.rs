//! A loss of one's own beside the registered terms.
//!
//! A loss without parameters is a function: [`Objective::with_function`](crate::Objective::with_function).
//! A loss with parameters, which train together with the student, is a module that implements
//! [`OwnTerm`]: [`Objective::with_term`](crate::Objective::with_term).

mod erased;

use std::fmt;
use std::sync::Arc;

use burn::module::{
    Content, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor,
};
use burn::tensor::{Device, Tensor};

use self::erased::{AnyTerm, FromMapper, FromVisitor};
use crate::{Error, Pair, PairTaps, Step};

/// A loss of one's own with parameters.
///
/// ```
/// use burn::module::Module;
/// use burn::nn::{Linear, LinearConfig};
/// use burn::tensor::{Device, Tensor};
/// use kd_core::{Error, Objective, OwnTerm, Pair, PairTaps, Part, Step, Taps};
///
/// /// The student's embedding, projected, meets the teacher's.
/// #[derive(Module, Debug)]
/// struct Projected {
///     projection: Linear,
/// }
///
/// impl OwnTerm for Projected {
///     fn taps(&self) -> PairTaps {
///         PairTaps::both(Taps::part(Part::Embedding))
///     }
///
///     fn forward(&self, pair: &Pair, _: &Step) -> Result<Tensor<1>, Error> {
///         let student = self.projection.forward(pair.student.embedding()?);
///         Ok((student - pair.teacher()?.embedding()?).square().mean())
///     }
/// }
///
/// let device = Device::flex().autodiff();
/// let projection = LinearConfig::new(64, 256).init(&device);
/// let objective = Objective::default().with_term("projected", 1.0, Projected { projection })?;
/// assert_eq!(objective.num_params(), 64 * 256 + 256);
/// # Ok::<(), Error>(())
/// ```
pub trait OwnTerm: Module + 'static {
    /// What it reads from the two networks beside their logits.
    fn taps(&self) -> PairTaps;

    /// Whether it compares with a teacher.
    fn needs_teacher(&self) -> bool {
        true
    }

    /// Whether the loss can be below 0, which [`Balance::Uncertainty`](crate::Balance::Uncertainty) cannot
    /// work with.
    fn can_be_negative(&self) -> bool {
        false
    }

    /// The loss of one batch, `[1]`, without its weight.
    ///
    /// # Errors
    /// What it cannot work on; [`Pair::teacher`] and [`Output::get`](crate::Output::get) give such errors.
    fn forward(&self, pair: &Pair, step: &Step) -> Result<Tensor<1>, Error>;
}

/// What [`Objective::with_function`](crate::Objective::with_function) takes.
pub(crate) type LossFn = dyn Fn(&Pair, &Step) -> Result<Tensor<1>, Error> + Send + Sync;

/// A loss of one's own, of whatever type.
pub struct Own {
    term: Box<dyn AnyTerm>,
}

impl Own {
    pub(crate) fn term(term: impl OwnTerm) -> Self {
        Self {
            term: Box::new(term),
        }
    }

    pub(crate) fn function(taps: PairTaps, loss: Arc<LossFn>) -> Self {
        Self::term(Function {
            settings: Settings { taps, loss },
        })
    }

    /// What it reads from the two networks beside their logits.
    pub fn taps(&self) -> PairTaps {
        self.term.taps()
    }

    /// Whether it compares with a teacher.
    pub fn needs_teacher(&self) -> bool {
        self.term.needs_teacher()
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// What the loss returns.
    pub fn forward(&self, pair: &Pair, step: &Step) -> Result<Tensor<1>, Error> {
        self.term.forward(pair, step)
    }
}

impl Clone for Own {
    fn clone(&self) -> Self {
        Self {
            term: self.term.copy(),
        }
    }
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.term.fmt(f)
    }
}

impl fmt::Display for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.term.fmt(f)
    }
}

impl Module for Own {
    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        self.term.visit(&mut FromVisitor(visitor));
    }

    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        Self {
            term: self.term.map(&mut FromMapper(mapper)),
        }
    }

    fn to_device(self, device: &Device) -> Self {
        Self {
            term: self.term.to_device(device),
        }
    }

    fn fork(self, device: &Device) -> Self {
        Self {
            term: self.term.fork(device),
        }
    }

    fn collect_devices(&self, devices: Vec<Device>) -> Vec<Device> {
        self.term.collect_devices(devices)
    }

    fn materialize(self) -> Self {
        Self {
            term: self.term.materialize(),
        }
    }

    fn valid(&self) -> Self {
        Self {
            term: self.term.valid(),
        }
    }

    fn train(self) -> Self {
        Self {
            term: self.term.train(),
        }
    }
}

impl ModuleDisplayDefault for Own {
    fn content(&self, content: Content) -> Option<Content> {
        content.add_formatted(&"Own".to_string()).optional()
    }
}

impl ModuleDisplay for Own {}

/// A function as a term: it has no parameters.
#[derive(Module, Debug)]
struct Function {
    #[module(skip)]
    settings: Settings,
}

#[derive(Clone)]
struct Settings {
    taps: PairTaps,
    loss: Arc<LossFn>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function")
            .field("taps", &self.taps)
            .finish_non_exhaustive()
    }
}

impl OwnTerm for Function {
    fn taps(&self) -> PairTaps {
        self.settings.taps.clone()
    }

    fn forward(&self, pair: &Pair, step: &Step) -> Result<Tensor<1>, Error> {
        (self.settings.loss)(pair, step)
    }
}
