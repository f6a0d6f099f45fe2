//! Whether an image file goes on to its end.
//!
//! Decoders fill what is missing of a JPEG with grey and say nothing, which is right for a viewer and wrong for
//! a training set. So the end is looked for: the marker EOI of a JPEG (ITU-T T.81, annex B) and the chunk IEND of
//! a PNG (ISO/IEC 15948).

/// Whether a JPEG has its end marker, outside the segments, of which a thumbnail in EXIF data has one of its own.
pub(super) fn jpeg_is_complete(bytes: &[u8]) -> bool {
    const EOI: u8 = 0xd9;
    let mut at = 2;
    loop {
        // Fill bytes, and what some cameras leave between segments.
        let Some(marker) = next_marker(bytes, at) else {
            return false;
        };
        at = marker + 2;
        match bytes[marker + 1] {
            EOI => return true,
            // Markers without a segment.
            0x01 | 0xd0..=0xd8 => {}
            // What follows the header of a scan has no length: the next marker ends it.
            _ => {
                let Some(length) = bytes.get(at..at + 2) else {
                    return false;
                };
                at += usize::from(u16::from_be_bytes([length[0], length[1]])).max(2);
            }
        }
    }
}

/// Where the next marker begins: 0xff, and then neither 0 (a pixel byte of 0xff) nor another 0xff.
fn next_marker(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    let pairs = rest.windows(2);
    let found = pairs
        .enumerate()
        .find(|(_, pair)| pair[0] == 0xff && !matches!(pair[1], 0 | 0xff));
    found.map(|(at, _)| from + at)
}

/// Whether a PNG has its last chunk.
pub(super) fn png_is_complete(bytes: &[u8]) -> bool {
    let mut at = 8;
    loop {
        let Some([a, b, c, d, kind @ ..]) = bytes.get(at..at + 8) else {
            return false;
        };
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        let end = at + 12 + length;
        if end > bytes.len() {
            return false;
        }
        if kind == b"IEND" {
            return true;
        }
        at = end;
    }
}

#[cfg(test)]
mod tests {
    use image::{ImageFormat, RgbImage};

    use super::*;

    fn encoded(format: ImageFormat) -> Vec<u8> {
        let image = RgbImage::from_fn(40, 30, |x, y| {
            image::Rgb([x as u8 * 6, y as u8 * 8, (x * y) as u8])
        });
        let mut bytes = std::io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn every_shorter_file_is_incomplete_and_a_longer_one_is_not() {
        let jpeg = encoded(ImageFormat::Jpeg);
        let png = encoded(ImageFormat::Png);
        assert!(jpeg_is_complete(&jpeg) && png_is_complete(&png));
        for length in 0..jpeg.len() {
            assert!(!jpeg_is_complete(&jpeg[..length]), "{length}");
        }
        for length in 0..png.len() {
            assert!(!png_is_complete(&png[..length]), "{length}");
        }
        assert!(jpeg_is_complete(&[jpeg, vec![0; 9]].concat()));
        assert!(png_is_complete(&[png, vec![0; 9]].concat()));
    }

    #[test]
    fn the_end_of_a_thumbnail_is_not_the_end_of_the_image() {
        let jpeg = encoded(ImageFormat::Jpeg);
        let length = (jpeg.len() as u16 + 2).to_be_bytes();
        let mut nested = vec![0xff, 0xd8, 0xff, 0xe1, length[0], length[1]];
        nested.extend_from_slice(&jpeg);
        nested.extend_from_slice(&jpeg[2..]);
        assert!(jpeg_is_complete(&nested));
        assert!(!jpeg_is_complete(&nested[..nested.len() * 6 / 10]));
    }
}
