"""Saves networks of keras.applications in each of Keras's formats, and compares the logits that they have here.

`cargo xtask verify-keras` starts it. Weights are random, and so are the statistics of normalisations.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy
import safetensors.numpy

NETWORKS = {
    "ResNet50": ("resnet50_224", 64),
    "ResNet101": ("resnet101_224", 64),
    "MobileNetV2": ("mobilenet_v2_224", 64),
    "VGG16": ("vgg16_224", 224),
}
FORMATS = ("keras", "weights.h5", "h5")
CLASSES = 10
# Of the largest logit.
TOLERANCE = 1e-4


def randomised(model, random):
    for weight in model.weights:
        shape = tuple(weight.shape)
        if "moving_variance" in weight.path or "gamma" in weight.path:
            weight.assign(random.uniform(0.8, 1.2, shape))
        elif len(shape) == 1:
            weight.assign(random.uniform(-0.1, 0.1, shape))


def here(model, weights, images, folder):
    out = folder / "out.safetensors"
    command = ["cargo", "run", "--quiet", "--package", "kd-models", "--features", "keras", "--example", "logits", "--"]
    subprocess.run([*command, model, weights, images, out], check=True)
    return safetensors.numpy.load_file(out)["logits"]


def main():
    random = numpy.random.default_rng(1)
    failed = False
    print(f"keras {keras.__version__}\n\n| network | here | pixels | largest logit | " + " | ".join(FORMATS) + " |")
    for name, (ours, size) in NETWORKS.items():
        network = getattr(keras.applications, name)(
            weights=None, classes=CLASSES, input_shape=(size, size, 3), classifier_activation=None
        )
        randomised(network, random)
        images = random.uniform(-1.5, 1.5, (2, size, size, 3)).astype("float32")
        logits = keras.ops.convert_to_numpy(network(images, training=False))
        largest, cells = numpy.abs(logits).max(), []
        with tempfile.TemporaryDirectory() as scratch:
            folder = pathlib.Path(scratch)
            tensors = {"images": numpy.ascontiguousarray(images.transpose(0, 3, 1, 2)), "logits": logits}
            safetensors.numpy.save_file(tensors, folder / "images.safetensors")
            for kind in FORMATS:
                weights = folder / f"model.{kind}"
                (network.save_weights if kind == "weights.h5" else network.save)(weights)
                difference = numpy.abs(here(ours, weights, folder / "images.safetensors", folder) - logits).max()
                failed |= not difference <= TOLERANCE * largest
                cells.append(f"{difference:.1e}")
                weights.unlink()
        print(f"| {name} | `{ours}` | {size} | {largest:.2f} | " + " | ".join(cells) + " |", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
