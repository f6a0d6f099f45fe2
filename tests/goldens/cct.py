"""Writes cct.json: what the authors' code of compact transformers makes of formula weights.

    git clone https://github.com/SHI-Labs/Compact-Transformers
    pip install torch && python cct.py Compact-Transformers > cct.json

Each case: keys, parameters, logits, the tokens with their positions and after each block as maps, the vector that the
last layer reads, and the gradient of the images, all in evaluation. Formula as in the other files.
"""

import json
import sys

import torch

from detectors import fill, said, tensor

sys.path.insert(0, sys.argv[1])
from src import cct, vit  # noqa: E402

SALT = ""
CLASSES = 10


def case(name, network, size):
    case = {"name": name, "input": [2, 3, size, size], **fill(network)}
    classifier = network.classifier
    tokens = []
    classifier.dropout.register_forward_hook(lambda module, given, made: tokens.append(made))
    for block in classifier.blocks:
        block.register_forward_hook(lambda module, given, made: tokens.append(made))
    embedding = []
    classifier.fc.register_forward_pre_hook(lambda module, given: embedding.append(given[0]))
    images = tensor(f"{SALT}input", 1.5, case["input"]).requires_grad_()
    logits = network(images)
    (logits * tensor(f"{SALT}upstream", 1.0, logits.shape)).sum().backward()
    maps = []
    for level in tokens:
        grid = level[:, classifier.num_tokens :]
        side = int(grid.shape[1] ** 0.5)
        maps.append(said(grid.detach().transpose(1, 2).reshape(2, -1, side, side)))
    case |= {
        "logits": said(logits.detach()),
        "feats": maps,
        "preact_feats": maps,
        "embedding": said(embedding[0].detach()),
        "input_grad": said(images.grad),
    }
    return case


cases = [
    case("cct_2_3x2_32", cct.cct_2_3x2_32(num_classes=CLASSES), 32),
    case("cct_4_3x2_32", cct.cct_4_3x2_32(num_classes=CLASSES), 32),
    case("cct_6_3x1_32", cct.cct_6_3x1_32(num_classes=CLASSES), 32),
    case("cct_7_3x1_32", cct.cct_7_3x1_32(num_classes=CLASSES), 32),
    case("vit_lite_6_4_32", vit.vit_6_4_32(num_classes=CLASSES), 32),
    case("vit_lite_7_4_32", vit.vit_7_4_32(num_classes=CLASSES), 32),
]
json.dump({"salt": SALT, "cases": cases}, sys.stdout, indent=1)
