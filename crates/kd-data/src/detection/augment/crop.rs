//! A part of the image that objects lie in.

use super::{Scene, at};
use crate::Window;
use crate::random::Stream;

/// Cuts out a part of the image that overlaps an object by at least a drawn IoU.
///
/// One of `options` is drawn. 1 and more leaves the image as it is. Otherwise up to `tries` parts are drawn, whose sides
/// are `scale` of the image's and whose aspect is in `aspect`; the first is taken in which the centre of an object
/// lies, and that has the IoU with one of these objects. If none is, another option is drawn. Objects whose centres
/// lie outside are left out, the others are cut.
#[derive(Clone, Debug, PartialEq)]
pub struct IouCrop {
    /// Least IoU of the part with an object.
    pub options: Vec<f64>,
    /// Sides of the part in those of the image, at least and at most.
    pub scale: [f64; 2],
    /// Width by height of the part, at least and at most.
    pub aspect: [f64; 2],
    /// Parts that are drawn for an option.
    pub tries: usize,
}

impl Default for IouCrop {
    /// SSD's.
    fn default() -> Self {
        Self {
            options: vec![0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0],
            scale: [0.3, 1.0],
            aspect: [0.5, 2.0],
            tries: 40,
        }
    }
}

/// Options that are drawn at most; behind them the image stays as it is. torchvision draws for ever, which no image with
/// an object needs as long as 1 is among the options.
const DRAWN: usize = 1000;

impl IouCrop {
    pub(super) fn apply(&self, scene: Scene, random: &mut Stream) -> Scene {
        if scene.objects.is_empty() || self.options.is_empty() {
            return scene;
        }
        for _ in 0..DRAWN {
            let least = self.options[random.below(self.options.len())];
            if least >= 1.0 {
                return scene;
            }
            for _ in 0..self.tries {
                if let Some(window) = self.window(&scene, least, random) {
                    return cut(scene, window);
                }
            }
        }
        scene
    }

    fn window(&self, scene: &Scene, least: f64, random: &mut Stream) -> Option<Window> {
        let (width, height) = (scene.image.width, scene.image.height);
        let mut side = |whole: usize| (whole as f64 * random.between(self.scale)) as usize;
        let (wide, high) = (side(width), side(height));
        if wide == 0 || high == 0 {
            return None;
        }
        let aspect = wide as f64 / high as f64;
        if aspect < self.aspect[0] || aspect > self.aspect[1] {
            return None;
        }
        let mut place = |whole: usize, part: usize| {
            (random.between([0.0, (whole - part) as f64])).floor() as usize
        };
        let window = Window {
            left: place(width, wide),
            top: place(height, high),
            width: wide,
            height: high,
        };
        let edges = edges(window);
        let inside = scene
            .objects
            .iter()
            .filter(|o| has_centre(&edges, &o.corners));
        let best = inside.map(|o| iou(&o.corners, &edges)).fold(None, most);
        best.is_some_and(|best| best >= least).then_some(window)
    }
}

fn most(best: Option<f64>, next: f64) -> Option<f64> {
    Some(best.map_or(next, |best: f64| best.max(next)))
}

fn edges(window: Window) -> [f64; 4] {
    let (left, top) = (window.left as f64, window.top as f64);
    [
        left,
        top,
        left + window.width as f64,
        top + window.height as f64,
    ]
}

fn has_centre(edges: &[f64; 4], [x1, y1, x2, y2]: &[f64; 4]) -> bool {
    let (x, y) = ((x1 + x2) / 2.0, (y1 + y2) / 2.0);
    edges[0] < x && x < edges[2] && edges[1] < y && y < edges[3]
}

fn iou(a: &[f64; 4], b: &[f64; 4]) -> f64 {
    let area = |[x1, y1, x2, y2]: [f64; 4]| (x2 - x1).max(0.0) * (y2 - y1).max(0.0);
    let shared = area([
        a[0].max(b[0]),
        a[1].max(b[1]),
        a[2].min(b[2]),
        a[3].min(b[3]),
    ]);
    shared / (area(*a) + area(*b) - shared)
}

fn cut(scene: Scene, window: Window) -> Scene {
    let edges = edges(window);
    let [left, top, ..] = edges;
    let (width, height) = (window.width as f64, window.height as f64);
    let objects = scene.objects.into_iter();
    let inside = objects.filter(|object| has_centre(&edges, &object.corners));
    let moved = inside.map(|object| {
        let [x1, y1, x2, y2] = object.corners;
        let cut = |edge: f64, from: f64, most: f64| (edge - from).clamp(0.0, most);
        at(
            object,
            [
                cut(x1, left, width),
                cut(y1, top, height),
                cut(x2, left, width),
                cut(y2, top, height),
            ],
        )
    });
    let whole = moved.filter(|object| object.bbox[2] > 0.0 && object.bbox[3] > 0.0);
    Scene {
        objects: whole.collect(),
        image: scene.image.cut(window),
    }
}
