//! Annotations in PASCAL VOC's folders.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use roxmltree::{Document, Node};

use super::set::{file_in, within};
use super::{Annotated, Annotation, Classes, Counts, DetectionSet};
use crate::Error;

/// How VOC's files are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VocOptions {
    /// Whether the first pixel is 1 and the last one belongs to the box, as in VOC itself: then `x1` and `y1` are moved
    /// by a pixel. Many tools write VOC's files with edges that start from 0.
    pub one_based: bool,
}

impl Default for VocOptions {
    fn default() -> Self {
        Self { one_based: true }
    }
}

/// Endings of pictures, where an annotation does not name its own.
const ENDINGS: [&str; 3] = ["jpg", "jpeg", "png"];

/// Reads a folder of VOC: `Annotations/*.xml`, `JPEGImages/`, and `ImageSets/Main/<split>.txt` with the names of a
/// split.
///
/// Classes are the names that occur in any file of `Annotations`, in alphabetic order, so that all splits have one
/// map; their ids are those of the class. Boxes of parts (`part`) are not read.
///
/// # Errors
/// When a file cannot be read or does not hold what it should, or an image is missing.
pub fn read_voc(root: &Path, split: &str, options: VocOptions) -> Result<DetectionSet, Error> {
    let list = root.join("ImageSets/Main").join(format!("{split}.txt"));
    let text = fs::read_to_string(&list).map_err(Error::io("reading", &list))?;
    // A list of one class has a second column, whether the class is there.
    let names = text
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    let names: Vec<&str> = names.collect();
    if names.is_empty() {
        return Err(Error::format(&list, "it lists no image"));
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = names.iter().find(|name| !seen.insert(**name)) {
        return Err(Error::format(&list, format!("it lists `{twice}` twice")));
    }
    let folder = root.join("Annotations");
    let classes = classes(&folder)?;
    let mut counts = Counts::default();
    let mut images = Vec::with_capacity(names.len());
    for (place, name) in names.into_iter().enumerate() {
        let path = file_in(&folder, &format!("{name}.xml"), &list)?;
        let text = read(&path)?;
        let document = parse(&path, &text)?;
        let mut image = image(&document, &path, root, name)?;
        image.id = place as i64;
        for object in named(document.root_element(), "object") {
            let object = object_of(object, &image, &classes, options, &mut counts);
            let object = object.map_err(|problem| Error::format(&path, problem))?;
            image.objects.extend(object);
        }
        images.push(image);
    }
    counts.images = images.len();
    counts.empty_images = images.iter().filter(|i| i.objects.is_empty()).count();
    Ok(DetectionSet {
        classes,
        images,
        counts,
    })
}

/// The names of the classes in all files of a folder.
fn classes(folder: &Path) -> Result<Classes, Error> {
    let entries = fs::read_dir(folder).map_err(Error::io("reading", folder))?;
    let mut names = BTreeSet::new();
    for entry in entries {
        let path = entry.map_err(Error::io("reading", folder))?.path();
        if path.extension().is_none_or(|ending| ending != "xml") {
            continue;
        }
        let text = read(&path)?;
        let document = parse(&path, &text)?;
        for object in named(document.root_element(), "object") {
            let name = text_of(object, "name").map_err(|problem| Error::format(&path, problem))?;
            names.insert(name.to_owned());
        }
    }
    if names.is_empty() {
        return Err(Error::format(folder, "no file in it has an object"));
    }
    Classes::new((1..).zip(names).collect(), folder)
}

fn read(path: &Path) -> Result<String, Error> {
    let bytes = fs::read(path).map_err(Error::io("reading", path))?;
    String::from_utf8(bytes)
        .map_err(|_| Error::format(path, "its text is not UTF-8; save it as UTF-8"))
}

fn parse<'a>(path: &Path, text: &'a str) -> Result<Document<'a>, Error> {
    // What stands before the document: a byte-order mark.
    let document = Document::parse(text.trim_start_matches('\u{feff}'))
        .map_err(|e| Error::format(path, format!("not XML: {e}")))?;
    match document.root_element().has_tag_name("annotation") {
        true => Ok(document),
        false => Err(Error::format(
            path,
            format!(
                "not an annotation of VOC: its outermost element is `{}`, not `annotation`",
                document.root_element().tag_name().name()
            ),
        )),
    }
}

