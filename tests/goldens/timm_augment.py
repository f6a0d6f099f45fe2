"""Writes timm_augment.json: what timm makes of images that follow from formulas, and the order of its repeated augmentation.

    pip install timm && python timm_augment.py > timm_augment.json

The images are those of images.py. Each case says what is done, and the first 8 bytes of the SHA-256 of the resulting
bytes (rows of pixels of channels).
"""

import json
import random
import sys

import PIL
import timm
from PIL import Image
from timm.data import auto_augment
from timm.data.distributed_sampler import RepeatAugSampler

from images import case, formula

SAMPLINGS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}
# Means of ImageNet, as timm's create_transform rounds them.
COLOUR = tuple(min(255, round(255 * mean)) for mean in (0.485, 0.456, 0.406))
MOVED = {"Rotate", "ShearX", "ShearY", "TranslateXRel", "TranslateYRel"}
SIGNED = MOVED | {"ColorIncreasing", "ContrastIncreasing", "BrightnessIncreasing", "SharpnessIncreasing"}


def operations():
    images = [("smooth", 32, 32, 3), ("noise", 45, 31, 3), ("edges", 30, 44, 3), ("dark", 33, 20, 3), ("noise", 28, 28, 1)]
    drawn = random.random
    for of in images:
        image = formula(*of)
        fill = COLOUR if of[3] == 3 else COLOUR[0]
        for increasing in [False, True]:
            names = auto_augment.rand_augment_choices("", increasing=increasing)
            for place, name in enumerate(names):
                to_arguments = auto_augment.LEVEL_TO_ARG[name]
                for level in [9, 0, 3.7, 10] if to_arguments else [9]:
                    for negative in [False, True] if name in SIGNED else [False]:
                        # What decides the direction.
                        random.random = lambda: 1.0 if negative else 0.0
                        arguments = to_arguments(level, {}) if to_arguments else ()
                        random.random = drawn
                        if name.startswith("Posterize") and arguments == (0,):
                            # Pillow 13 refuses to keep no bit at all. Before, that was black.
                            continue
                        for sampling in SAMPLINGS if name in MOVED else ["nearest"]:
                            how = {"fillcolor": fill, "resample": SAMPLINGS[sampling]}
                            result = auto_augment.NAME_TO_OP[name](image, *arguments, **how)
                            yield case(
                                of, result, do=name, operation=place, level=level, increasing=increasing,
                                negative=negative, argument=float(arguments[0]) if arguments else 0.0,
                                interpolation=sampling, outside=list(COLOUR),
                            )


def orders():
    for count, repeats in [(10, 3), (12, 3), (7, 1), (5, 8), (4, 2)]:
        sampler = RepeatAugSampler(
            range(count), num_replicas=1, rank=0, shuffle=False, num_repeats=repeats, selected_round=0,
        )
        yield {"images": count, "repeats": repeats, "order": list(sampler)}


cases, repeated = list(operations()), list(orders())
source = f"Pillow {PIL.__version__}, timm {timm.__version__}"
print(f"{len(cases)} cases and {len(repeated)} orders of {source}", file=sys.stderr)
lines = [",\n".join(json.dumps(case, separators=(",", ":")) for case in part) for part in [cases, repeated]]
print(f'{{"source": "{source}", "cases": [\n{lines[0]}\n], "orders": [\n{lines[1]}\n]}}')
