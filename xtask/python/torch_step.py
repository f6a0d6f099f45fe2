"""The steps of `kd bench step` in PyTorch, for `cargo xtask bench compare`.

    python3 -m venv env && env/bin/pip install torch torchvision timm transformers
    env/bin/python xtask/python/torch_step.py --json torch.json

The same batches, losses and optimiser on random images. Every step runs with the default memory layout (nchw), with
channels last (nhwc) and, with --compile, with channels last through torch.compile, frozen in evaluation (comp; needs a
C++ compiler).
"""

import argparse
import json
import statistics
import time

import timm
import torch
import torch.nn.functional as F
import torchvision
import transformers
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torch._inductor import config as inductor
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.resnet import BasicBlock
from torchvision.models.shufflenetv2 import InvertedResidual

DINOV2 = "vit_small_patch14_dinov2"
MINILM = "minilm_l6_h384"
# Samples of a step as a part of the batch, and the side of the images.
DETECTORS = {
    "ssd300_vgg16": (16, 300),
    "ssd300_vgg16_quarter": (16, 300),
    "fasterrcnn_resnet50_fpn": (32, 320),
    "fasterrcnn_resnet50_fpn_800": (64, 800),
    "fasterrcnn_resnet18_fpn": (32, 320),
}
ROWS = [
    "infer resnet20",
    "infer resnet56",
    "infer resnet8x4",
    "infer resnet32x4",
    "infer shufflenet_v2",
    "infer1 resnet20",
    "infer1 resnet56",
    "infer1 resnet8x4",
    "infer1 resnet32x4",
    "infer1 shufflenet_v2",
    "train resnet20",
    "train resnet8x4",
    "train shufflenet_v2",
    "kd resnet56 resnet20",
    "kd resnet32x4 resnet8x4",
    "kd resnet32x4 shufflenet_v2",
    *(
        f"{step} {network}_224"
        for step in ("infer", "train")
        for network in ("resnet18", "resnet50", "mobilenet_v2", "mobilenet_v3_large", "vgg16", "efficientnet_b0")
    ),
    "infer vit_p4_d6_w192_mlp4",
    "train vit_p4_d6_w192_mlp4",
    f"infer {DINOV2}",
    f"kd {DINOV2} resnet20",
    f"infer {MINILM}",
    f"train {MINILM}",
    "infer ssd300_vgg16",
    "train ssd300_vgg16",
    "infer fasterrcnn_resnet50_fpn",
    "infer fasterrcnn_resnet50_fpn_800",
    "train fasterrcnn_resnet18_fpn",
    "kd fasterrcnn_resnet18_fpn ssd300_vgg16_quarter",
]


def conv_bn(inputs, outputs, kernel):
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    return [conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


def head(width):
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 100)]


