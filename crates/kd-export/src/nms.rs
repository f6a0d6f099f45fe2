//! Non-maximum suppression inside the file of a detector of one stage.

use kd_models::detection::Filter;

use crate::constant::Constant;
use crate::graph::{Attribute, Attributes, Dim};
use crate::model::{attribute, tensor, tensors};
use crate::proto::{GraphProto, Model, NodeProto, ValueInfo};

/// Replaces the output of all boxes, `[batch, boxes, 4 + classes]`, by what [`Filter`] leaves of them, for each image as many
/// as an image may have, best first: `boxes` `[batch, most, 4]` in 0..1, `scores` `[batch, most]` and `classes`
/// `[batch, most]`, from 1 on. A score of 0 says that nothing more was found.
///
/// Of boxes with equal scores at the end of those that a class may have ([`Filter::a_class`]), all take part.
pub(crate) fn append(model: &mut Model, filter: &Filter) {
    let Some(graph) = &mut model.graph else {
        return;
    };
    let Some((all, [boxes, numbers])) = all_boxes(graph) else {
        return;
    };
    // The first class is the background.
    let foreground = numbers - 5;
    let most = filter.an_image.min(boxes * foreground);
    let mut w = Writer(graph);

    let corners = w.slice(&all, 0, 4, 2);
    let (zero, one) = (w.float("zero", &[], 0.0), w.float("one", &[], 1.0));
    let corners = w.node("Clip", &[&corners, &zero, &one], Vec::new());
    let scores = w.slice(&all, 5, numbers, 2);
    // `[batch, classes, boxes]`
    let mut scores = w.node(
        "Transpose",
        &[&scores],
        vec![("perm", Attribute::Ints(vec![0, 2, 1]))],
    );
    if let Some(a_class) = filter.a_class.filter(|a_class| *a_class < boxes) {
        let best = w.top(&scores, a_class, ["values", "places"]);
        let last = w.slice(&best, a_class - 1, a_class, 2);
        let kept = w.node("GreaterOrEqual", &[&scores, &last], Vec::new());
        scores = w.node("Where", &[&kept, &scores, &zero], Vec::new());
    }
    let limit = w.integers("most_of_a_class", &[1], &[most]);
    let overlap = w.float("overlap", &[1], filter.overlap as f32);
    let threshold = w.float("score", &[1], filter.score as f32);
    let inputs = [&corners, &scores, &limit, &overlap, &threshold].map(String::as_str);
    // Image, class and box of each that is left.
    let places = w.node("NonMaxSuppression", &inputs, Vec::new());
    let left = w.node("GatherND", &[&scores, &places], Vec::new());
    let nothing = w.node("Mul", &[&scores, &zero], Vec::new());
    let left = w.node("ScatterND", &[&nothing, &places, &left], Vec::new());
    let shape = w.integers("classes_and_boxes", &[2], &[0, foreground * boxes]);
    let left = w.node("Reshape", &[&left, &shape], Vec::new());

    w.top(&left, most, ["scores", "place"]);
    let count = w.integers("boxes_of_a_class", &[], &[boxes]);
    let class = w.node("Div", &["place", &count], Vec::new());
    let first = w.integers("first_class", &[], &[1]);
    w.node_to("Add", &[&class, &first], &["classes"], Vec::new());
    let before = w.node("Mul", &[&class, &count], Vec::new());
    let at = w.node("Sub", &["place", &before], Vec::new());
    let axis = w.integers("last_axis", &[1], &[2]);
    let at = w.node("Unsqueeze", &[&at, &axis], Vec::new());
    w.node_to(
        "GatherND",
        &[&corners, &at],
        &["boxes"],
        vec![("batch_dims", Attribute::Int(1))],
    );

    let io = |name: &str, sizes: &[usize], integers| {
        let sizes = sizes.iter().map(|size| Dim::Fixed(*size));
        let dims: Vec<Dim> = [Dim::Batch(1)].into_iter().chain(sizes).collect();
        ValueInfo {
            name: Some(name.into()),
            r#type: Some(tensors(&dims, integers)),
        }
    };
    graph.output = vec![
        io("boxes", &[most, 4], false),
        io("scores", &[most], false),
        io("classes", &[most], true),
    ];
}

/// The name of the output of all boxes, how many they are, and the numbers of each.
fn all_boxes(graph: &GraphProto) -> Option<(String, [usize; 2])> {
    let output = graph.output.first()?;
    let shape = output.r#type.as_ref()?.tensor_type.as_ref()?;
    let [_, boxes, numbers] = shape.shape.as_ref()?.dim.as_slice() else {
        return None;
    };
    let sizes = [boxes, numbers].map(|dim| dim.dim_value() as usize);
    Some((output.name().to_owned(), sizes))
}

/// Adds nodes, which are called by their operations.
struct Writer<'a>(&'a mut GraphProto);

impl Writer<'_> {
    fn node(&mut self, op: &str, inputs: &[&str], attributes: Attributes) -> String {
        let output = format!("/suppression/{op}_{}_output_0", self.0.node.len());
        self.node_to(op, inputs, &[&output], attributes);
        output
    }

    fn node_to(&mut self, op: &str, inputs: &[&str], outputs: &[&str], attributes: Attributes) {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        self.0.node.push(NodeProto {
            input: names(inputs),
            output: names(outputs),
            name: Some(format!("/suppression/{op}_{}", self.0.node.len())),
            op_type: Some(op.into()),
            attribute: attributes.iter().map(attribute).collect(),
        });
    }

    /// The largest numbers along the last axis, and their places.
    fn top(&mut self, from: &str, count: usize, outputs: [&str; 2]) -> String {
        let name = format!("{}_of", outputs[0]);
        let count = self.integers(&name, &[1], &[count]);
        self.node_to("TopK", &[from, &count], &outputs, Vec::new());
        outputs[0].to_owned()
    }

    fn slice(&mut self, from: &str, start: usize, end: usize, axis: usize) -> String {
        let name = format!("slice_{}", self.0.node.len());
        let mut bound =
            |what: &str, value| self.integers(&format!("{name}_{what}"), &[1], &[value]);
        let bounds = [
            bound("start", start),
            bound("end", end),
            bound("axis", axis),
        ];
        let [start, end, axis] = &bounds;
        self.node("Slice", &[from, start, end, axis], Vec::new())
    }

    fn float(&mut self, name: &str, shape: &[usize], value: f32) -> String {
        self.constant(name, &Constant::floats(vec![value], shape))
    }

    fn integers(&mut self, name: &str, shape: &[usize], values: &[usize]) -> String {
        let values = values.iter().map(|value| *value as i64).collect();
        self.constant(name, &Constant::ints(values, shape))
    }

    fn constant(&mut self, name: &str, constant: &Constant) -> String {
        let name = format!("/suppression/{name}");
        let message = tensor(name.clone(), constant, false);
        self.0.initializer.push(message);
        name
    }
}
