//! Factor transfer: the student's factors match the teacher's, which a paraphraser has condensed.
//!
//! A *paraphraser* is an autoencoder of the teacher's last map: its encoder turns `f_t` into a factor
//! `F_t` of `rate · c_t` channels, from which its decoder gives `f_t` back. A *translator* turns the
//! student's last map into a factor `F_s` of as many channels. Of two sizes the larger is averaged
//! down. With `a` the mean of `F²` over channels, as a vector over positions of length 1:
//!
//! - `form = "attention"`: `L = mean over batch and positions of |a_s − a_t|`. This is what the
//!   usual reference code (RepDistiller) computes and what the usual weight of 200 belongs to. Its translator has
//!   batch normalisation, and its paraphraser learns by the mean of `(decoder(F_t) − f_t)²`;
//! - `form = "paper"`: the same with the whole factor, flattened and divided by its norm, in the
//!   place of `a`. It is the authors' own code too: no batch normalisation, and a paraphraser that learns by the
//!   mean of `|decoder(F_t) − f_t|`. Their weight β is 500: `weight = 500.0`.
//!
//! To it the term adds `reconstruction` times the paraphraser's own loss. Only
//! the reconstruction reaches the paraphraser, and only the transfer reaches the translator and the
//! student, so that neither can make the other's task easier. At the weight of 200 the default of
//! `reconstruction` makes it count once (at 500 it is 0.002). It has the unit of a map, or of a squared one; the
//! transfer has none.
//!
//! The paper trains the paraphraser first and leaves it as it is from then on: with
//! `paraphraser_epochs = N` the first `N` epochs of the run have the reconstruction alone, without a
//! gradient for the student, which meanwhile learns from the other terms, and the later ones the
//! transfer alone. With 0 both train beside each other in every epoch.
//!
//! A factor of zeros has no direction: its vector is 0. Over a single position every attention is the same,
//! so that maps of size 1×1 need the other form.
//!
//! Source: J. Kim, S. Park, N. Kwak, "Paraphrasing Complex Network: Network Compression via Factor
//! Transfer", NeurIPS 2018.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};
use kd_kernels::layers::{BatchNorm, conv, conv_bn};
use kd_kernels::{energy, leaky_relu, squared_distance};
use serde::{Deserialize, Serialize};

use crate::terms::adapter::{built_for, convolution};
use crate::terms::maps::{LevelPair, at_one_size, last_levels, taps};
use crate::terms::unit::{for_products, unit, unit_products};
use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Part, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "ft",
    title: "Factor transfer",
    formula: "mean |a_s − a_t| + reconstruction · mean( (decoder(F_t) − f_t)² ),  \
              a = mean_c(F²) / ‖mean_c(F²)‖;  paper: a = F / ‖F‖, mean |decoder(F_t) − f_t|",
    source: "Kim, Park, Kwak, NeurIPS 2018",
    needs: "the last feature map of both networks, of any channels and sizes; owns a paraphraser of \
            the teacher's map and a translator of the student's",
    when: "When the teacher's map is wide and redundant, and a student's adapter should not have to \
           meet every channel of it. Combine with kd. The weight is that of the attention form; the authors' \
           own, `paper`, has 500.",
    teacher: true,
    weight: 200.0,
    reads: &[Part::Maps],
};

/// Slope of the factors' activation below 0.
const SLOPE: f64 = 0.1;

/// What of two factors is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FtForm {
    /// Where they are active, as the usual reference code does.
    #[default]
    Attention,
    /// All of their numbers, as the paper writes and the authors' code does.
    Paper,
}

/// Factor transfer, from factors `[batch, channels, height, width]`.
///
/// Sizes may differ, and with [`FtForm::Attention`] channels too. No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when the batch sizes differ or a map is empty, and with [`FtForm::Paper`] when the
/// channels differ.
pub fn ft(student: Tensor<4>, teacher: Tensor<4>, form: FtForm) -> Result<Tensor<1>, Error> {
    check::same_batch("ft", &student, &teacher)?;
    if form == FtForm::Paper {
        check::same_channels("ft", &student, &teacher)?;
    }
    let [student, teacher] = at_one_size(student, teacher.detach()).map(|factor| match form {
        FtForm::Attention => unit_products(energy(for_products(factor))),
        FtForm::Paper => unit::<2>(factor.flatten(1, 3)),
    });
    Ok((student - teacher).abs().mean())
}

/// Parameters of [`Ft`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FtConfig {
    /// Channels of a factor, as a share of the teacher's channels, above 0.
    pub rate: f64,
    /// `"attention"` as the usual reference code, or `"paper"` as the authors' own.
    pub form: FtForm,
    /// Weight of the paraphraser's own loss beside the transfer, at least 0.
    pub reconstruction: f64,
    /// Epochs at the beginning in which the paraphraser is trained, and nothing else of this term;
    /// afterwards it stays as it is. 0: it is trained beside the student, in every epoch.
    pub paraphraser_epochs: usize,
}

