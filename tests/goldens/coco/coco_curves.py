"""Writes coco_curves.json: of each class, what pycocotools says beside its twelve figures.

    pip install pycocotools && python coco_curves.py > coco_curves.json

AP of all, small, medium and large objects, how many of each count, and precision at the 101 recalls at IoU 0.50 and 0.75.
"""

import contextlib
import json
import sys
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

FOLDER = Path(__file__).parent
NONE = -1


def main():
    with contextlib.redirect_stdout(sys.stderr):
        truth = COCO(str(FOLDER / "coco_gt.json"))
        evaluation = COCOeval(truth, truth.loadRes(str(FOLDER / "coco_dt.json")), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    # IoU, recall, class, area, detections of an image
    precision = evaluation.eval["precision"][..., -1]
    areas = evaluation.params.areaRng
    classes = {}
    for place, category in enumerate(evaluation.params.catIds):
        said = precision[:, :, place]
        count = lambda low, high: sum(
            not a["iscrowd"] and low <= a["area"] <= high for a in truth.loadAnns(truth.getAnnIds(catIds=[category]))
        )
        classes[str(category)] = {
            "objects": [count(*area) for area in areas],
            "ap": [None if (of := said[..., area]).max() == NONE else float(np.mean(of)) for area in range(4)],
            "precision50": [] if said[0, 0, 0] == NONE else said[0, :, 0].tolist(),
            "precision75": [] if said[5, 0, 0] == NONE else said[5, :, 0].tolist(),
        }
    json.dump({"classes": classes}, sys.stdout)


if __name__ == "__main__":
    main()
