//! The classifier of a network, given from outside.

use std::path::Path;

use burn::module::{Module, ModuleMapper, Param};
use burn::store::burn_pack::Tensor as Stored;
use burn::tensor::{Tensor, TensorData};
use kd_core::Classifier;

use crate::formats::Tensors;
use crate::network::Network;
use crate::{Error, state_dict};

impl Network {
    /// The same network with another classifier of the same shape, such as one that was trained on cached embeddings.
    ///
    /// # Errors
    /// [`Error::Classifier`] when the network has several classifiers, or one of another shape.
    pub fn with_classifier(self, classifier: &Classifier) -> Result<Self, Error> {
        let keys = self.keys();
        let starts = self.classifiers(&keys);
        let own = |name: &str| {
            let mut own = keys.iter().filter(|key| {
                let rest = starts.iter().find_map(|start| key.path.strip_prefix(start));
                rest == Some(name)
            });
            let only = own.next().filter(|_| own.next().is_none());
            only.map(|key| (key.path.clone(), key.shape.clone()))
        };
        let [width, classes] = classifier.weight.dims();
        let given = [vec![classes, width], classifier.bias.dims().to_vec()];
        let (Some((weight, weights)), Some((bias, biases))) = (own("weight"), own("bias")) else {
            return Err(self.refused("it has not one linear layer that gives its logits".into()));
        };
        if [&weights, &biases] != [&given[0], &given[1]] {
            return Err(self.refused(format!(
                "its weight and bias have the shapes {weights:?} and {biases:?}, and those given {:?} and {:?}",
                given[0], given[1]
            )));
        }
        let mut put = Put {
            path: Vec::new(),
            weight: (weight, classifier.weight.clone()),
            bias: (bias, classifier.bias.clone()),
        };
        Ok(self.map(&mut put))
    }

    /// The same network with the classifier of a file, such as one that was trained on embeddings elsewhere: two tensors
    /// `weight`, `[classes, width]`, and `bias`, `[classes]`, whatever stands before these words. Of a file with several
    /// such layers it is that with the name of this network's own.
    ///
    /// # Errors
    /// As [`Network::load`] and [`Network::with_classifier`]; [`Error::Format`] for a file in which there is not one
    /// such layer.
    pub fn with_classifier_of(self, path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let wrong = |problem: String| Error::Format {
            path: path.to_owned(),
            problem,
        };
        let (tensors, _) = state_dict::read(path)?;
        let layers = linear_layers(&tensors);
        let keys = self.keys();
        let own = self.classifiers(&keys);
        let of_own = |layer: &&String| {
            let mut keys = keys.iter();
            let key = keys.find(|key| key.name == format!("{layer}weight"));
            key.is_some_and(|key| own.iter().any(|start| key.path.starts_with(start)))
        };
        let layer = match &layers[..] {
            [one] => one,
            [] => {
                let problem = "it holds no classifier: a tensor `weight` of [classes, width] with a `bias` of [classes]";
                return Err(wrong(problem.into()));
            }
            several => several.iter().find(of_own).ok_or_else(|| {
                let named: Vec<String> = several.iter().map(|l| format!("`{l}weight`")).collect();
                wrong(format!(
                    "it holds several linear layers, {}, and none is called as the classifier: save that one alone",
                    named.join(", ")
                ))
            })?,
        };
        let device = self.device().unwrap_or_default();
        let values = |name: &str| -> Result<TensorData, Error> {
            let tensor = &tensors[&format!("{layer}{name}")];
            let bytes = tensor.to_bytes().map_err(|e| wrong(e.to_string()))?;
            let data = TensorData::from_bytes(bytes, shape(tensor), tensor.dtype).convert::<f32>();
            let odd = data.iter::<f32>().find(|value| !value.is_finite());
            match odd {
                None => Ok(data),
                Some(value) => Err(wrong(format!("`{layer}{name}` holds {value}"))),
            }
        };
        let classifier = Classifier {
            weight: Tensor::<2>::from_data(values("weight")?, &device).transpose(),
            bias: Tensor::from_data(values("bias")?, &device),
        };
        self.with_classifier(&classifier)
    }

    fn refused(&self, problem: String) -> Error {
        Error::Classifier {
            model: self.config.model.clone(),
            problem,
        }
    }
}

fn shape(tensor: &Stored) -> Vec<usize> {
    tensor.shape.iter().copied().collect()
}

/// What stands before `weight` and `bias` of every linear layer with both.
fn linear_layers(tensors: &Tensors) -> Vec<String> {
    let layers = tensors.iter().filter_map(|(name, tensor)| {
        let layer = name.strip_suffix("weight")?;
        let bias = tensors.get(&format!("{layer}bias"))?;
        let float = tensor.dtype.is_float() && bias.dtype.is_float();
        match (&shape(tensor)[..], &shape(bias)[..]) {
            ([classes, _], [biases]) if classes == biases && float => Some(layer.to_owned()),
            _ => None,
        }
    });
    layers.collect()
}

/// Puts two tensors at their paths.
struct Put {
    path: Vec<String>,
    weight: (String, Tensor<2>),
    bias: (String, Tensor<1>),
}

impl ModuleMapper for Put {
    fn enter_module(&mut self, name: &str, container: &str) {
        if !container.starts_with("Enum:") {
            self.path.push(name.to_owned());
        }
    }

    fn exit_module(&mut self, _: &str, container: &str) {
        if !container.starts_with("Enum:") {
            self.path.pop();
        }
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let path = self.path.join(".");
        if path == self.weight.0 {
            let value = self.weight.1.clone();
            return param.map(|old| value.reshape(old.dims()));
        }
        if path == self.bias.0 {
            let value = self.bias.1.clone();
            return param.map(|old| value.reshape(old.dims()));
        }
        param
    }
}