impl Default for FtConfig {
    fn default() -> Self {
        Self {
            rate: 0.5,
            form: FtForm::Attention,
            reconstruction: 0.005,
            paraphraser_epochs: 0,
        }
    }
}

impl FtConfig {
    /// Builds the term with its paraphraser and translator from a dry run of both networks that kept
    /// their maps.
    ///
    /// # Errors
    /// [`Error::Config`] for a value out of range, [`Error::NoTeacher`], and
    /// [`Error::MissingTap`] when a network has no map or the dry run did not keep it.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        device: &Device,
    ) -> Result<Ft, Error> {
        let teacher = teacher.ok_or(Error::NoTeacher)?;
        check::positive("rate", self.rate)?;
        check::not_negative("reconstruction", self.reconstruction)?;
        if self.paraphraser_epochs > 0 && self.reconstruction == 0.0 {
            return Err(Error::Config {
                key: "paraphraser_epochs".into(),
                value: self.paraphraser_epochs.to_string(),
                expected: "needs reconstruction above 0, which is what trains the paraphraser"
                    .into(),
            });
        }
        let level = last_levels("ft", student, teacher)?;
        let [_, narrow, ..] = student.map(level[0])?.dims();
        let [_, wide, ..] = teacher.map(level[1])?.dims();
        let factor = ((wide as f64 * self.rate) as usize).max(1);
        let plain = |from, to| Layer::new([from, to], false, device);
        let normed = self.form == FtForm::Attention;
        let normed = |from, to| Layer::new([from, to], normed, device);
        Ok(Ft {
            level,
            config: self.clone(),
            channels: [narrow, wide],
            translator: vec![
                normed(narrow, narrow),
                normed(narrow, factor),
                normed(factor, factor),
            ],
            encoder: vec![
                plain(wide, wide),
                plain(wide, factor),
                plain(factor, factor),
            ],
            decoder: vec![
                plain(factor, factor),
                plain(factor, wide),
                plain(wide, wide),
            ],
        })
    }
}

/// The [`ft`] loss of the two networks' last maps, with the paraphraser and the translator.
#[derive(Module, Debug)]
pub struct Ft {
    #[module(skip)]
    level: LevelPair,
    #[module(skip)]
    config: FtConfig,
    #[module(skip)]
    channels: [usize; 2],
    translator: Vec<Layer>,
    encoder: Vec<Layer>,
    decoder: Vec<Layer>,
}

impl Ft {
    /// The last map of both networks.
    pub fn taps(&self) -> PairTaps {
        taps(&[self.level])
    }

    /// The loss of one batch, `[1]`: transfer and reconstruction, or the one of them that the epoch has.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`], and [`Error::Shape`] when a map does not have the
    /// channels of the dry run.
    pub fn forward(&self, pair: &Pair, step: &Step) -> Result<Tensor<1>, Error> {
        let student = pair.student.map(self.level[0])?;
        let teacher = pair.teacher()?.map(self.level[1])?.detach();
        built_for("ft", "student", self.channels[0], &student.dims())?;
        built_for("ft", "teacher", self.channels[1], &teacher.dims())?;
        let factor = through(&self.encoder, teacher.clone());
        // The transfer gives the teacher's factor no gradient, and so none to the paraphraser.
        let transfer = |factor| ft(through(&self.translator, student), factor, self.config.form);
        let reconstruction = |factor| {
            let again = through(&self.decoder, factor);
            let apart = match self.config.form {
                FtForm::Attention => squared_distance(again, teacher).mean(),
                FtForm::Paper => (again - teacher).abs().mean(),
            };
            apart * self.config.reconstruction
        };
        match self.config.paraphraser_epochs {
            0 => Ok(transfer(factor.clone())? + reconstruction(factor)),
            first if step.epoch <= first => Ok(reconstruction(factor)),
            _ => transfer(factor),
        }
    }
}

/// A 3×3 convolution, batch normalisation where there is one, and a leaky rectifier.
#[derive(Module, Debug)]
struct Layer {
    conv: Conv2d,
    norm: Option<BatchNorm>,
}

impl Layer {
    fn new(channels: [usize; 2], normed: bool, device: &Device) -> Self {
        Self {
            conv: convolution(channels, 3, 1, true, device),
            norm: normed.then(|| BatchNorm::new(channels[1], device)),
        }
    }
}

fn through(layers: &[Layer], map: Tensor<4>) -> Tensor<4> {
    layers.iter().fold(map, |map, layer| {
        let map = match &layer.norm {
            Some(norm) => conv_bn(&layer.conv, norm, map, None, false),
            None => conv(&layer.conv, map),
        };
        leaky_relu(map, SLOPE)
    })
}
