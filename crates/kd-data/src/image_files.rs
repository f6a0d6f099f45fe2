//! Images that stay in their files and are decoded whenever they are shown.

use std::path::PathBuf;

use crate::sets::bitmap;
use crate::{Bitmap, Error, Fit};

/// Image files of any size.
///
/// Nothing of them is kept in memory: the loader's threads read and decode the files of a batch when they prepare it,
/// and what the system keeps of the files makes later epochs faster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageFiles {
    /// PNG or JPEG, by number of the image.
    pub paths: Vec<PathBuf>,
    /// How an image is cut to the size that networks see.
    pub fit: Fit,
}

impl ImageFiles {
    /// Image `i`, of its own size, the way up that the EXIF orientation says.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Format`] when the file is not there any more or cannot be decoded.
    ///
    /// # Panics
    /// When there is no image `i`.
    pub fn whole(&self, i: usize) -> Result<Bitmap, Error> {
        bitmap(&self.paths[i])
    }

    /// The centre of image `i`, as evaluation sees it.
    ///
    /// # Errors
    /// As [`ImageFiles::whole`].
    ///
    /// # Panics
    /// As [`ImageFiles::whole`].
    pub fn centre(&self, i: usize) -> Result<Bitmap, Error> {
        Ok(self.fit.apply(&self.whole(i)?))
    }
}
