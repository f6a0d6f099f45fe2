//! The losses, one file each: a function on tensors, its parameters, and a configured term.
//!
//! A new method is a new file in the folder of its group, its `pub mod` line there, one line in the list at
//! the end of this file, and one golden value.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::suggest::{did_you_mean, listed};
use crate::{Error, Output, Pair, PairTaps, Part, Step};

mod adapter;
mod bilinear;
mod bottleneck;
mod buffer;
pub(crate) mod check;
pub mod detection;
mod eigen;
pub mod features;
mod head;
pub mod logits;
mod maps;
pub mod own;
pub mod relations;
mod separable;
mod special;
pub mod transformers;
mod unit;

pub use detection::{
    bounded_regression, box_head, crosskd, detection_loss, fbkd, fgd, fine_grained,
    matched_detections, soft_classes,
};
pub use features::{
    ab, at, camkd, cwd, fitnet, fsp, ft, ickd, kdsvd, mgd, nst, ofd, pkd, reviewkd, simkd, srrl,
    vid,
};
pub use head::{Head, HeadConfig};
pub use logits::{
    bce, byot, cross_entropy, ctkd, dist, dkd, gjsd, hard_labels, kd, ld, lskd, mlkd, ofakd,
    reverse_kl, squared_logits, tinybert_prediction, topk_kl, uld, wsld,
};
pub use own::{Own, OwnTerm};
pub use relations::{cc, crd, lsp, pkt, rkd, sp};
pub use transformers::{
    cosine_hidden, deit, lg, minilm, minilm_relation, pkd_bert, tinybert_attention, tinybert_hidden,
};

/// What a method's file says of it.
struct About {
    name: &'static str,
    title: &'static str,
    formula: &'static str,
    source: &'static str,
    needs: &'static str,
    when: &'static str,
    teacher: bool,
    weight: f64,
    reads: &'static [Part],
}

/// A line of the catalogue of methods.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct MethodInfo {
    /// Name in a recipe.
    pub name: &'static str,
    /// What it compares: `logits`, `features`, `relations`, `transformers` or `detection`.
    pub group: &'static str,
    /// Name in prose.
    pub title: &'static str,
    /// The formula, in text.
    pub formula: &'static str,
    /// Authors, venue, year.
    pub source: &'static str,
    /// What it reads from the networks and the data.
    pub needs: &'static str,
    /// When to choose it.
    pub when: &'static str,
    /// Whether it compares with a teacher.
    pub teacher: bool,
    /// Weight in an objective when the recipe gives none: the literature's.
    pub weight: f64,
    /// The parts of the networks that it reads beside logits, each of one network or of both.
    pub reads: &'static [Part],
    /// Parameters with their default values, each value as TOML spells it.
    pub defaults: Vec<(String, String)>,
}

fn method<C: Serialize + Default>(group: &'static str, about: &About) -> MethodInfo {
    MethodInfo {
        name: about.name,
        group,
        title: about.title,
        formula: about.formula,
        source: about.source,
        needs: about.needs,
        when: about.when,
        teacher: about.teacher,
        weight: about.weight,
        reads: about.reads,
        defaults: parameters(&C::default())
            .into_iter()
            .map(|(key, value)| (key, value.to_string()))
            .collect(),
    }
}

impl TermConfig {
    /// Whether it needs the one class of each row, which a row that is mixed of several does not have:
    /// [`Pair::class`].
    pub fn needs_class(&self) -> bool {
        matches!(
            self,
            Self::Dkd(_)
                | Self::Wsld(_)
                | Self::OfaKd(_)
                | Self::Byot(_)
                | Self::CaMkd(_)
                | Self::Crd(_)
        )
    }

    /// Whether it keeps something of every sample until that is shown again, so that a batch must not show one twice.
    pub fn remembers_samples(&self) -> bool {
        matches!(self, Self::Crd(_))
    }
}

/// The parameters of a configuration, in the order of its fields.
fn parameters(config: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(config) {
        Ok(Value::Object(parameters)) => parameters,
        // Configurations are structs of numbers.
        _ => Map::new(),
    }
}

