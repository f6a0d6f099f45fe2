//! One image file: what it is by its content, and its pixels.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, RgbImage};

use super::complete::{jpeg_is_complete, png_is_complete};
use crate::{Bitmap, Error, Interpolation};

/// Endings that promise an image, with those of formats that are not read.
const PROMISED: [&str; 37] = [
    "png", "apng", "jpg", "jpeg", "jpe", "jfif", "jif", "jfi", "webp", "bmp", "dib", "gif", "tif",
    "tiff", "avif", "heic", "heif", "jxl", "jp2", "j2k", "ppm", "pgm", "pbm", "pnm", "ico", "tga",
    "dds", "exr", "hdr", "qoi", "svg", "psd", "dng", "cr2", "nef", "arw", "raw",
];

/// What a file is by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Png,
    Jpeg,
    /// An image in a format that is not read.
    Foreign(&'static str),
    /// Promised by its name, and none by its content.
    Promised,
    /// No image.
    Other,
}

/// An image as it is in its file.
pub(super) struct Encoded<'a> {
    path: &'a Path,
    pub bytes: Vec<u8>,
    format: ImageFormat,
}

/// Reads a file; none for one that is no image and does not promise to be one.
///
/// # Errors
/// For an image in a format that is not read.
pub(super) fn read(path: &Path) -> Result<Option<Encoded<'_>>, Error> {
    let (mut file, start) = open(path)?;
    let format = match kind(path, &start)? {
        Kind::Png => ImageFormat::Png,
        Kind::Jpeg => ImageFormat::Jpeg,
        Kind::Other => return Ok(None),
        Kind::Promised => return Err(no_image(path)),
        Kind::Foreign(format) => {
            let problem = format!(
                "an image of the format {format}, and only PNG and JPEG are read; convert it or take it out"
            );
            return Err(Error::format(path, problem));
        }
    };
    let mut bytes = start;
    file.read_to_end(&mut bytes)
        .map_err(Error::io("reading", path))?;
    Ok(Some(Encoded {
        path,
        bytes,
        format,
    }))
}

fn no_image(path: &Path) -> Error {
    let problem = "not a PNG or JPEG, by its content; replace it or take it out";
    Error::format(path, problem)
}

/// Reads and decodes an image that was found to be one before.
///
/// # Errors
/// When the file is not that any more, or cannot be decoded.
pub(crate) fn bitmap(path: &Path) -> Result<Bitmap, Error> {
    read(path)?.ok_or_else(|| no_image(path))?.bitmap()
}

/// As [`bitmap`], the way up that the pixels are stored, whatever the EXIF orientation says.
///
/// # Errors
/// As [`bitmap`].
pub(crate) fn stored_bitmap(path: &Path) -> Result<Bitmap, Error> {
    let encoded = read(path)?.ok_or_else(|| no_image(path))?;
    Ok(of_pixels(encoded.pixels()?.0.into_rgb8()))
}

fn of_pixels(image: RgbImage) -> Bitmap {
    Bitmap {
        width: image.width() as usize,
        height: image.height() as usize,
        channels: 3,
        bytes: image.into_raw(),
    }
}

impl Encoded<'_> {
    /// Whether it is whole and says a possible size, without decoding it.
    ///
    /// # Errors
    /// When it is cut off, or its header cannot be read.
    pub fn check(&self) -> Result<(), Error> {
        self.decoder().map(|_| ())
    }

    /// Its pixels, three channels, the way up that the EXIF orientation says.
    ///
    /// # Errors
    /// When it cannot be decoded.
    pub fn bitmap(&self) -> Result<Bitmap, Error> {
        self.decode().map(of_pixels)
    }

    /// Its planes `[3, size, size]`, whatever the aspect was.
    ///
    /// # Errors
    /// When it cannot be decoded.
    pub fn stretched(&self, size: usize, interpolation: Interpolation) -> Result<Vec<u8>, Error> {
        Ok(self.bitmap()?.resize((size, size), interpolation).planes())
    }

    fn name(&self) -> &'static str {
        match self.format {
            ImageFormat::Png => "PNG",
            _ => "JPEG",
        }
    }

    fn unreadable(&self, problem: image::ImageError) -> Error {
        let name = self.name();
        let problem =
            format!("a {name} that cannot be read ({problem}); replace it or take it out");
        Error::format(self.path, problem)
    }

    fn decoder(&self) -> Result<impl ImageDecoder + '_, Error> {
        let (name, bytes) = (self.name(), &self.bytes[..]);
        let (complete, densest) = match self.format {
            ImageFormat::Png => (png_is_complete(bytes), PNG_DENSEST),
            _ => (jpeg_is_complete(bytes), JPEG_DENSEST),
        };
        let wrong = |problem: String| Err(Error::format(self.path, problem));
        if !complete {
            return wrong(format!(
                "this {name} is cut off: its end is missing; copy or download it again"
            ));
        }
        let reader = ImageReader::with_format(Cursor::new(bytes), self.format);
        let decoder = reader.into_decoder().map_err(|e| self.unreadable(e))?;
        let (width, height) = decoder.dimensions();
        let pixels = u64::from(width) * u64::from(height);
        if pixels > densest * bytes.len() as u64 {
            return wrong(format!(
                "this {name} says that it has {width}x{height} pixels, which cannot be in {} bytes; replace it or take \
                 it out",
                bytes.len()
            ));
        }
        Ok(decoder)
    }

    fn decode(&self) -> Result<RgbImage, Error> {
        let (mut image, orientation) = self.pixels()?;
        image.apply_orientation(orientation);
        Ok(image.into_rgb8())
    }

    /// Its pixels as they are stored, and how they are to be turned.
    fn pixels(&self) -> Result<(DynamicImage, Orientation), Error> {
        let mut decoder = self.decoder()?;
        let orientation = decoder.orientation().map_err(|e| self.unreadable(e))?;
        let image = DynamicImage::from_decoder(decoder).map_err(|e| self.unreadable(e))?;
        Ok((image, orientation))
    }
}

