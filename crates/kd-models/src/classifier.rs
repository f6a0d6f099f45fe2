//! The classifier of a network, given from outside.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::Tensor;
use kd_core::Classifier;

use crate::Error;
use crate::network::Network;

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

    fn refused(&self, problem: String) -> Error {
        Error::Classifier {
            model: self.config.model.clone(),
            problem,
        }
    }
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
