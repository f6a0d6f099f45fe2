"""Writes retinanet.json: RetinaNet's loss by torchvision's head, and cross-head distillation by its formula.

    pip install torch torchvision && python retinanet.py > retinanet.json

Form and formula as in detection_losses.json, in float64.
"""

import json
import sys

import torch
import torch.nn.functional as F
from torchvision.models.detection._utils import BoxCoder, Matcher
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.retinanet import RetinaNetClassificationHead, RetinaNetRegressionHead
from torchvision.ops import box_iou, generalized_box_iou_loss

from box_head import formula

IMAGE = (64, 80)
MAPS = [(8, 10), (4, 5)]
SIZES = ((16, 20), (32, 40))
RATIOS = ((0.5, 1.0, 2.0),) * 2
A_CELL = 6
CLASSES = 4
# The last image has no object.
OBJECTS = [
    ([[12.91, 32.3, 49.76, 62.82], [31.76, 6.27, 45.96, 29.76]], [1, 3]),
    ([[32.78, 20.17, 65.36, 44.46], [47.29, 28.87, 53.82, 60.85], [3.69, 10.67, 10.14, 34.91]], [2, 1, 3]),
    ([], []),
]


def anchors():
    images = ImageList(torch.zeros(len(OBJECTS), 3, *IMAGE, dtype=torch.float64), [IMAGE] * len(OBJECTS))
    return AnchorGenerator(SIZES, RATIOS)(images, [torch.zeros(1, 1, *size, dtype=torch.float64) for size in MAPS])


def targets():
    boxes = [torch.tensor(boxes, dtype=torch.float64).reshape(-1, 4) for boxes, _ in OBJECTS]
    return [{"boxes": b, "labels": torch.tensor(labels, dtype=torch.int64)} for b, (_, labels) in zip(boxes, OBJECTS)]


def matched():
    """Object of each anchor, -1 for background, -2 between."""
    matcher = Matcher(0.5, 0.4, allow_low_quality_matches=True)
    each = zip(targets(), anchors())
    none = torch.full((len(anchors()[0]),), -1)
    return [matcher(box_iou(t["boxes"], a)) if len(t["boxes"]) else none for t, a in each]


class Case:
    def __init__(self, name):
        self.name, self.inputs, self.leaves = name, {}, {}

    def put(self, key, scale, shape, student):
        self.inputs[key] = {"shape": list(shape), "scale": scale, "student": student}
        value = formula(self.name, key, scale, list(shape))
        if student:
            self.leaves[key] = value.requires_grad_()
        return value

    def done(self, reference, params, loss, **outputs):
        loss.backward()
        for image, (boxes, labels) in enumerate(OBJECTS):
            self.inputs[f"gt{image}"] = {"values": boxes, "student": False}
            self.inputs[f"labels{image}"] = {"ints": labels, "student": False}
        return {
            "name": self.name,
            "reference": reference,
            "params": {"image": list(IMAGE), "maps": MAPS, "sizes": SIZES, "ratios": RATIOS, **params},
            "inputs": self.inputs,
            "loss": loss.item(),
            "grads": {key: leaf.grad.flatten().tolist() for key, leaf in self.leaves.items()},
            "outputs": {key: {"values": value} for key, value in outputs.items()},
        }


def loss():
    case = Case("retinanet_loss")
    count = len(anchors()[0])
    said = {
        "cls_logits": case.put("cls_logits", 2.0, [3, count, CLASSES], True),
        "bbox_regression": case.put("bbox_regression", 1.0, [3, count, 4], True),
    }
    found = matched()
    classes = RetinaNetClassificationHead(8, A_CELL, CLASSES).compute_loss(targets(), said, found)
    boxes = RetinaNetRegressionHead(8, A_CELL).compute_loss(targets(), said, anchors(), found)
    codes = [matches.tolist() for matches in found]
    print("positives", [sum(c >= 0 for c in codes_of) for codes_of in codes], file=sys.stderr)
    print("between", [sum(c == -2 for c in codes_of) for codes_of in codes], file=sys.stderr)
    return case.done(
        "torchvision RetinaNetHead.compute_loss", {}, classes + boxes, classes=classes.item(), box=boxes.item()
    )


def rows(value, width):
    n, c, h, w = value.shape
    return value.view(n, c // width, width, h, w).permute(0, 3, 4, 1, 2).reshape(n, -1, width)


def crosskd(name, layer, beta, weights):
    case, channels, layers = Case(name), 6, 3
    count, width = len(anchors()[0]), {"classes": CLASSES, "boxes": 4}

    def crossed(branch):
        shapes = [[channels, channels, 3, 3]] * (layers - 1) + [[A_CELL * width[branch], channels, 3, 3]]
        convolutions = [
            (case.put(f"{branch}.{i}.weight", 0.3, shape, False), case.put(f"{branch}.{i}.bias", 0.5, shape[:1], False))
            for i, shape in enumerate(shapes)
        ]
        found = []
        for number, size in enumerate(MAPS):
            x = case.put(f"{branch}.student{number}", 1.5, [3, channels, *size], True)
            t = case.put(f"{branch}.teacher{number}", 1.0, [3, channels, *size], False)
            x, t = (v.permute(1, 0, 2, 3).flatten(1) for v in (x, t))
            x = (x - x.mean(1, True)) / (x.std(1, keepdim=True) + 1e-6) * t.std(1, keepdim=True) + t.mean(1, True)
            x = x.reshape(channels, 3, *size).permute(1, 0, 2, 3)
            for weight, bias in convolutions[layer:]:
                x = F.conv2d(F.relu(x), weight, bias, padding=1)
            found.append(rows(x, width[branch]))
        return torch.cat(found, 1).flatten(0, 1)

    # The authors' heads have no class for the background.
    p = crossed("classes")[:, 1:]
    q = case.put("logits", 3.0, [3 * count, CLASSES], False)[:, 1:].sigmoid()
    found = torch.cat(matched())
    weight = (found != -2).to(torch.float64)
    positives = sum(max(int((m >= 0).sum()), 1) for m in matched())
    each = F.binary_cross_entropy_with_logits(p, q, reduction="none") * (p.sigmoid() - q).abs() ** beta
    classes = (each * weight[:, None]).sum() / (positives + torch.finfo(torch.float32).eps)
    coder, references = BoxCoder((1.0, 1.0, 1.0, 1.0)), torch.cat(anchors())
    moved = coder.decode_single(crossed("boxes"), references)
    theirs = coder.decode_single(case.put("offsets", 0.5, [3 * count, 4], False), references)
    sure = q.max(1)[0] * weight
    boxes = (generalized_box_iou_loss(moved, theirs) * sure).sum() / (positives + torch.finfo(torch.float32).eps)
    params = {"layer": layer, "beta": beta, "classes": weights[0], "boxes": weights[1]}
    reference = "the authors' RetinaNet form by its formula; torchvision's matcher, coder and GIoU"
    return case.done(reference, params, classes * weights[0] + boxes * weights[1])


if __name__ == "__main__":
    cases = [loss(), crosskd("crosskd", 2, 1.0, (1.0, 1.0)), crosskd("crosskd_early", 1, 2.0, (4.0, 0.5))]
    json.dump({"salt": "", "dtype": "float64", "cases": cases}, sys.stdout)
