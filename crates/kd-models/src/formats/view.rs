//! A tensor as a view of a storage: where it begins there, and how far its elements lie apart.

use std::sync::Arc;

use burn::store::burn_pack::{Error, Tensor as Stored};
use burn::tensor::{BoolStore, Bytes, DType};

/// What PyTorch says of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct View {
    pub dtype: DType,
    /// Elements before the first one.
    pub offset: usize,
    pub shape: Vec<usize>,
    /// Elements from one index to the next, for each axis.
    pub strides: Vec<usize>,
}

impl View {
    /// The tensor, whose bytes are taken out of the storage when they are asked for.
    ///
    /// # Errors
    /// When the view leaves the storage, or has more elements than it.
    pub(super) fn of(self, name: String, storage: Arc<Vec<u8>>) -> Result<Stored, String> {
        let length = self.length(storage.len()).ok_or_else(|| {
            format!(
                "`{name}` has shape {:?} and strides {:?} from {}, which its storage of {} bytes does not hold",
                self.shape,
                self.strides,
                self.offset,
                storage.len()
            )
        })?;
        let (dtype, shape) = (self.dtype, self.shape.clone());
        let read = move || Ok::<_, Error>(Bytes::from_bytes_vec(self.gather(&storage)));
        Ok(Stored::deferred(name, dtype, shape, None, length, read))
    }

    /// Bytes of the tensor; none unless all of them lie in a storage of so many bytes.
    fn length(&self, storage: usize) -> Option<usize> {
        if self.shape.len() != self.strides.len() {
            return None;
        }
        let width = self.dtype.size();
        let elements = self
            .shape
            .iter()
            .try_fold(1_usize, |n, &d| n.checked_mul(d))?;
        let length = elements.checked_mul(width)?;
        if elements == 0 {
            return Some(0);
        }
        let mut last = self.offset;
        for (extent, stride) in self.shape.iter().zip(&self.strides) {
            last = last.checked_add((extent - 1).checked_mul(*stride)?)?;
        }
        let end = last.checked_add(1)?.checked_mul(width)?;
        // Elements that are used again and again would make much of little.
        (end <= storage && length <= storage).then_some(length)
    }

    /// The bytes of the tensor in the order of its shape. The view lies in the storage.
    fn gather(&self, storage: &[u8]) -> Vec<u8> {
        let width = self.dtype.size();
        let elements: usize = self.shape.iter().product();
        if elements == 0 {
            return Vec::new();
        }
        if self.is_contiguous() {
            let start = self.offset * width;
            return storage[start..start + elements * width].to_vec();
        }
        let mut bytes = Vec::with_capacity(elements * width);
        let mut index = vec![0; self.shape.len()];
        for _ in 0..elements {
            let along = index.iter().zip(&self.strides);
            let place = self.offset + along.map(|(i, stride)| i * stride).sum::<usize>();
            bytes.extend(&storage[place * width..(place + 1) * width]);
            for (i, extent) in index.iter_mut().zip(&self.shape).rev() {
                *i += 1;
                if *i < *extent {
                    break;
                }
                *i = 0;
            }
        }
        bytes
    }

    fn is_contiguous(&self) -> bool {
        let mut next = 1;
        let axes = self.shape.iter().zip(&self.strides).rev();
        for (&extent, &stride) in axes {
            if extent != 1 && stride != next {
                return false;
            }
            next *= extent;
        }
        true
    }
}

/// The type of elements that PyTorch calls so, as in `torch.FloatStorage`; none of complex and quantised ones.
pub(super) fn of_storage(name: &str) -> Option<DType> {
    Some(match name {
        "FloatStorage" => DType::F32,
        "DoubleStorage" => DType::F64,
        "HalfStorage" => DType::F16,
        "BFloat16Storage" => DType::BF16,
        "LongStorage" => DType::I64,
        "IntStorage" => DType::I32,
        "ShortStorage" => DType::I16,
        "CharStorage" => DType::I8,
        "ByteStorage" => DType::U8,
        "BoolStorage" => DType::Bool(BoolStore::Native),
        _ => return None,
    })
}

/// The type of elements of a number in an exported program (`torch/_export/serde/schema.py`, `ScalarType`).
pub(super) fn of_number(number: u32) -> Option<DType> {
    Some(match number {
        1 => DType::U8,
        2 => DType::I8,
        3 => DType::I16,
        4 => DType::I32,
        5 => DType::I64,
        6 => DType::F16,
        7 => DType::F32,
        8 => DType::F64,
        12 => DType::Bool(BoolStore::Native),
        13 => DType::BF16,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(offset: usize, shape: &[usize], strides: &[usize]) -> View {
        View {
            dtype: DType::U8,
            offset,
            shape: shape.to_vec(),
            strides: strides.to_vec(),
        }
    }

    fn read(view: View) -> Result<Vec<u8>, String> {
        let storage = Arc::new((0..12).collect());
        let tensor = view.of("t".into(), storage)?;
        Ok(tensor.to_bytes().unwrap().to_vec())
    }

    #[test]
    fn elements_come_in_the_order_of_the_shape() {
        assert_eq!(read(view(3, &[2, 2], &[2, 1])).unwrap(), [3, 4, 5, 6]);
        assert_eq!(read(view(0, &[2, 3], &[1, 2])).unwrap(), [0, 2, 4, 1, 3, 5]);
        assert_eq!(read(view(1, &[2, 1], &[4, 99])).unwrap(), [1, 5]);
        assert_eq!(read(view(11, &[], &[])).unwrap(), [11]);
        assert_eq!(read(view(99, &[0, 4], &[4, 1])).unwrap(), [0; 0]);
    }

    #[test]
    fn a_view_stays_in_its_storage() {
        for wrong in [
            view(0, &[13], &[1]),
            view(11, &[2], &[1]),
            view(0, &[2, 2], &[1]),
            // Thirteen elements of one byte.
            view(0, &[13], &[0]),
            view(0, &[2, 2], &[usize::MAX, 1]),
            view(usize::MAX, &[2], &[1]),
            view(0, &[usize::MAX, 2], &[0, 0]),
        ] {
            let error = read(wrong.clone()).unwrap_err();
            assert!(error.contains("does not hold"), "{wrong:?}: {error}");
        }
    }
}