def narrowed(ssd, divisor):
    """SSD with so many times fewer channels."""
    for part, keeps in ((ssd.backbone, False), (ssd.head, True)):
        for module in part.modules():
            for name, conv in list(module.named_children()):
                if isinstance(conv, nn.Conv2d):
                    inputs = 3 if conv.in_channels == 3 else conv.in_channels // divisor
                    outputs = conv.out_channels if keeps else conv.out_channels // divisor
                    shape = dict(stride=conv.stride, padding=conv.padding, dilation=conv.dilation)
                    setattr(module, name, nn.Conv2d(inputs, outputs, conv.kernel_size, **shape))
    ssd.backbone.scale_weight = nn.Parameter(torch.ones(512 // divisor) * 20)
    return ssd


def cifar_resnet(depth, stem, widths):
    """He et al. (2016) for CIFAR, with the shortcuts of 1x1 convolutions and the widths of CRD's networks."""
    layers, width = conv_bn(3, stem, 3), stem
    for stage, planes in enumerate(widths):
        for block in range((depth - 2) // 6):
            stride = 2 if stage > 0 and block == 0 else 1
            shortcut = None
            if stride > 1 or width != planes:
                conv = nn.Conv2d(width, planes, 1, stride, bias=False)
                shortcut = nn.Sequential(conv, nn.BatchNorm2d(planes))
            layers.append(BasicBlock(width, planes, stride, shortcut))
            width = planes
    return nn.Sequential(*layers, *head(width))


def cifar_shufflenet_v2():
    layers, width = conv_bn(3, 24, 1), 24
    for planes, blocks in ((116, 4), (232, 8), (464, 4)):
        for block in range(blocks):
            layers.append(InvertedResidual(width, planes, 2 if block == 0 else 1))
            width = planes
    return nn.Sequential(*layers, *conv_bn(width, 1024, 1), *head(1024))


def made(name):
    if name.endswith("_224"):
        return torchvision.models.get_model(name.removesuffix("_224"), weights=None)
    if name == MINILM:
        shape = transformers.BertConfig(
            hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536
        )
        return transformers.BertForSequenceClassification(shape)
    if name == "fasterrcnn_resnet18_fpn":
        body = resnet_fpn_backbone(backbone_name="resnet18", weights=None, trainable_layers=5)
        return torchvision.models.detection.FasterRCNN(body, 91, min_size=320, max_size=320)
    if name == "ssd300_vgg16_quarter":
        return narrowed(torchvision.models.get_model("ssd300_vgg16", weights=None, weights_backbone=None), 4)
    if name in DETECTORS:
        side = DETECTORS[name][1]
        size = {} if name.startswith("ssd") else {"min_size": side, "max_size": side}
        return torchvision.models.get_model(name.removesuffix("_800"), weights=None, weights_backbone=None, **size)
    if name == DINOV2:
        return timm.create_model(name, pretrained=False, img_size=98, num_classes=100)
    if name == "vit_p4_d6_w192_mlp4":
        return VisionTransformer(img_size=32, patch_size=4, embed_dim=192, depth=6, num_heads=3, num_classes=100)
    if name == "shufflenet_v2":
        return cifar_shufflenet_v2()
    narrow, wide = (16, (16, 32, 64)), (32, (64, 128, 256))
    depth = name.removeprefix("resnet")
    stem, widths = wide if depth.endswith("x4") else narrow
    return cifar_resnet(int(depth.removesuffix("x4")), stem, widths)


def classified(kind, names, batch, layout):
    """Random images and classes of networks for them, or tokens."""
    if MINILM in names:
        tokens = torch.randint(1, 30000, (max(batch // 2, 1), 32))
        return tokens, torch.randint(0, 2, (len(tokens),))
    large = names[0].endswith("_224")
    size = 224 if large else 98 if DINOV2 in names else 32
    images = 1 if kind == "infer1" else max(batch // 8, 1) if large else batch
    x = torch.randn(images, 3, size, size).contiguous(memory_format=layout)
    return x, torch.randint(0, 1000 if large else 100, (images,))


def steps(row, batch, layout):
    """A function that does the step once, and its samples."""
    kind, *names = row.split()
    memory = torch.contiguous_format if layout == "nchw" else torch.channels_last
    networks = [made(name).to(memory_format=memory).eval() for name in names]
    student = networks[-1]
    evaluated = kind.startswith("infer")
    if not evaluated:
        student.train()
    optimizer = torch.optim.SGD(student.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    if layout == "comp":
        torch._dynamo.reset()
        inductor.freezing = evaluated
        networks = [torch.compile(network) for network in networks]
        student = networks[-1]
    if names[0] in DETECTORS:
        loss = adapted(*networks, optimizer) if kind == "kd" else None
        return detection(student, evaluated, optimizer, *DETECTORS[names[-1]], batch, loss)
    x, y = classified(kind, names, batch, memory)

    def scores(network):
        found = network(x)
        return found.logits if MINILM in names else found

    def infer():
        with torch.no_grad():
            scores(student)

    def train():
        said = scores(student)
        loss = F.cross_entropy(said, y)
        if kind == "kd":
            with torch.no_grad():
                target = F.softmax(scores(networks[0]) / 4, 1)
            distance = F.kl_div(F.log_softmax(said / 4, 1), target, reduction="batchmean")
            loss = 0.1 * loss + 0.9 * 16 * distance
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return (infer if evaluated else train), len(x)


def adapted(teacher, student, optimizer):
    """The distance of C3 to C5 behind 1x1 convolutions, of the images that the student sees."""
    shown = []
    trunk = student.backbone
    for layer in (trunk.features, trunk.extra[0], trunk.extra[1]):
        layer.register_forward_hook(lambda module, given, out: shown.append(out))
    widths = zip((128, 256, 128), (128, 256, 512))
    layers = [nn.Sequential(nn.Conv2d(a, b, 1), nn.BatchNorm2d(b), nn.ReLU()) for a, b in widths]
    optimizer.add_param_group({"params": nn.ModuleList(layers).parameters()})

    def loss(images):
        with torch.no_grad():
            seen = torch.stack([teacher.transform.normalize(image) for image in images])
            maps = list(teacher.backbone.body(seen).values())[1:]
        pairs = list(zip(layers, shown, maps))
        shown.clear()
        return sum(F.mse_loss(layer(own), theirs) for layer, own, theirs in pairs)

    return loss


def detection(network, evaluated, optimizer, part, size, batch, distance=None):
    """The same of a detector: random images with three boxes each."""
    count = max(batch // part, 1)
    images = list(torch.rand(count, 3, size, size))
    boxes = torch.tensor([[0.1, 0.1, 0.4, 0.5], [0.3, 0.4, 0.9, 0.9], [0.6, 0.1, 0.8, 0.3]]) * size
    targets = [{"boxes": boxes, "labels": torch.tensor([1, 17, 90])} for _ in images]
    for group in optimizer.param_groups:
        group["lr"] = 1e-5

    def infer():
        with torch.no_grad():
            network(images)

    def train():
        loss = sum(network(images, targets).values())
        if distance:
            loss = loss + distance(images)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return (infer if evaluated else train), count


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="measure only the rows whose name contains this")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=5, help="times to do each, after two that are not counted")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--json")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    rows = {}
    for row in ROWS:
        if arguments.only not in row:
            continue
        for layout in ("nchw", "nhwc", *(["comp"] if arguments.compile else [])):
            step, samples = steps(row, arguments.batch, layout)
            step()
            step()
            seconds = []
            for _ in range(arguments.repeat):
                start = time.perf_counter()
                step()
                seconds.append(time.perf_counter() - start)
            rates = {"best": samples / min(seconds), "median": samples / statistics.median(seconds)}
            rows[f"{row} {layout}"] = rates
            print(f"{row:36} {layout}  best {rates['best']:8.1f}  median {rates['median']:8.1f} samples/s", flush=True)
    if arguments.json:
        measured = {
            "torch": torch.__version__,
            "threads": arguments.threads,
            "batch": arguments.batch,
            "rows": rows,
        }
        with open(arguments.json, "w") as file:
            json.dump(measured, file, indent=1)


main()