/// What a file is, without reading all of it.
pub(super) fn kind_of_file(path: &Path) -> Result<Kind, Error> {
    let (_, start) = open(path)?;
    kind(path, &start)
}

fn open(path: &Path) -> Result<(File, Vec<u8>), Error> {
    let mut file = File::open(path).map_err(Error::io("opening", path))?;
    let mut start = Vec::new();
    file.by_ref()
        .take(kd_files::START as u64)
        .read_to_end(&mut start)
        .map_err(Error::io("reading", path))?;
    Ok((file, start))
}

fn kind(path: &Path, start: &[u8]) -> Result<Kind, Error> {
    let ending = path.extension().unwrap_or_default().to_string_lossy();
    let promised = PROMISED.contains(&ending.to_lowercase().as_str());
    if let Some(found) = kd_files::stand_in(start) {
        let pointer = matches!(
            found,
            kd_files::StandIn::LfsPointer(_) | kd_files::StandIn::AnnexPointer
        );
        return match promised || pointer {
            true => Err(Error::format(path, found.to_string())),
            false => Ok(Kind::Other),
        };
    }
    Ok(match signature(start) {
        Kind::Other if promised => Kind::Promised,
        // Two letters are too few to tell a bitmap from a text.
        Kind::Foreign("BMP" | "PNM") if !promised => Kind::Other,
        kind => kind,
    })
}

/// The format that a file's first bytes name.
fn signature(start: &[u8]) -> Kind {
    let foreign: [(&[u8], &str); 14] = [
        (b"GIF8", "GIF"),
        (b"II*\0", "TIFF"),
        (b"MM\0*", "TIFF"),
        (b"II+\0", "BigTIFF"),
        (b"BM", "BMP"),
        (b"qoif", "QOI"),
        (b"8BPS", "Photoshop"),
        (b"\xff\x0a", "JPEG XL"),
        (b"\0\0\0\x0cJXL ", "JPEG XL"),
        (b"\0\0\0\x0cjP  ", "JPEG 2000"),
        (b"\0\0\x01\0", "ICO"),
        (b"v/1\x01", "OpenEXR"),
        (b"#?RADIANCE", "Radiance HDR"),
        (b"DDS ", "DDS"),
    ];
    if start.starts_with(b"\x89PNG\r\n\x1a\n") {
        Kind::Png
    } else if start.starts_with(&[0xff, 0xd8, 0xff]) {
        Kind::Jpeg
    } else if start.starts_with(b"RIFF") && start.get(8..12) == Some(b"WEBP") {
        Kind::Foreign("WebP")
    } else if start.get(4..8) == Some(b"ftyp") {
        match start.get(8..12) {
            Some(b"avif" | b"avis") => Kind::Foreign("AVIF"),
            Some(b"heic" | b"heix" | b"hevc" | b"heim" | b"heis" | b"mif1" | b"msf1") => {
                Kind::Foreign("HEIF")
            }
            _ => Kind::Other,
        }
    } else if matches!(start, [b'P', b'1'..=b'7', b' ' | b'\n' | b'\r' | b'\t', ..]) {
        Kind::Foreign("PNM")
    } else {
        let known = foreign.iter().find(|(mark, _)| start.starts_with(mark));
        known.map_or(Kind::Other, |(_, format)| Kind::Foreign(format))
    }
}

/// Pixels that a byte of a PNG can hold at most: deflate makes up to 1,032 bytes of one, and a byte is up to
/// eight pixels. Nothing is allocated for more.
const PNG_DENSEST: u64 = 8 * 1032;
/// Pixels that a byte of a JPEG can hold at most: a block of 64 pixels has at least one bit, and chroma blocks that
/// cover up to 16 of them have more.
const JPEG_DENSEST: u64 = 8 * 64;