fn image(document: &Document, path: &Path, root: &Path, name: &str) -> Result<Annotated, Error> {
    let wrong = |problem: String| Error::format(path, problem);
    let annotation = document.root_element();
    let size = child(annotation, "size").map_err(wrong)?;
    let side = |key: &'static str| {
        let side = number(size, key).map_err(wrong)?;
        let fits = (1.0..=MOST).contains(&side) && side.fract() == 0.0;
        match fits {
            true => Ok(side as usize),
            false => Err(wrong(format!(
                "`{key}` of `size` is {side}; write the picture's, in pixels"
            ))),
        }
    };
    Ok(Annotated {
        path: picture(annotation, path, root, name)?,
        drawn: None,
        id: 0,
        width: side("width")?,
        height: side("height")?,
        objects: Vec::new(),
    })
}

/// The longest side of an image in pixels.
const MOST: f64 = 16_777_216.0;

/// The picture that an annotation names, or the one of the annotation's own name.
fn picture(annotation: Node, path: &Path, root: &Path, name: &str) -> Result<PathBuf, Error> {
    let folder = root.join("JPEGImages");
    let given = text_of(annotation, "filename");
    let own = ENDINGS.iter().map(|ending| format!("{name}.{ending}"));
    let mut names = given.iter().map(|given| (*given).to_owned()).chain(own);
    let there = names.find_map(|name| file_in(&folder, &name, path).ok());
    match (there, given) {
        (Some(there), _) => Ok(there),
        (None, Ok(given)) => file_in(&folder, given, path),
        (None, Err(_)) => file_in(&folder, &format!("{name}.jpg"), path),
    }
}

fn object_of(
    object: Node,
    image: &Annotated,
    classes: &Classes,
    options: VocOptions,
    counts: &mut Counts,
) -> Result<Option<Annotation>, String> {
    let name = text_of(object, "name")?;
    let class = classes
        .of_name(name)
        .ok_or_else(|| format!("the class `{name}` is in no annotation"))?;
    let bounds = child(object, "bndbox").map_err(|problem| format!("a `{name}`: {problem}"))?;
    let mut edges = [0.0; 4];
    for (edge, key) in edges.iter_mut().zip(["xmin", "ymin", "xmax", "ymax"]) {
        *edge = number(bounds, key).map_err(|problem| format!("a `{name}`: {problem}"))?;
    }
    let [x1, y1, x2, y2] = edges;
    let first = f64::from(u8::from(options.one_based));
    let corners = [x1 - first, y1 - first, x2, y2];
    let what = || {
        format!(
            "{name} {edges:?} (xmin, ymin, xmax, ymax) of {}",
            image.path.display()
        )
    };
    // A box whose edges are equal in the file was drawn by a click; one-based it would be a pixel.
    if x2 <= x1 || y2 <= y1 {
        counts.drop_box(what);
        return Ok(None);
    }
    let Some(corners) = within(corners, [image.width, image.height], counts, what) else {
        return Ok(None);
    };
    let difficult = match text_of(object, "difficult") {
        Ok("1") => true,
        Ok("0" | "") | Err(_) => false,
        Ok(other) => {
            return Err(format!(
                "`difficult` of a `{name}` is `{other}`; it is 0 or 1"
            ));
        }
    };
    counts.difficult += usize::from(difficult);
    let [x1, y1, x2, y2] = corners;
    let bbox = [x1, y1, x2 - x1, y2 - y1];
    Ok(Some(Annotation {
        class,
        corners,
        bbox,
        area: bbox[2] * bbox[3],
        crowd: false,
        difficult,
    }))
}

fn named<'a>(node: Node<'a, 'a>, name: &'static str) -> impl Iterator<Item = Node<'a, 'a>> {
    node.children()
        .filter(move |child| child.has_tag_name(name))
}

fn child<'a>(node: Node<'a, 'a>, name: &'static str) -> Result<Node<'a, 'a>, String> {
    named(node, name)
        .next()
        .ok_or_else(|| format!("`{}` has no `{name}`", node.tag_name().name()))
}

fn text_of<'a>(node: Node<'a, 'a>, name: &'static str) -> Result<&'a str, String> {
    let text = child(node, name)?.text().unwrap_or_default().trim();
    match text.is_empty() && name != "difficult" {
        true => Err(format!("`{name}` of `{}` is empty", node.tag_name().name())),
        false => Ok(text),
    }
}

fn number(node: Node, key: &'static str) -> Result<f64, String> {
    let child = child(node, key)?;
    let text = child.text().unwrap_or_default().trim();
    text.parse()
        .ok()
        .filter(|number: &f64| number.is_finite())
        .ok_or_else(|| format!("`{key}` is `{text}`; it is a number of pixels"))
}
