"""Writes images.json: what Pillow and torchvision make of images that follow from formulas.

    pip install pillow torch torchvision && python images.py > images.json

Each case says what is done, and the first 8 bytes of the SHA-256 of the resulting bytes (rows of pixels of channels).
"""

import hashlib
import json
import sys

import numpy as np
import torchvision
import PIL
from PIL import Image
from torchvision.transforms import InterpolationMode, autoaugment
from torchvision.transforms import functional as F

MODES = {
    "nearest": InterpolationMode.NEAREST,
    "bilinear": InterpolationMode.BILINEAR,
    "bicubic": InterpolationMode.BICUBIC,
    "box": InterpolationMode.BOX,
    "hamming": InterpolationMode.HAMMING,
    "lanczos": InterpolationMode.LANCZOS,
}


def formula(kind, width, height, channels):
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(channels), indexing="ij")
    if kind == "noise":
        z = ((y * width + x) * channels + c).astype(np.uint32)
        z = (z ^ (z >> np.uint32(16))) * np.uint32(0x7FEB352D)
        z = (z ^ (z >> np.uint32(15))) * np.uint32(0x846CA68B)
        values = (z ^ (z >> np.uint32(16))) >> np.uint32(24)
    elif kind == "smooth":
        values = (x * x * 3 + y * 5 * (c + 1) + x * y) // 64 % 200 + 20
    elif kind == "edges":
        values = np.array([255, 0, 128])[(x // 5 + y // 7 + c) % 3]
    elif kind == "dark":
        values = (x * 7 + y * 3 + c) % 4 * 9
    return Image.fromarray(values.astype(np.uint8).squeeze(2) if channels == 1 else values.astype(np.uint8))


def case(of, result, **how):
    digest = hashlib.sha256(np.asarray(result).tobytes()).hexdigest()[:16]
    return {"image": of, **how, "becomes": [result.width, result.height], "sha256": digest}


def resizes(modes, images):
    sizes = [
        ((40, 30), (20, 15)), ((40, 30), (41, 31)), ((40, 30), (224, 224)), ((97, 61), (32, 32)), ((61, 97), (61, 32)),
        ((61, 97), (32, 97)), ((500, 375), (224, 224)), ((7, 5), (7, 5)), ((3, 2), (64, 1)), ((1, 1), (9, 9)),
        ((300, 4), (5, 300)), ((333, 251), (130, 99)),
        # Where the order of the two passes changes.
        ((100, 200), (60, 119)), ((100, 200), (60, 120)), ((90, 200), (91, 199)), ((90, 200), (91, 200)),
    ]
    for (width, height), to in sizes:
        for kind, channels in images:
            for mode in modes:
                of = (kind, width, height, channels)
                result = F.resize(formula(*of), [to[1], to[0]], MODES[mode])
                yield case(of, result, do="resize", to=to, interpolation=mode)


def fits():
    for width, height in [(500, 375), (375, 500), (90, 401), (33, 32), (256, 256), (257, 300), (64, 63)]:
        for resize, size in [(256, 224), (248, 224), (235, 224), (73, 64), (32, 32)]:
            for mode in ["bilinear", "bicubic"]:
                of = ("noise", width, height, 3)
                result = F.center_crop(F.resize(formula(*of), [resize], MODES[mode]), [size, size])
                yield case(of, result, do="fit", resize=resize, size=size, interpolation=mode)


def operations():
    # A square, and sides of both parities.
    images = [("smooth", 32, 32, 3), ("noise", 45, 31, 3), ("edges", 30, 44, 3), ("dark", 33, 20, 3), ("noise", 28, 28, 1)]
    affine = {"ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate"}
    for of in images:
        image = formula(*of)
        # The wide strengths are those of TrivialAugmentWide, of which 20 of 31 rotates by 90 degrees.
        for wide, bins, magnitudes in [(False, 31, [9, 30]), (False, 10, [4]), (True, 31, [7, 20, 30])]:
            if wide:
                space = autoaugment.TrivialAugmentWide()._augmentation_space(bins)
            else:
                space = autoaugment.RandAugment()._augmentation_space(bins, (image.height, image.width))
            for name, (strengths, signed) in space.items():
                for magnitude in magnitudes if strengths.ndim else magnitudes[:1]:
                    strength = float(strengths[magnitude]) if strengths.ndim else 0.0
                    for sign in [1.0, -1.0] if signed else [1.0]:
                        for mode in ["nearest", "bilinear", "bicubic"] if name in affine else ["nearest"]:
                            result = autoaugment._apply_op(image, name, sign * strength, MODES[mode], None)
                            yield case(
                                of, result, do=name, magnitude=magnitude, bins=bins, wide=wide,
                                strength=sign * strength, interpolation=mode,
                            )


if __name__ == "__main__":
    cases = [
        *resizes(["bilinear", "bicubic"], [("noise", 3), ("edges", 3), ("noise", 1)]),
        *resizes(["nearest", "box", "hamming", "lanczos"], [("noise", 3), ("smooth", 1)]),
        *fits(),
        *operations(),
    ]
    print(
        f"{len(cases)} cases of Pillow {PIL.__version__} and torchvision {torchvision.__version__}", file=sys.stderr,
    )
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    source = f"Pillow {PIL.__version__}, torchvision {torchvision.__version__}"
    print(f'{{"source": "{source}", "cases": [\n{lines}\n]}}')
