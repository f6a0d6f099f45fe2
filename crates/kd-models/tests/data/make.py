"""Writes the files of this folder with PyTorch (2.15): one small network in every archive that PyTorch knows.

python3 make.py
"""

import argparse
import copy
import json

import torch
from torch import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(2)

    def forward(self, x):
        return torch.relu(self.bn(self.conv(x)))


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer1 = nn.Sequential(Block(), nn.Conv2d(2, 2, 1, bias=False))
        self.fc = nn.Linear(2, 3)
        self.scale = nn.Parameter(torch.ones(2))
        self.note = "a text beside the weights"
        self.register_buffer("table", torch.zeros(2), persistent=False)

    def forward(self, x):
        x = self.layer1(x).mean([2, 3]) * self.scale
        return self.fc(x + self.table)


class Trainer:
    """A program's own object that has a network."""

    def __init__(self, model):
        self.model = model
        self.epoch = 3


def main():
    model = Small().eval()
    # Values that say their place: 0, 1/64, 2/64, ... through the state dict.
    count = 0
    for name, tensor in model.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        tensor.copy_((torch.arange(tensor.numel()) + count).reshape(tensor.shape) / 64)
        count += tensor.numel()
    # A layout in memory that is not that of the shape.
    first = model.layer1[0].conv
    first.weight.data = first.weight.data.transpose(2, 3).contiguous().transpose(2, 3)
    image = torch.zeros(1, 1, 4, 4)
    torch.save(model.state_dict(), "state_dict.pth")
    torch.save(model, "module.pth")
    torch.save(model, "module_legacy.pth", _use_new_zipfile_serialization=False)
    torch.save({"model": model, "epoch": 3}, "module_in_checkpoint.pth")
    torch.save({"state_dict": model.state_dict(), "hparams": argparse.Namespace(lr=0.1)}, "checkpoint.pth")
    torch.save(Trainer(model), "trainer.pth")
    torch.jit.trace(model, image).save("traced.pt")
    torch.jit.script(model).save("scripted.pt")
    torch.jit.script(copy.deepcopy(model).half()).save("scripted_half.pt")
    torch.export.save(torch.export.export(model, (image,)), "exported.pt2")
    values = {
        name: {"shape": list(tensor.shape), "values": tensor.flatten().tolist()}
        for name, tensor in model.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    with open("values.json", "w") as file:
        json.dump(values, file, indent=1)
        file.write("\n")


main()
