"""Writes detectors_more.json: what torchvision makes of what detectors.json leaves out.

    pip install torch torchvision && python detectors.py > detectors_more.json

SSDLite320 with formula weights, Faster R-CNN on ResNet-18 and on MobileNetV3, SSD300 on ResNet-18 and on MobileNetV2 (made of
torchvision's parts), RetinaNet on ResNet-18 and ResNet-50, and what the networks tell of formula logits and offsets (`post`): the boxes that they find. Formula as
in the other files.
"""

import json
import sys

import numpy as np
import torch
import torchvision
from torchvision.models import mobilenet_v2, resnet18 as classifier18
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.detection import FasterRCNN, RetinaNet, fasterrcnn_resnet50_fpn, retinanet_resnet50_fpn, ssd300_vgg16
from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection import ssdlite320_mobilenet_v3_large
from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor, resnet_fpn_backbone
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.ssd import SSD, SSDHead
from torchvision.models.detection.ssdlite import SSDLiteHead
from torchvision.ops.feature_pyramid_network import LastLevelP6P7
from torchvision.ops.misc import Conv2dNormActivation


def uniform(key, count):
    h = 0xCBF29CE484222325
    for byte in key.encode():
        h = ((h ^ byte) * 0x100000001B3) & (2**64 - 1)
    with np.errstate(over="ignore"):
        z = np.uint64(h) + np.arange(count, dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return 2 * (z >> np.uint64(40)).astype(np.float64) / 2**24 - 1


def tensor(key, scale, shape):
    return torch.tensor((scale * uniform(key, int(np.prod(shape)))).reshape(shape), dtype=torch.float32)


def parameter(key, shape):
    u = uniform(key, int(np.prod(shape)))
    if key.endswith("running_mean"):
        u = 0.1 * u
    elif key.endswith("running_var"):
        u = 1 + 0.5 * np.abs(u)
    elif len(shape) == 1:
        u = 1 + 0.1 * u if key.split(".")[-1] in ("weight", "gamma") else 0.1 * u
    else:
        u = u * np.sqrt(3 / np.prod(shape[1:]))
    return torch.tensor(u.reshape(shape), dtype=torch.float32)


def fill(network):
    """Gives formula weights; returns keys, with shapes, and the number of parameters."""
    state = network.state_dict()
    keys = [[key, list(value.shape)] for key, value in state.items() if "num_batches" not in key]
    state.update({key: parameter(key, shape) for key, shape in keys})
    network.load_state_dict(state)
    network.eval()
    return {"keys": keys, "params": sum(p.numel() for p in network.parameters())}


def said(value):
    flat = value.double().flatten()
    return {
        "shape": list(value.shape),
        "mean": flat.mean().item(),
        "abs_mean": flat.abs().mean().item(),
        "first": flat[:6].tolist(),
        "last": flat[-2:].tolist(),
    }


def found(one):
    return {key: one[key].tolist() for key in ("boxes", "scores", "labels")}


def images(shape):
    return ImageList(torch.zeros(shape), [tuple(shape[-2:])] * shape[0])


def ssdlite():
    network = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=4)
    case = {"name": "ssdlite320_mobilenet_v3_large", "num_classes": 4, "input": [1, 3, 320, 320], **fill(network)}
    maps = list(network.backbone(tensor("input", 1.0, case["input"])).values())
    head = network.head(maps)
    anchors = network.anchor_generator(images(case["input"]), maps)[0]
    case |= {"features": [said(m) for m in maps], "anchors": said(anchors)}
    return case | {key: said(head[key]) for key in ("cls_logits", "bbox_regression")}


def resnet18():
    backbone = resnet_fpn_backbone(
        backbone_name="resnet18", weights=None, norm_layer=torch.nn.BatchNorm2d, trainable_layers=5
    )
    network = FasterRCNN(backbone, num_classes=4)
    case = {"name": "fasterrcnn_resnet18_fpn", "num_classes": 4, "input": [1, 3, 150, 130], **fill(network)}
    maps = network.backbone(tensor("input", 1.0, case["input"]))
    objectness, offsets = network.rpn.head(list(maps.values()))
    case["fpn"] = {key: said(value) for key, value in maps.items()}
    case |= {"rpn_objectness": [said(o) for o in objectness], "rpn_deltas": [said(o) for o in offsets]}
    case["proposals"] = [[10.0, 20.0, 100.0, 140.0], [0.0, 0.0, 32.0, 32.0]]
    pooled = network.roi_heads.box_roi_pool(maps, [torch.tensor(case["proposals"])], [(150, 130)])
    logits, regression = network.roi_heads.box_predictor(network.roi_heads.box_head(pooled))
    return case | {"class_logits": said(logits), "box_regression": said(regression)}


