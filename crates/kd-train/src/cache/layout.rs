//! An answer of the teacher as bytes.

use burn::tensor::f16;
use kd_core::{Levels, Output, Part, Taps};

use super::{CacheConfig, Precision};
use crate::Error;

/// What a cache asks of the teacher beside its logits.
pub(super) fn taps(config: &CacheConfig) -> Taps {
    let maps = Taps::levels(Part::Maps, levels(&config.maps));
    match config.embedding {
        true => maps.with(Part::Embedding, Levels::All),
        false => maps,
    }
}

pub(super) fn levels(listed: &[usize]) -> Levels {
    match listed {
        [] => Levels::None,
        listed => listed.iter().copied().collect(),
    }
}

/// A map of the teacher that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeptMap {
    pub(super) level: usize,
    /// Channels, height and width.
    pub(super) shape: [usize; 3],
}

/// The numbers of some answers, one after the other.
#[derive(Default)]
pub(super) struct Numbers {
    pub(super) logits: Vec<f32>,
    pub(super) embedding: Vec<f32>,
    /// Of each map that is kept.
    pub(super) maps: Vec<Vec<f32>>,
}

/// How the answer to one view is stored; every answer takes the same number of bytes.
///
/// All logits in the order of the classes; or, with `top_k = K`, the `K` largest as pairs of class
/// and logit, and after them the logarithm of the mean of `exp(logit)` over all other classes. That
/// number in place of each other logit leaves the softmax of the `K` classes as it was, and spreads the
/// remaining probability evenly (the marginal smoothing of Shen and Xing, ECCV 2022). Then the
/// embedding, if it is kept, and the maps that are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) classes: usize,
    /// Width of the embedding; 0 when it is not kept.
    pub(super) embedding: usize,
    pub(super) maps: Vec<KeptMap>,
    /// Levels of maps that the teacher has, kept or not.
    pub(super) levels: usize,
    pub(super) precision: Precision,
    pub(super) top_k: Option<usize>,
}

impl Layout {
    /// # Errors
    /// [`Error::Recipe`] when `top_k` does not suit the number of classes.
    pub(super) fn new(
        config: &CacheConfig,
        classes: usize,
        embedding: usize,
    ) -> Result<Self, Error> {
        let wrong = |k, expected: String| {
            Err(Error::Recipe(format!(
                "teacher.cache.top_k = {k}: {expected}; leave the key out to keep all classes"
            )))
        };
        match config.top_k {
            Some(k) if k >= classes => wrong(k, format!("must be below the {classes} classes")),
            // A class is stored in two bytes.
            Some(k) if classes > 1 << 16 => wrong(
                k,
                format!("{classes} classes are more than the 65536 that it can tell apart"),
            ),
            top_k => Ok(Self {
                classes,
                embedding: if config.embedding { embedding } else { 0 },
                maps: Vec::new(),
                levels: 0,
                precision: config.precision,
                top_k,
            }),
        }
    }

    /// The layout of the answers of a teacher that shows this.
    ///
    /// # Errors
    /// [`Error::Recipe`] when `top_k` does not suit the number of classes, or the teacher has not the maps that are to
    /// be kept.
    pub(super) fn of(config: &CacheConfig, shown: &Output) -> Result<Self, Error> {
        let [_, classes] = shown.logits.dims();
        let embedding = match config.embedding && shown.levels(Part::Embedding) > 0 {
            true => shown.embedding()?.dims()[1],
            false => 0,
        };
        let levels = shown.levels(Part::Maps);
        let maps = config.maps.iter().map(|&level| {
            if level >= levels {
                return Err(Error::Recipe(format!(
                    "teacher.cache.maps = {:?}: the teacher has {levels} levels of maps, from 0",
                    config.maps
                )));
            }
            let [_, channels, height, width] = shown.map(level)?.dims();
            let shape = [channels, height, width];
            Ok(KeptMap { level, shape })
        });
        Ok(Self {
            maps: maps.collect::<Result<_, _>>()?,
            levels,
            ..Self::new(config, classes, embedding)?
        })
    }

    /// What is asked of the teacher.
    pub(super) fn taps(&self) -> Taps {
        let kept: Vec<usize> = self.maps.iter().map(|map| map.level).collect();
        let maps = Taps::levels(Part::Maps, levels(&kept));
        match self.embedding {
            0 => maps,
            _ => maps.with(Part::Embedding, Levels::All),
        }
    }

    /// Numbers of each map that is kept.
    pub(super) fn of_maps(&self) -> impl Iterator<Item = usize> {
        self.maps.iter().map(|map| map.shape.iter().product())
    }

