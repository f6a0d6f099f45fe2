"""Writes fbkd.json: attention-guided and non-local distillation of two levels with its adapters.

    pip install torch && python fbkd.py > fbkd.json

The non-local block is the dot-product form of Wang et al. (CVPR 2018) with the product of each pair of positions formed
as the paper writes it, and batch normalisation of the batch. Form and formula as in detection_losses.json, in float64.
"""

import json
import sys

import torch
import torch.nn.functional as F

from box_head import formula

LEVELS = [([6, 6, 5], [8, 6, 5]), ([4, 3, 4], [4, 3, 4])]
BATCH = 3


def attention(x, temperature):
    n, _, h, w = x.shape
    return (F.softmax(x.abs().mean(1).reshape(n, -1) / temperature, 1) * (h * w)).reshape(n, 1, h, w).detach()


def case(name, temperature, maps, channels, positions, relations, reduction):
    inputs, leaves = {}, {}

    def put(key, scale, shape, student):
        inputs[key] = {"shape": shape, "scale": scale, "student": student}
        value = formula(name, key, scale, shape)
        if student:
            leaves[key] = value.requires_grad_()
        return value

    def layer(path, scale, shape):
        return put(f"{path}.weight", scale, shape, True), put(f"{path}.bias", scale, [shape[0]], True)

    def relate(x, path):
        n, c, h, w = x.shape
        inner = c // reduction
        theta, phi, g = (F.conv2d(x, *layer(f"{path}.{of}", 0.4, [inner, c, 1, 1])).flatten(2) for of in ("theta", "phi", "g"))
        pairs = theta.transpose(1, 2) @ phi / (h * w)
        y = (pairs @ g.transpose(1, 2)).transpose(1, 2).reshape(n, inner, h, w)
        y = F.conv2d(y, put(f"{path}.out.weight", 0.5, [c, inner, 1, 1], True))
        scale, shift = layer(f"{path}.norm", 0.7, [c])
        return x + F.batch_norm(y, None, None, scale, shift, True, 0.1, 1e-5)

    loss = 0.0
    for level, (own, theirs) in enumerate(LEVELS):
        at = f"blocks.{level}"
        s = put(f"student{level}", 1.5, [BATCH, *own], True)
        t = put(f"teacher{level}", 1.5, [BATCH, *theirs], False)
        adapted = F.conv2d(s, *layer(f"{at}.map", 0.3, [theirs[0], own[0], 1, 1]))
        weights = (attention(s, temperature) + attention(t, temperature)) / 2
        loss = loss + maps * ((adapted - t) ** 2 * weights).sum().sqrt()
        loss = loss + channels * torch.dist(F.linear(s.mean((2, 3)), *layer(f"{at}.channels", 0.3, [theirs[0], own[0]])), t.mean((2, 3)))
        pooled = F.conv2d(s.mean(1, keepdim=True), *layer(f"{at}.positions", 0.3, [1, 1, 3, 3]), padding=1)
        loss = loss + positions * torch.dist(pooled, t.mean(1, keepdim=True))
        own_relations = F.conv2d(relate(s, f"{at}.student"), *layer(f"{at}.relations", 0.3, [theirs[0], own[0], 1, 1]))
        loss = loss + relations * torch.dist(own_relations, relate(t, f"{at}.teacher"))
    loss.backward()
    return {
        "name": name,
        "reference": "the paper's formula; PyTorch's layers",
        "params": {
            "temperature": temperature,
            "maps": maps,
            "channels": channels,
            "positions": positions,
            "relations": relations,
            "reduction": reduction,
        },
        "inputs": inputs,
        "loss": loss.item(),
        "grads": {key: leaf.grad.flatten().tolist() for key, leaf in leaves.items()},
    }


if __name__ == "__main__":
    cases = [
        case("fbkd", 0.5, 7e-5, 4e-3, 4e-3, 7e-5, 2),
        case("fbkd_equal_parts", 1.0, 1.0, 1.0, 1.0, 1.0, 1),
    ]
    json.dump({"salt": "", "dtype": "float64", "cases": cases}, sys.stdout, indent=1)