def pyramid_of(network, case, count):
    """Maps of the pyramid, what is said of anchors and of two regions."""
    size = tuple(case["input"][-2:])
    maps = network.backbone(tensor("input", 1.0, case["input"]))
    objectness, offsets = network.rpn.head(list(maps.values()))
    assert len(objectness) == count
    case["fpn"] = {key: said(value) for key, value in maps.items()}
    case |= {"rpn_objectness": [said(o) for o in objectness], "rpn_deltas": [said(o) for o in offsets]}
    case["anchors"] = said(network.rpn.anchor_generator(images(case["input"]), list(maps.values()))[0])
    case["proposals"] = [[10.0, 20.0, 100.0, 140.0], [0.0, 0.0, 32.0, 32.0]]
    pooled = network.roi_heads.box_roi_pool(maps, [torch.tensor(case["proposals"])], [size])
    logits, regression = network.roi_heads.box_predictor(network.roi_heads.box_head(pooled))
    return case | {"class_logits": said(logits), "box_regression": said(regression)}


def mobilenet_v3():
    network = fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None, num_classes=4)
    name = "fasterrcnn_mobilenet_v3_large_320_fpn"
    case = {"name": name, "num_classes": 4, "input": [1, 3, 320, 256], **fill(network)}
    case = pyramid_of(network, case, 3)
    # What is proposed, by its own filter.
    image = tensor("input", 1.0, case["input"])
    maps = network.backbone(image)
    proposals, _ = network.rpn(ImageList(image, [(320, 256)]), maps)
    return case | {"filtered": [len(proposals[0]), said(proposals[0][:8])]}


def without_epsilon():
    """As torchvision loads its own weights of COCO."""
    network = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=4)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 0.0
    name = "fasterrcnn_resnet50_fpn_coco"
    case = {"name": name, "num_classes": 4, "input": [1, 3, 96, 96], **fill(network)}
    maps = network.backbone(tensor("input", 1.0, case["input"]))
    case["fpn"] = {key: said(value) for key, value in maps.items()}
    return {key: value for key, value in case.items() if key not in ("params",)}


class Trunk(torch.nn.Module):
    """The maps of a classifier at an eighth, a sixteenth and a 32nd of the size, and three stages behind them."""

    def __init__(self, separable):
        super().__init__()
        if separable:
            self.features = mobilenet_v2(weights=None).features
            self.out_channels = [192, 576, 1280, 512, 256, 256]
        else:
            layers = {"layer2": "0", "layer3": "1", "layer4": "2"}
            self.body = IntermediateLayerGetter(classifier18(weights=None), layers)
            self.out_channels = [128, 256, 512, 512, 256, 256]
        layer = lambda *channels, **options: Conv2dNormActivation(
            *channels, activation_layer=torch.nn.ReLU6 if separable else torch.nn.ReLU, **options
        )
        extras, inputs = [], self.out_channels[2]
        for narrow, outputs, stride in [(256, 512, 2), (128, 256, 1), (128, 256, 1)]:
            three = dict(kernel_size=3, stride=stride, padding=1 if stride == 2 else 0)
            if separable:
                last = [layer(narrow, narrow, groups=narrow, **three), layer(narrow, outputs, kernel_size=1)]
            else:
                last = [layer(narrow, outputs, **three)]
            extras.append(torch.nn.Sequential(layer(inputs, narrow, kernel_size=1), *last))
            inputs = outputs
        self.extra = torch.nn.ModuleList(extras)

    def forward(self, x):
        if hasattr(self, "body"):
            maps = list(self.body(x).values())
        else:
            maps = []
            for number, block in enumerate(self.features):
                # The expansions where the size is halved next.
                if number in (7, 14):
                    maps.append(block.conv[0](x))
                x = block(x)
            maps.append(x)
        for extra in self.extra:
            maps.append(extra(maps[-1]))
        return {str(number): value for number, value in enumerate(maps)}


def normed(name, separable):
    trunk = Trunk(separable)
    anchors = DefaultBoxGenerator(
        [[2], [2, 3], [2, 3], [2, 3], [2], [2]],
        scales=[0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05],
        steps=[8, 16, 32, 64, 100, 300],
    )
    head = SSDHead(trunk.out_channels, anchors.num_anchors_per_location(), 4)
    if separable:
        counts = anchors.num_anchors_per_location()
        head = SSDLiteHead(trunk.out_channels, counts, 4, torch.nn.BatchNorm2d)
    network = SSD(trunk, anchors, (300, 300), 4, head=head)
    case = {"name": name, "num_classes": 4, "input": [1, 3, 300, 300], **fill(network)}
    maps = list(network.backbone(tensor("input", 1.0, case["input"])).values())
    said_of = network.head(maps)
    case |= {"features": [said(m) for m in maps], "anchors": said(anchors(images(case["input"]), maps)[0])}
    return case | {key: said(said_of[key]) for key in ("cls_logits", "bbox_regression")}