/// Reads a configuration key by key, so that a message can name the key; `reserved` keys are named with the others.
pub(crate) fn configure<C>(
    method: &str,
    reserved: &[&str],
    given: &Map<String, Value>,
) -> Result<C, String>
where
    C: Serialize + DeserializeOwned + Default,
{
    let known = parameters(&C::default());
    for (key, value) in given {
        let names = reserved
            .iter()
            .copied()
            .chain(known.keys().map(String::as_str));
        if !known.contains_key(key) {
            return Err(format!(
                "unknown key `{key}`{}; the keys of {method} are {}",
                did_you_mean(key, names.clone()),
                listed(names),
            ));
        }
        let alone = Map::from_iter([(key.clone(), value.clone())]);
        serde_json::from_value::<C>(alone.into()).map_err(|e| format!("`{key}`: {e}"))?;
    }
    serde_json::from_value(given.clone().into()).map_err(|e| e.to_string())
}

macro_rules! terms {
    ($($group:ident { $($file:ident: $term:ident, $config:ident;)+ })+) => {
        terms!(@ $($($group $file: $term, $config;)+)+);
    };
    (@ $($group:ident $file:ident: $term:ident, $config:ident;)+) => {
        /// A configured loss with the adapters it needs.
        // An objective holds a handful of terms: their size does not matter, and a box is no module.
        #[allow(clippy::large_enum_variant)]
        #[derive(Module, Debug)]
        #[non_exhaustive]
        pub enum Term {
            $(
                #[doc = concat!("[`", stringify!($file), "`]")]
                $term($file::$term),
            )+
            /// A loss of one's own: [`Objective::with_term`](crate::Objective::with_term).
            Own(Own),
        }

        impl Term {
            /// What it reads from the two networks beside their logits.
            pub fn taps(&self) -> PairTaps {
                match self {
                    $(Self::$term(term) => term.taps(),)+
                    Self::Own(term) => term.taps(),
                }
            }

            /// Whether it compares with a teacher.
            pub fn needs_teacher(&self) -> bool {
                match self {
                    $(Self::$term(_) => $file::ABOUT.teacher,)+
                    Self::Own(term) => term.needs_teacher(),
                }
            }

            /// The loss of one batch, `[1]`, without its weight.
            ///
            /// # Errors
            /// As the term's own function: a missing teacher or tap, or shapes that do not fit.
            pub fn forward(&self, pair: &Pair, step: &Step) -> Result<Tensor<1>, Error> {
                match self {
                    $(Self::$term(term) => term.forward(pair, step),)+
                    Self::Own(term) => term.forward(pair, step),
                }
            }
        }

        /// The parameters of a term, before the networks are known.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum TermConfig {
            $(
                #[doc = concat!("[`", stringify!($file), "`]")]
                $term($file::$config),
            )+
        }

        $(
            impl From<$file::$config> for TermConfig {
                fn from(config: $file::$config) -> Self {
                    Self::$term(config)
                }
            }
        )+

        impl TermConfig {
            /// Names of all methods, as a recipe spells them.
            pub const NAMES: &'static [&'static str] = &[$($file::ABOUT.name),+];

            /// Name of the method.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$term(_) => $file::ABOUT.name,)+
                }
            }

            /// Weight in an objective when none is given: the literature's.
            pub fn default_weight(&self) -> f64 {
                match self {
                    $(Self::$term(_) => $file::ABOUT.weight,)+
                }
            }

            /// Whether it compares with a teacher.
            pub fn needs_teacher(&self) -> bool {
                match self {
                    $(Self::$term(_) => $file::ABOUT.teacher,)+
                }
            }

            /// Builds the term from a dry run of both networks that kept everything
            /// ([`Taps::all`](crate::Taps::all)).
            ///
            /// # Errors
            /// [`Error::Config`] for a value out of range, [`Error::NoTeacher`],
            /// [`Error::MissingTap`] for a network that lacks a part, [`Error::Shape`] for networks
            /// that cannot be compared.
            pub fn init(
                &self,
                student: &Output,
                teacher: Option<&Output>,
                device: &Device,
            ) -> Result<Term, Error> {
                match self {
                    $(Self::$term(config) => {
                        config.init(student, teacher, device).map(Term::$term)
                    })+
                }
            }

            pub(crate) fn read(name: &str, given: &Map<String, Value>) -> Result<Self, String> {
                match name {
                    $(name if name == $file::ABOUT.name => {
                        configure(name, &["weight", "term"], given).map(Self::$term)
                    })+
                    _ => Err(format!(
                        "unknown term `{name}`{}; the terms are {}",
                        did_you_mean(name, Self::NAMES.iter().copied()),
                        listed(Self::NAMES.iter().copied()),
                    )),
                }
            }

            pub(crate) fn parameters(&self) -> Map<String, Value> {
                match self {
                    $(Self::$term(config) => parameters(config),)+
                }
            }
        }

        /// All methods, in the order of the catalogue.
        pub fn methods() -> Vec<MethodInfo> {
            vec![$(method::<$file::$config>(stringify!($group), &$file::ABOUT)),+]
        }
    };
}

