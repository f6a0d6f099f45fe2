//! How images are resized.

/// How the values between pixels are found when an image is resized, as PIL calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Interpolation {
    /// The nearest pixel.
    Nearest,
    /// Between the four nearest pixels, or an average of all that fall together.
    Bilinear,
    /// By a cubic of sixteen pixels, or more where pixels fall together.
    Bicubic,
    /// By Lanczos's window of three lobes.
    Lanczos,
}

impl Interpolation {
    const ALL: [(Self, &str, u32); 4] = [
        (Self::Nearest, "nearest", 0),
        (Self::Lanczos, "lanczos", 1),
        (Self::Bilinear, "bilinear", 2),
        (Self::Bicubic, "bicubic", 3),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        let all = Self::ALL.iter();
        all.clone()
            .find(|(this, ..)| *this == self)
            .map_or("", |(_, name, _)| name)
    }

    /// That of a name; none when there is no such.
    pub fn named(name: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(_, known, _)| *known == name);
        found.map(|(this, ..)| *this)
    }

    /// Its number in PIL.
    pub(crate) fn in_pil(self) -> u32 {
        let found = Self::ALL.iter().find(|(this, ..)| *this == self);
        found.map_or(0, |(.., number)| *number)
    }

    /// That of a number of PIL (`PIL.Image.Resampling`), as `transformers` writes it.
    pub(crate) fn of_pil(number: u32) -> Option<Self> {
        let found = Self::ALL.iter().find(|(.., known)| *known == number);
        found.map(|(this, ..)| *this)
    }
}
