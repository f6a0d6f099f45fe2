"""Writes keras.zip: a small ResNet as Keras saves it, in its three formats, with the logits that Keras gives.

    KERAS_BACKEND=torch python make.py     (keras 3, torch, flax)

The network is built as tutorials do: convolutions with a bias and padding="same", so that those with a stride pad one
side only, and normalisations with Keras's own epsilon. It is trained for a few steps, and its numbers are then
rounded, so that the archive is small. The same numbers are saved as Flax saves them, too.
"""

import json
import os
import pathlib
import tempfile
import zipfile

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy
from flax import serialization

CLASSES = 10


def block(x, width, stride, names):
    def conv(x, name, kernel, stride):
        name = f"conv_{name}"
        names.append(name)
        return keras.layers.Conv2D(width, kernel, strides=stride, padding="same", name=name)(x)

    def norm(x, name):
        name = f"norm_{name}"
        names.append(name)
        return keras.layers.BatchNormalization(name=name)(x)

    at = len(names)
    y = keras.layers.ReLU()(norm(conv(x, f"{at}_a", 3, stride), f"{at}_a"))
    y = norm(conv(y, f"{at}_b", 3, 1), f"{at}_b")
    if stride != 1 or x.shape[-1] != width:
        x = norm(conv(x, f"{at}_c", 1, stride), f"{at}_c")
    return keras.layers.ReLU()(keras.layers.Add()([x, y]))


def build():
    """A ResNet-8 and the names of its layers in the order of ours."""
    images = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(16, 3, padding="same", name="stem")(images)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization(name="stem_norm")(x))
    names = ["stem", "stem_norm"]
    for width, stride in ((16, 1), (32, 2), (64, 2)):
        x = block(x, width, stride, names)
    x = keras.layers.Flatten()(keras.layers.AveragePooling2D(8)(x))
    names.append("classes")
    return keras.Model(images, keras.layers.Dense(CLASSES, name="classes")(x)), names


def modules():
    yield from ("conv1", "bn1")
    for stage in (1, 2, 3):
        names = ["conv1", "bn1", "conv2", "bn2"] + (["downsample.0", "downsample.1"] if stage > 1 else [])
        yield from (f"layer{stage}.0.{name}" for name in names)
    yield "fc"


def rounded(model):
    for weight in model.weights:
        scale = 8 if "variance" in weight.path else 16
        value = numpy.round(keras.ops.convert_to_numpy(weight) * scale) / scale
        weight.assign(numpy.maximum(value, 1 / scale) if "variance" in weight.path else value)


def flax(model):
    """Its numbers as flax.linen has them: parameters, and statistics of batches."""
    params, statistics = {}, {}
    for layer in model.layers:
        values = {w.name: keras.ops.convert_to_numpy(w) for w in layer.weights}
        if isinstance(layer, keras.layers.BatchNormalization):
            params[layer.name] = {"scale": values["gamma"], "bias": values["beta"]}
            statistics[layer.name] = {"mean": values["moving_mean"], "var": values["moving_variance"]}
        elif values:
            params[layer.name] = values
    return serialization.msgpack_serialize({"params": params, "batch_stats": statistics})


def main():
    keras.utils.set_random_seed(1)
    model, names = build()
    random = numpy.random.default_rng(1)
    images = random.normal(size=(64, 32, 32, 3)).astype("float32")
    labels = random.integers(0, CLASSES, 64)
    model.compile(keras.optimizers.SGD(0.05), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(images, labels, epochs=8, batch_size=16, verbose=0)
    rounded(model)
    inputs = (numpy.arange(2 * 32 * 32 * 3) % 251 / 125 - 1).astype("float32").reshape(2, 32, 32, 3)
    logits = keras.ops.convert_to_numpy(model(inputs, training=False))
    layers = dict(zip(names, modules(), strict=True))
    beside = {"layers": layers, "epsilon": 1e-3}
    with tempfile.TemporaryDirectory() as scratch, zipfile.ZipFile("keras.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        folder = pathlib.Path(scratch)
        model.save(folder / "model.keras")
        model.save_weights(folder / "model.weights.h5")
        model.save(folder / "model.h5")
        (folder / "model.msgpack").write_bytes(flax(model))
        (folder / "names.json").write_text(json.dumps(beside, indent=1))
        (folder / "logits.json").write_text(json.dumps(logits.tolist()))
        for file in sorted(folder.iterdir()):
            archive.write(file, file.name, compresslevel=9)


if __name__ == "__main__":
    main()