terms! {
    logits {
        cross_entropy: CrossEntropy, CrossEntropyConfig;
        kd: Kd, KdConfig;
        dkd: Dkd, DkdConfig;
        lskd: Lskd, LskdConfig;
        mlkd: Mlkd, MlkdConfig;
        ctkd: Ctkd, CtkdConfig;
        wsld: Wsld, WsldConfig;
        dist: Dist, DistConfig;
        reverse_kl: ReverseKl, ReverseKlConfig;
        gjsd: Gjsd, GjsdConfig;
        hard_labels: HardLabels, HardLabelsConfig;
        squared_logits: SquaredLogits, SquaredLogitsConfig;
        bce: Bce, BceConfig;
        ofakd: OfaKd, OfaKdConfig;
        byot: Byot, ByotConfig;
        topk_kl: TopKKl, TopKKlConfig;
        uld: Uld, UldConfig;
        tinybert_prediction: TinyBertPrediction, TinyBertPredictionConfig;
    }
    features {
        fitnet: FitNet, FitNetConfig;
        at: At, AtConfig;
        nst: Nst, NstConfig;
        vid: Vid, VidConfig;
        ab: Ab, AbConfig;
        ft: Ft, FtConfig;
        fsp: Fsp, FspConfig;
        kdsvd: KdSvd, KdSvdConfig;
        ofd: Ofd, OfdConfig;
        reviewkd: ReviewKd, ReviewKdConfig;
        cwd: Cwd, CwdConfig;
        pkd: Pkd, PkdConfig;
        mgd: Mgd, MgdConfig;
        ickd: Ickd, IckdConfig;
        simkd: SimKd, SimKdConfig;
        camkd: CaMkd, CaMkdConfig;
        srrl: Srrl, SrrlConfig;
    }
    relations {
        sp: Sp, SpConfig;
        pkt: Pkt, PktConfig;
        rkd: Rkd, RkdConfig;
        cc: Cc, CcConfig;
        crd: Crd, CrdConfig;
        lsp: Lsp, LspConfig;
    }
    transformers {
        deit: Deit, DeitConfig;
        lg: Lg, LgConfig;
        cosine_hidden: CosineHidden, CosineHiddenConfig;
        minilm: MiniLm, MiniLmConfig;
        minilm_relation: MiniLmRelation, MiniLmRelationConfig;
        tinybert_attention: TinyBertAttention, TinyBertAttentionConfig;
        tinybert_hidden: TinyBertHidden, TinyBertHiddenConfig;
        pkd_bert: PkdBert, PkdBertConfig;
    }
    detection {
        detection_loss: DetectionLoss, DetectionLossConfig;
        box_head: BoxHead, BoxHeadConfig;
        matched_detections: MatchedDetections, MatchedDetectionsConfig;
        fgd: Fgd, FgdConfig;
        fine_grained: FineGrained, FineGrainedConfig;
        fbkd: Fbkd, FbkdConfig;
        crosskd: CrossKd, CrossKdConfig;
    }
}
