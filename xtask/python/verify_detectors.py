"""Gives detectors of torchvision with random weights to `kd predict`, and compares what both find in an image. Those of one
stage are also exported with their suppression, and ONNX Runtime and OpenVINO must find the same.

`cargo xtask verify-detectors` starts it with the built `kd`. The state dict of each network is saved as PyTorch saves it and
must be read strictly. Last layers are scaled, so that scores of random weights lie on both sides of the thresholds.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import numpy
import onnxruntime
import openvino
import PIL.Image
import torch
import torchvision
from torchvision.models import resnet50
from torchvision.models.detection import FasterRCNN, RetinaNet, fasterrcnn_mobilenet_v3_large_320_fpn
from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_fpn, fasterrcnn_resnet50_fpn
from torchvision.models.detection import retinanet_resnet50_fpn, ssd300_vgg16, ssdlite320_mobilenet_v3_large
from torchvision.models.detection._utils import overwrite_eps
from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor
from torchvision.ops.feature_pyramid_network import LastLevelP6P7
from torchvision.ops.misc import FrozenBatchNorm2d

CLASSES = 91
# Largest difference of a score, and of an edge in pixels.
SCORE, EDGE = 1e-3, 0.1

RECIPE = """name = "verify"
[detection]
name = "shapes"
size = {size}
[student]
model = "{model}"
[objective.detection_loss]
[train]
epochs = 1
lr = {{ peak = 1e-3 }}
"""


def coco(**options):
    """As torchvision builds the network of its weights of COCO: normalisations are frozen, and add nothing."""
    body = resnet50(weights=None, norm_layer=FrozenBatchNorm2d)
    network = FasterRCNN(_resnet_fpn_extractor(body, 3), num_classes=CLASSES, **options)
    overwrite_eps(network, 0.0)
    return network


def retinanet_coco(**options):
    body = resnet50(weights=None, norm_layer=FrozenBatchNorm2d)
    last = LastLevelP6P7(256, 256)
    pyramid = _resnet_fpn_extractor(body, 3, returned_layers=[2, 3, 4], extra_blocks=last)
    network = RetinaNet(pyramid, num_classes=CLASSES, **options)
    overwrite_eps(network, 0.0)
    return network


def plain(build):
    return lambda **options: build(weights=None, weights_backbone=None, num_classes=CLASSES, **options)


# Name here, the network, and the side of the image.
NETWORKS = [
    ("ssd300_vgg16", plain(ssd300_vgg16), 300),
    ("ssdlite320_mobilenet_v3_large", plain(ssdlite320_mobilenet_v3_large), 320),
    ("fasterrcnn_resnet50_fpn", plain(fasterrcnn_resnet50_fpn), 320),
    ("fasterrcnn_resnet50_fpn_coco", coco, 320),
    ("fasterrcnn_mobilenet_v3_large_fpn", plain(fasterrcnn_mobilenet_v3_large_fpn), 320),
    ("fasterrcnn_mobilenet_v3_large_320_fpn", plain(fasterrcnn_mobilenet_v3_large_320_fpn), 320),
    ("retinanet_resnet50_fpn", plain(retinanet_resnet50_fpn), 320),
    ("retinanet_resnet50_fpn_coco", retinanet_coco, 320),
]


def last_layers(network):
    """The layers that say classes, and what they say of maps."""
    if hasattr(network, "roi_heads"):
        return [network.roi_heads.box_predictor.cls_score]
    if isinstance(network, RetinaNet):
        return [network.head.classification_head.cls_logits]
    levels = network.head.classification_head.module_list
    return [level if isinstance(level, torch.nn.Conv2d) else level[-1] for level in levels]


@torch.no_grad()
def spread(network, image):
    """Gives normalisations the statistics of an image, and classes logits that differ."""
    seen = network.transform([image])[0].tensors
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    # A map of one pixel has no deviation: four images, of which each is another part of noise.
    views = torch.cat([seen, seen.flip(-1), seen.flip(-2), seen + torch.randn_like(seen)])
    network.train()
    maps = list(network.backbone(views).values())
    network.head(maps) if hasattr(network, "head") else network.rpn.head(maps)
    network.eval()
    if hasattr(network, "rpn"):
        objectness = network.rpn.head(list(network.backbone(seen).values()))[0]
        deviation = torch.cat([map.flatten() for map in objectness]).std()
        network.rpn.head.cls_logits.weight.mul_(2 / deviation)
    said, layers = [], last_layers(network)
    hooks = [layer.register_forward_hook(lambda module, given, out: said.append(out.flatten())) for layer in layers]
    network([image])
    for hook in hooks:
        hook.remove()
    # Of RetinaNet few scores may pass: of each map torchvision looks at the best thousand, an exported file at all.
    wanted = 0.5 if isinstance(network, RetinaNet) else 2
    for layer in layers:
        layer.weight.mul_(wanted / torch.cat(said).std())
    if isinstance(network, RetinaNet):
        # Nothing is of class 0, as training leaves it.
        layers[0].weight[::CLASSES] = 0.0
        layers[0].bias[::CLASSES] = -20.0


def compare(theirs, ours):
    """How many of theirs are among ours, and the largest differences of those."""
    left, largest, missed = list(ours), [0.0, 0.0], 0
    for box, score, label in theirs:
        near = lambda other: max(abs(a - b) for a, b in zip(box, other[0]))
        same = [o for o in left if o[2] == label and abs(o[1] - score) <= SCORE and near(o) <= EDGE]
        if not same:
            missed += 1
            continue
        best = min(same, key=near)
        left.remove(best)
        largest = [max(largest[0], near(best)), max(largest[1], abs(best[1] - score))]
    return missed, len(left), largest


def by_onnxruntime(file, images):
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return session.run(["boxes", "scores", "classes"], {"images": images})


def by_openvino(file, images):
    compiled = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    said = compiled({"images": images})
    return [said[name] for name in ("boxes", "scores", "classes")]


def exported(run, file, images, side):
    """What a program finds in the first and in the last of images, of an exported file."""
    boxes, scores, classes = run(file, images)
    ends = []
    for at in (0, -1):
        there = scores[at] > 0
        ends.append(list(zip((boxes[at] * side)[there].tolist(), scores[at][there].tolist(), classes[at][there].tolist())))
    return ends


def summary(size):
    data = {"name": "shapes", "sha256": "", "train": 1, "validation": 0, "test": 1}
    data["classes"] = [str(number) for number in range(1, CLASSES)]
    rest = {"name": "verify", "version": "0", "device": "flex", "threads": 1, "networks": []}
    return json.dumps({**rest, "data": data, "gain": None, "temperature": None})


def main():
    kd, failed = sys.argv[1], False
    torch.manual_seed(1)
    random = numpy.random.default_rng(1)
    print(f"torchvision {torchvision.__version__}, ONNX Runtime {onnxruntime.__version__}, OpenVINO {openvino.__version__}\n")
    print("| network | pixels | by | found by torchvision | found | not there | edges off by, pixels | scores off by |")
    print("| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: |")
    for name, build, size in NETWORKS:
        options = {} if name.startswith("ssd") else {"min_size": size, "max_size": size}
        with tempfile.TemporaryDirectory() as scratch:
            folder = pathlib.Path(scratch)
            coarse = PIL.Image.fromarray(random.integers(0, 256, (12, 12, 3), dtype=numpy.uint8))
            coarse.resize((size, size), PIL.Image.BICUBIC).save(folder / "image.png")
            pixels = numpy.asarray(PIL.Image.open(folder / "image.png"), dtype=numpy.float32) / 255
            image = torch.from_numpy(pixels.transpose(2, 0, 1).copy())
            network = build(**options)
            spread(network, image)
            network.eval()
            torch.save(network.state_dict(), folder / "weights.pth")
            with torch.no_grad():
                found = network([image])[0]
            theirs = list(zip(found["boxes"].tolist(), found["scores"].tolist(), found["labels"].tolist()))
            (folder / "recipe.toml").write_text(RECIPE.format(size=size, model=name))
            (folder / "summary.json").write_text(summary(size))
            command = [kd, "predict", folder, folder / "image.png", "--weights", folder / "weights.pth", "--score", "0"]
            subprocess.run([*command, "--out", folder / "out"], check=True, stdout=subprocess.DEVNULL)
            told = json.loads((folder / "out/predictions.json").read_text())
            corners = lambda x, y, w, h: [x, y, x + w, y + h]
            ours = [(corners(*one["bbox"]), one["score"], int(one["category"])) for one in told]
            others = [("kd", ours)]
            if not name.startswith("faster"):
                file = folder / "network.onnx"
                command = [kd, "export", folder, "--weights", folder / "weights.pth", "--onnx", file, "--nms"]
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
                # The image among others, of which each has a list of its own.
                images = torch.stack([image, torch.rand_like(image), image]).numpy()
                for by, run in (("ONNX Runtime", by_onnxruntime), ("OpenVINO", by_openvino)):
                    first, last = exported(run, file, images, size)
                    failed |= first != last
                    others.append((by, first))
            for by, ours in others:
                missed, more, largest = compare(theirs, ours)
                failed |= missed + more > 0 or not theirs
                counts = f"{len(theirs)} | {len(ours)} | {missed + more}"
                print(f"| `{name}` | {size} | {by} | {counts} | {largest[0]:.1e} | {largest[1]:.1e} |", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
