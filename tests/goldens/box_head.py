"""Writes box_head.json: a two-stage teacher's box head at a one-stage student's boxes, by torchvision's parts.

    pip install torch torchvision && python box_head.py > box_head.json

The matcher, the mining of negatives, coders and clipping are torchvision's SSD and Faster R-CNN; the teacher's head is
linear in the corners of a region. Form and formula as in detection_losses.json, in float64.
"""

import json
import sys

import torch
import torch.nn.functional as F
from torchvision.models.detection._utils import BoxCoder, SSDMatcher
from torchvision.ops import boxes as box_ops

from detectors import uniform

CLASSES = 4
IMAGE = (64, 64)
DEFAULTS = [
    [2.0, 2.0, 30.0, 30.0],
    [20.0, 4.0, 62.0, 28.0],
    [8.0, 30.0, 40.0, 62.0],
    [30.0, 30.0, 60.0, 60.0],
    [0.0, 0.0, 64.0, 64.0],
    [40.0, 2.0, 50.0, 12.0],
    [4.0, 40.0, 20.0, 60.0],
    [24.0, 24.0, 44.0, 44.0],
]
OBJECTS = [
    ([[3.0, 4.0, 31.0, 28.0], [28.0, 31.0, 61.0, 59.0]], [1, 3]),
    ([[9.0, 31.0, 42.0, 60.0]], [2]),
    ([], []),
]
SSD = BoxCoder(weights=(10.0, 10.0, 5.0, 5.0))
SMALLEST = 1.0


def formula(name, key, scale, shape):
    count = int(torch.tensor(shape).prod())
    return torch.tensor(scale * uniform(f"{name}/{key}", count)).reshape(shape)


def chosen(logits, boxes, labels):
    """The default boxes that SSD's loss uses, with their classes."""
    defaults = torch.tensor(DEFAULTS, dtype=torch.float64)
    if not labels:
        return [], []
    matched = SSDMatcher(0.5)(box_ops.box_iou(torch.tensor(boxes, dtype=torch.float64), defaults))
    positive = matched >= 0
    classes = torch.where(positive, torch.tensor(labels)[matched.clamp(min=0)], 0)
    loss = F.cross_entropy(logits, classes, reduction="none")
    loss[positive] = -float("inf")
    negatives = loss.argsort(descending=True, stable=True)[: 3 * int(positive.sum())]
    negatives = sorted(i for i in negatives.tolist() if not positive[i])
    places = positive.nonzero().flatten().tolist() + negatives
    return places, [int(classes[i]) for i in places]


def divergence(student, teacher, temperature, labels, decoupled):
    """KD, or with (alpha, beta) DKD by its definition: the class against the rest, and the rest among themselves."""
    student, teacher = student / temperature, teacher / temperature
    if decoupled is None:
        return F.kl_div(F.log_softmax(student, 1), F.softmax(teacher, 1), reduction="batchmean") * temperature**2
    rows = torch.arange(len(labels))
    own = torch.zeros_like(student, dtype=torch.bool)
    own[rows, labels] = True

    def two(logits):
        p = F.softmax(logits, 1)[rows, labels]
        return torch.stack([p, 1 - p], 1)

    def rest(logits):
        return F.log_softmax(logits[~own].reshape(len(labels), -1), 1)

    target = F.kl_div(two(student).log(), two(teacher), reduction="batchmean")
    others = F.kl_div(rest(student), rest(teacher).exp(), reduction="batchmean")
    return (decoupled[0] * target + decoupled[1] * others) * temperature**2


def case(name, temperature, boxes, epoch, at_default_boxes, decoupled=None):
    count = len(DEFAULTS)
    logits = formula(name, "logits", 2.0, [len(OBJECTS), count, CLASSES]).requires_grad_()
    offsets = formula(name, "offsets", 4.0, [len(OBJECTS), count, 4]).requires_grad_()
    weight = formula(name, "head", 0.05, [4, 5 * CLASSES])
    defaults = torch.tensor(DEFAULTS, dtype=torch.float64)
    students, teachers, judged, distances, asked = [], [], [], [], []
    for image, (objects, labels) in enumerate(OBJECTS):
        places, classes = chosen(logits[image].detach(), objects, labels)
        for place, label in zip(places, classes):
            own = offsets[image, place : place + 1]
            moved = torch.zeros_like(own) if epoch <= at_default_boxes else own.detach()
            region = SSD.decode_single(moved, defaults[place : place + 1])
            region = box_ops.clip_boxes_to_image(region, IMAGE)
            if ((region[:, 2:] - region[:, :2]) < SMALLEST).any():
                continue
            asked.append(region)
            said = region @ weight
            students.append(logits[image, place])
            teachers.append(said[0, :CLASSES])
            judged.append(label)
            if label:
                of_class = said[:, CLASSES:].reshape(CLASSES, 4)[label : label + 1]
                better = SSD.decode_single(of_class, region)
                target = SSD.encode_single(better, defaults[place : place + 1])
                distances.append(F.smooth_l1_loss(own, target, reduction="sum"))
    loss = divergence(torch.stack(students), torch.stack(teachers), temperature, torch.tensor(judged), decoupled)
    loss = loss + boxes * torch.stack(distances).mean()
    loss.backward()
    given = {"student": True}
    return {
        "name": name,
        "reference": "torchvision's matcher, mining, coders and clipping; the head is linear",
        "params": {
            "temperature": temperature,
            "boxes": boxes,
            "epoch": epoch,
            "at_default_boxes": at_default_boxes,
            "image": list(IMAGE),
            **({"decoupled": list(decoupled)} if decoupled else {}),
        },
        "inputs": {
            "logits": {"shape": list(logits.shape), "scale": 2.0, **given},
            "offsets": {"shape": list(offsets.shape), "scale": 4.0, **given},
            "head": {"shape": list(weight.shape), "scale": 0.05, "student": False},
            "defaults": {"values": DEFAULTS, "student": False},
            "gt0": {"values": OBJECTS[0][0], "student": False},
            "gt1": {"values": OBJECTS[1][0], "student": False},
            "labels0": {"ints": OBJECTS[0][1]},
            "labels1": {"ints": OBJECTS[1][1]},
        },
        "loss": loss.item(),
        "grads": {"logits": logits.grad.flatten().tolist(), "offsets": offsets.grad.flatten().tolist()},
        "outputs": {"regions": {"values": torch.cat(asked).flatten().tolist()}},
    }


if __name__ == "__main__":
    cases = [
        case("box_head", 2.0, 0.5, 2, 1),
        case("box_head_at_default_boxes", 1.0, 1.0, 1, 1),
        case("box_head_decoupled", 2.0, 0.5, 2, 1, (1.0, 0.25)),
    ]
    json.dump({"salt": "", "dtype": "float64", "cases": cases}, sys.stdout, indent=1)
