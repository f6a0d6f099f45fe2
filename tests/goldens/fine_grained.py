"""Writes fine_grained.json: fine-grained feature imitation of two levels with its adapters, by torchvision's anchors.

    pip install torch torchvision && python fine_grained.py > fine_grained.json

An adapter is a 3x3 convolution and a ReLU, as in the authors' code; the mask is the paper's. Form and formula as in
detection_losses.json, in float64.
"""

import json
import sys

import torch
import torch.nn.functional as F
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import box_iou

from box_head import formula

IMAGE = (64, 80)
# The last image has no object.
OBJECTS = [[[12.91, 32.3, 49.76, 62.82], [31.76, 6.27, 45.96, 29.76]], [[47.29, 28.87, 53.82, 60.85]], []]
LEVELS = [([6, 8, 10], [8, 8, 10]), ([8, 4, 5], [8, 4, 5])]


def mask(objects, height, width, sizes, ratios, threshold):
    stride = IMAGE[0] // height
    generator = AnchorGenerator(sizes=(tuple(size * stride for size in sizes),), aspect_ratios=(tuple(ratios),))
    images = ImageList(torch.zeros(1, 3, *IMAGE, dtype=torch.float64), [IMAGE])
    anchors = generator(images, [torch.zeros(1, 1, height, width, dtype=torch.float64)])[0]
    cells = torch.zeros(height * width, dtype=torch.bool)
    for row in box_iou(torch.tensor(objects, dtype=torch.float64).reshape(-1, 4), anchors):
        cells |= (row > threshold * row.max()).reshape(height * width, -1).any(1)
    return cells.reshape(height, width)


def case(name, sizes, ratios, threshold):
    inputs, leaves, loss = {}, {}, 0.0

    def put(key, scale, shape, student):
        inputs[key] = {"shape": shape, "scale": scale, "student": student}
        value = formula(name, key, scale, shape)
        if student:
            leaves[key] = value.requires_grad_()
        return value

    for level, (own, theirs) in enumerate(LEVELS):
        student = put(f"student{level}", 1.5, [len(OBJECTS), *own], True)
        teacher = put(f"teacher{level}", 1.5, [len(OBJECTS), *theirs], False)
        weight = put(f"adapters.{level}.weight", 0.2, [theirs[0], own[0], 3, 3], True)
        bias = put(f"adapters.{level}.bias", 0.3, [theirs[0]], True)
        adapted = F.relu(F.conv2d(student, weight, bias, padding=1))
        masks = torch.stack([mask(objects, *own[1:], sizes, ratios, threshold) for objects in OBJECTS])
        print(name, level, "cells", [int(m.sum()) for m in masks], file=sys.stderr)
        squares = (adapted - teacher) ** 2 * masks[:, None]
        loss = loss + squares.sum() / (2 * masks.sum())
    loss.backward()
    for image, objects in enumerate(OBJECTS[:2]):
        inputs[f"boxes{image}"] = {"values": objects, "student": False}
    return {
        "name": name,
        "reference": "the paper's mask over torchvision's anchors; conv3x3 and ReLU",
        "params": {"sizes": sizes, "ratios": ratios, "threshold": threshold, "image": list(IMAGE)},
        "inputs": inputs,
        "loss": loss.item(),
        "grads": {key: leaf.grad.flatten().tolist() for key, leaf in leaves.items()},
    }


if __name__ == "__main__":
    cases = [
        case("fine_grained", [4.0, 8.0], [0.5, 1.0, 2.0], 0.5),
        case("fine_grained_strict", [3.0], [1.0], 0.8),
    ]
    json.dump({"salt": "", "dtype": "float64", "cases": cases}, sys.stdout, indent=1)
