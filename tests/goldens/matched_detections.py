"""Writes matched_detections.json: a two-stage teacher's regions matched to a student's default boxes, by torchvision's parts.

    pip install torch torchvision && python matched_detections.py > matched_detections.json

The matcher, coders and clipping are torchvision's SSD and Faster R-CNN; the teacher's head is linear in the corners of a
region. Form and formula as in detection_losses.json, in float64.
"""

import json
import sys

import torch
import torch.nn.functional as F
from torchvision.models.detection._utils import SSDMatcher
from torchvision.ops import boxes as box_ops

from box_head import CLASSES, DEFAULTS, IMAGE, SMALLEST, SSD, formula

# Best first; the last of the first image ends outside it.
REGIONS = [
    [[3.0, 4.0, 31.0, 28.0], [28.0, 31.0, 61.0, 59.0], [18.0, 5.0, 60.0, 27.0], [62.5, 40.0, 64.0, 60.0]],
    [[9.0, 31.0, 42.0, 60.0], [1.0, 1.0, 63.0, 62.0]],
    [],
]


def case(name, temperature, boxes, regions):
    count = len(DEFAULTS)
    logits = formula(name, "logits", 2.0, [len(REGIONS), count, CLASSES]).requires_grad_()
    offsets = formula(name, "offsets", 4.0, [len(REGIONS), count, 4]).requires_grad_()
    weight = formula(name, "head", 0.05, [4, 5 * CLASSES])
    defaults = torch.tensor(DEFAULTS, dtype=torch.float64)
    divergences, distances = [], []
    for image, proposed in enumerate(REGIONS):
        found = []
        for region in torch.tensor(proposed[:regions], dtype=torch.float64).reshape(-1, 1, 4):
            said = region @ weight
            scores, of_class = said[0, :CLASSES], said[:, CLASSES:].reshape(CLASSES, 4)
            best = 1 + int(scores[1:].argmax())
            moved = box_ops.clip_boxes_to_image(SSD.decode_single(of_class[best : best + 1], region), IMAGE)
            if ((moved[:, 2:] - moved[:, :2]) >= SMALLEST).all():
                found.append((moved, scores))
        if not found:
            continue
        matched = SSDMatcher(0.5)(box_ops.box_iou(torch.cat([moved for moved, _ in found]), defaults))
        for place in (matched >= 0).nonzero().flatten().tolist():
            moved, scores = found[int(matched[place])]
            teacher = F.softmax(scores / temperature, 0)
            student = F.log_softmax(logits[image, place] / temperature, 0)
            divergences.append(F.kl_div(student, teacher, reduction="sum") * temperature**2)
            target = SSD.encode_single(moved, defaults[place : place + 1])
            distance = F.smooth_l1_loss(offsets[image, place : place + 1], target, reduction="sum")
            distances.append((1 - F.softmax(scores, 0)[0]) * distance)
    print(name, "matches", len(distances), file=sys.stderr)
    loss = torch.stack(divergences).mean() + boxes * torch.stack(distances).mean()
    loss.backward()
    return {
        "name": name,
        "reference": "torchvision's matcher, coders and clipping; the head is linear",
        "params": {"temperature": temperature, "boxes": boxes, "regions": regions, "image": list(IMAGE)},
        "inputs": {
            "logits": {"shape": list(logits.shape), "scale": 2.0, "student": True},
            "offsets": {"shape": list(offsets.shape), "scale": 4.0, "student": True},
            "head": {"shape": list(weight.shape), "scale": 0.05, "student": False},
            "defaults": {"values": DEFAULTS, "student": False},
            "regions0": {"values": REGIONS[0], "student": False},
            "regions1": {"values": REGIONS[1], "student": False},
        },
        "loss": loss.item(),
        "grads": {"logits": logits.grad.flatten().tolist(), "offsets": offsets.grad.flatten().tolist()},
    }


if __name__ == "__main__":
    cases = [case("matched_detections", 2.0, 0.5, 100), case("matched_detections_of_few", 1.0, 1.0, 1)]
    json.dump({"salt": "", "dtype": "float64", "cases": cases}, sys.stdout, indent=1)