    /// Bytes of an answer.
    pub(super) fn bytes(&self) -> usize {
        let number = match self.precision {
            Precision::F32 => 4,
            Precision::F16 => 2,
        };
        let logits = match self.top_k {
            None => number * self.classes,
            Some(k) => (2 + number) * k + number,
        };
        logits + number * (self.embedding + self.of_maps().sum::<usize>())
    }

    /// # Errors
    /// [`Error::Recipe`] for a number that is too large for the precision.
    pub(super) fn encode(
        &self,
        logits: &[f32],
        embedding: &[f32],
        maps: &[&[f32]],
    ) -> Result<Vec<u8>, Error> {
        let mut out = Vec::with_capacity(self.bytes());
        match self.top_k {
            None => self.write_all(logits, &mut out)?,
            Some(k) => {
                let mut order: Vec<usize> = (0..logits.len()).collect();
                // A stable sort: of equal logits the first classes are kept.
                order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
                for &class in &order[..k] {
                    out.extend((class as u16).to_le_bytes());
                    self.write(logits[class], &mut out)?;
                }
                self.write(
                    log_mean_exp(order[k..].iter().map(|&c| logits[c])),
                    &mut out,
                )?;
            }
        }
        self.write_all(embedding, &mut out)?;
        for map in maps {
            self.write_all(map, &mut out)?;
        }
        Ok(out)
    }

    /// Appends what [`Layout::encode`] stored.
    pub(super) fn decode(&self, bytes: &[u8], numbers: &mut Numbers) {
        let mut bytes = bytes;
        let Numbers {
            logits,
            embedding,
            maps,
        } = numbers;
        match self.top_k {
            None => (0..self.classes).for_each(|_| logits.push(self.read(&mut bytes))),
            Some(k) => {
                let largest: Vec<(usize, f32)> = (0..k)
                    .map(|_| {
                        (
                            u16::from_le_bytes(take(&mut bytes)).into(),
                            self.read(&mut bytes),
                        )
                    })
                    .collect();
                let start = logits.len();
                logits.resize(start + self.classes, self.read(&mut bytes));
                for (class, logit) in largest {
                    logits[start + class] = logit;
                }
            }
        }
        (0..self.embedding).for_each(|_| embedding.push(self.read(&mut bytes)));
        maps.resize(self.maps.len(), Vec::new());
        for (map, count) in maps.iter_mut().zip(self.of_maps()) {
            map.extend((0..count).map(|_| self.read(&mut bytes)));
        }
    }

    fn write_all(&self, values: &[f32], out: &mut Vec<u8>) -> Result<(), Error> {
        values.iter().try_for_each(|&value| self.write(value, out))
    }

    fn write(&self, value: f32, out: &mut Vec<u8>) -> Result<(), Error> {
        match self.precision {
            Precision::F32 => out.extend(value.to_le_bytes()),
            Precision::F16 => {
                let half = f16::from_f32(value);
                if value.is_finite() && !half.is_finite() {
                    return Err(Error::Recipe(format!(
                        "teacher.cache.precision = \"f16\" holds numbers up to 65504, and the \
                         teacher says {value}: use \"f32\""
                    )));
                }
                out.extend(half.to_le_bytes());
            }
        }
        Ok(())
    }

    fn read(&self, bytes: &mut &[u8]) -> f32 {
        match self.precision {
            Precision::F32 => f32::from_le_bytes(take(bytes)),
            Precision::F16 => f16::from_le_bytes(take(bytes)).to_f32(),
        }
    }
}

/// The next `N` bytes. An answer has the length of its layout, so they are there.
fn take<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    let mut taken = [0; N];
    let (head, rest) = bytes.split_at(N);
    taken.copy_from_slice(head);
    *bytes = rest;
    taken
}

