//! Names of operations and layers for people.

use std::collections::BTreeMap;

use burn_ir::{OperationIr, TensorId};

use crate::capture::Captured;

/// An operation as burn calls it, such as `GridSample2d`: the innermost name of its record.
pub(crate) fn operation_name(operation: &OperationIr) -> String {
    if let OperationIr::Custom(custom) = operation {
        return custom.id.clone();
    }
    let text = format!("{operation:?}");
    let words = text
        .split(['(', ' ', '{', ','])
        .filter(|word| !word.is_empty());
    let innermost = words
        .take_while(|word| !word.ends_with("Ir"))
        .filter(|word| word.chars().all(char::is_alphanumeric))
        .last();
    innermost.unwrap_or("operation").to_owned()
}

/// The layer of each operation: that of the parameter which it reads, or the last one before it.
pub(crate) struct Places(Vec<(String, bool)>);

impl Places {
    pub fn new(captured: &Captured) -> Self {
        // Which parameter a value comes from, through operations on parameters alone.
        let mut from: BTreeMap<TensorId, String> = BTreeMap::new();
        for (id, name) in &captured.names {
            from.insert(*id, layer(name).to_owned());
        }
        let mut known: std::collections::BTreeSet<TensorId> = captured
            .graph
            .values
            .keys()
            .filter(|id| !captured.graph.graph.inputs.contains(id))
            .copied()
            .collect();
        let mut last = String::new();
        let operations = captured.graph.graph.operations.iter();
        let places = operations.map(|operation| {
            let own = operation
                .inputs()
                .find_map(|input| from.get(&input.id))
                .cloned();
            let made = !matches!(operation, OperationIr::Init(_));
            if made && operation.inputs().all(|input| known.contains(&input.id)) {
                for output in operation.outputs() {
                    known.insert(output.id);
                    if let Some(own) = &own {
                        from.insert(output.id, own.clone());
                    }
                }
            }
            if let Some(own) = &own {
                last.clone_from(own);
            }
            (last.clone(), own.is_some())
        });
        Self(places.collect())
    }

    /// Where the operation at this place stands.
    pub fn of(&self, operation: usize) -> String {
        match self.0.get(operation) {
            Some((layer, true)) => format!("layer `{layer}`"),
            Some((layer, false)) if !layer.is_empty() => format!("after layer `{layer}`"),
            _ => "before the first layer".into(),
        }
    }

    /// Where an operation after the last one stands.
    pub fn last(&self) -> String {
        match self.0.last() {
            Some((layer, _)) if !layer.is_empty() => format!("after layer `{layer}`"),
            _ => "before the first layer".into(),
        }
    }
}

/// The layer of a parameter: its name without the last part.
pub(crate) fn layer(parameter: &str) -> &str {
    parameter
        .rsplit_once('.')
        .map_or(parameter, |(layer, _)| layer)
}