def retinanet(name):
    """Maps of the pyramid, and what is said of anchors; torchvision has no builder for other bodies than ResNet-50."""
    if name == "retinanet_resnet50_fpn":
        network = retinanet_resnet50_fpn(weights=None, weights_backbone=None, num_classes=4)
        size = [1, 3, 96, 96]
    else:
        last = LastLevelP6P7(256, 256)
        body = classifier18(weights=None, norm_layer=torch.nn.BatchNorm2d)
        network = RetinaNet(_resnet_fpn_extractor(body, 5, returned_layers=[2, 3, 4], extra_blocks=last), 4)
        size = [1, 3, 150, 130]
    case = {"name": name, "num_classes": 4, "input": size, **fill(network)}
    maps = network.backbone(tensor("input", 1.0, size))
    case["fpn"] = {key: said(value) for key, value in maps.items()}
    head = network.head(list(maps.values()))
    case["anchors"] = said(network.anchor_generator(images(size), list(maps.values()))[0])
    return case | {key: said(head[key]) for key in ("cls_logits", "bbox_regression")}


def retinanet_post():
    """What is told of formula logits, of which those of class 0 are small, as a trained network's are."""
    name, size = "post_retinanet", [80, 72]
    network = retinanet_resnet50_fpn(weights=None, weights_backbone=None, num_classes=4).eval()
    sizes = [[10, 9], [5, 5], [3, 3], [2, 2], [1, 1]]
    counts = [9 * height * width for height, width in sizes]
    case = {"name": name, "num_classes": 4, "image": size, "maps": sizes, "rows": sum(counts)}
    logits = tensor(f"{name}/logits", 3.0, [1, sum(counts), 4])
    logits[..., 0] = -20.0
    offsets = tensor(f"{name}/offsets", 0.5, [1, sum(counts), 4])
    maps = [torch.zeros(1, 256, *s) for s in sizes]
    anchors = network.anchor_generator(images([1, 3, *size]), maps)
    head = {"cls_logits": list(logits.split(counts, 1)), "bbox_regression": list(offsets.split(counts, 1))}
    told = network.postprocess_detections(head, [list(a.split(counts)) for a in anchors], [tuple(size)])[0]
    return case | {"found": found(told)}


def ssd_post(name, network, size, rows):
    case = {"name": name, "num_classes": 4, "rows": rows, "logits_scale": 4.0, "offsets_scale": 1.0}
    head = {
        "cls_logits": tensor(f"{name}/logits", 4.0, [1, rows, 4]),
        "bbox_regression": tensor(f"{name}/offsets", 1.0, [1, rows, 4]),
    }
    maps = list(network.eval().backbone(torch.zeros(1, 3, size, size)).values())
    anchors = network.anchor_generator(images([1, 3, size, size]), maps)
    case["maps"] = [list(m.shape[-2:]) for m in maps]
    return case | {"found": found(network.postprocess_detections(head, anchors, [(size, size)])[0])}


def rcnn_post():
    name, size = "post_fasterrcnn", [150, 130]
    network = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=4).eval()
    sizes = [[38, 33], [19, 17], [10, 9], [5, 5], [3, 3]]
    case = {"name": name, "num_classes": 4, "image": size, "maps": sizes, "an_image": 100}
    objectness = [tensor(f"{name}/objectness{i}", 4.0, [1, 3, *s]) for i, s in enumerate(sizes)]
    offsets = [tensor(f"{name}/rpn_offsets{i}", 0.5, [1, 12, *s]) for i, s in enumerate(sizes)]
    rpn = network.rpn
    rpn._post_nms_top_n = {"training": 2000, "testing": 100}
    maps = [torch.zeros(1, 256, *s) for s in sizes]
    anchors = rpn.anchor_generator(images([1, 3, *size]), maps)
    counts = [o[0].numel() for o in objectness]
    rows, moves = torchvision.models.detection.rpn.concat_box_prediction_layers(objectness, offsets)
    proposals = rpn.box_coder.decode(moves, anchors).view(1, -1, 4)
    selected, _ = rpn.filter_proposals(proposals, rows, [tuple(size)], counts)
    case["proposals"] = selected[0].tolist()
    logits = tensor(f"{name}/logits", 4.0, [len(selected[0]), 4])
    regression = tensor(f"{name}/offsets", 2.0, [len(selected[0]), 16])
    kept = network.roi_heads.postprocess_detections(logits, regression, selected, [tuple(size)])
    return case | {"found": dict(zip(("boxes", "scores", "labels"), (part[0].tolist() for part in kept)))}


def main():
    torch.set_num_threads(1)
    with torch.no_grad():
        vgg = ssd300_vgg16(weights=None, weights_backbone=None, num_classes=4)
        lite = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=4)
        cases = [
            ssdlite(),
            resnet18(),
            ssd_post("post_ssd300", vgg, 300, 8732),
            ssd_post("post_ssdlite320", lite, 320, 3234),
            rcnn_post(),
            mobilenet_v3(),
            without_epsilon(),
            normed("ssd300_resnet18", False),
            normed("ssd300_mobilenet_v2", True),
            retinanet("retinanet_resnet18_fpn"),
            retinanet("retinanet_resnet50_fpn"),
            retinanet_post(),
        ]
    json.dump({"salt": "", "torchvision": torchvision.__version__, "cases": cases}, sys.stdout)


if __name__ == "__main__":
    main()