/// `log(mean(exp(values)))`, without overflow.
fn log_mean_exp(values: impl Iterator<Item = f32> + Clone) -> f32 {
    let largest = values.clone().fold(f32::NEG_INFINITY, f32::max);
    if !largest.is_finite() {
        return largest;
    }
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| {
        (sum + f64::from(value - largest).exp(), count + 1.0)
    });
    largest + (sum / count).ln() as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(precision: Precision, top_k: Option<usize>, embedding: usize) -> Layout {
        let config = CacheConfig {
            precision,
            top_k,
            embedding: embedding > 0,
            ..CacheConfig::default()
        };
        Layout::new(&config, 5, embedding).unwrap()
    }

    const LOGITS: [f32; 5] = [0.1, 5.000_001, -3.3, 5.000_001, 2.7];

    fn through(layout: Layout, embedding: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let bytes = layout.encode(&LOGITS, embedding, &[]).unwrap();
        assert_eq!(bytes.len(), layout.bytes());
        // What is there already stays.
        let mut numbers = Numbers {
            logits: vec![9.0],
            embedding: vec![9.0],
            maps: Vec::new(),
        };
        layout.decode(&bytes, &mut numbers);
        let Numbers {
            mut logits,
            embedding: mut kept,
            ..
        } = numbers;
        assert_eq!((logits.remove(0), kept.remove(0)), (9.0, 9.0));
        (logits, kept)
    }

    #[test]
    fn f32_is_exact_and_f16_rounds() {
        let (logits, embedding) = through(layout(Precision::F32, None, 2), &[0.1, -0.0]);
        assert_eq!(logits, LOGITS);
        assert_eq!(embedding[0], 0.1);
        assert!(embedding[1].is_sign_negative());
        assert_eq!(layout(Precision::F32, None, 2).bytes(), 28);

        let (logits, embedding) = through(layout(Precision::F16, None, 1), &[0.1]);
        assert_ne!(logits, LOGITS);
        for (got, want) in logits
            .iter()
            .chain(&embedding)
            .zip(LOGITS.iter().chain(&[0.1]))
        {
            assert!((got - want).abs() <= want.abs() / 2048.0, "{got} {want}");
        }
        assert_eq!(layout(Precision::F16, None, 1).bytes(), 12);
    }

    #[test]
    fn maps_come_back_behind_the_embedding() {
        let mut layout = layout(Precision::F16, None, 1);
        layout.maps = vec![
            KeptMap {
                level: 2,
                shape: [1, 2, 1],
            },
            KeptMap {
                level: 4,
                shape: [3, 1, 1],
            },
        ];
        let maps: [&[f32]; 2] = [&[0.5, -2.0], &[1.0, 0.0, 4.0]];
        let bytes = layout.encode(&LOGITS, &[0.25], &maps).unwrap();
        assert_eq!(bytes.len(), layout.bytes());
        let mut numbers = Numbers::default();
        layout.decode(&bytes, &mut numbers);
        layout.decode(&bytes, &mut numbers);
        assert_eq!(numbers.embedding, [0.25, 0.25]);
        assert_eq!(numbers.maps, maps.map(|map| [map, map].concat()));
    }

    #[test]
    fn the_largest_keep_their_probability_and_the_others_share_the_rest() {
        let softmax = |logits: &[f32]| -> Vec<f64> {
            let sum: f64 = logits.iter().map(|&z| f64::from(z).exp()).sum();
            logits.iter().map(|&z| f64::from(z).exp() / sum).collect()
        };
        let (logits, _) = through(layout(Precision::F32, Some(2), 0), &[]);
        assert_eq!((logits[1], logits[3]), (LOGITS[1], LOGITS[3]));
        let (want, got) = (softmax(&LOGITS), softmax(&logits));
        let rest = (want[0] + want[2] + want[4]) / 3.0;
        for (class, got) in got.iter().enumerate() {
            let want = if class % 2 == 1 { want[class] } else { rest };
            assert!((got - want).abs() < 1e-7, "{class}: {got} {want}");
        }
        // Of two equal logits the first class is kept.
        let (logits, _) = through(layout(Precision::F32, Some(1), 0), &[]);
        assert_eq!(logits[1], LOGITS[1]);
        assert!(logits[3] < LOGITS[3] && logits[3] == logits[0]);
        assert_eq!(layout(Precision::F16, Some(2), 0).bytes(), 10);
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let half = layout(Precision::F16, None, 1);
        let error = half.encode(&LOGITS, &[7e4], &[]).unwrap_err().to_string();
        assert!(
            error.contains("70000") && error.contains("\"f32\""),
            "{error}"
        );
        // A teacher that fails is the loss's to report.
        half.encode(&[f32::NAN, 1.0, 1.0, 1.0, f32::INFINITY], &[0.0], &[])
            .unwrap();

        let of = |top_k, classes| {
            let config = CacheConfig {
                top_k: Some(top_k),
                ..CacheConfig::default()
            };
            Layout::new(&config, classes, 0).unwrap_err().to_string()
        };
        assert!(of(5, 5).contains("top_k = 5: must be below the 5 classes"));
        assert!(of(5, 70_000).contains("65536"));
    }
}
