"""Runs exported networks in ONNX Runtime and OpenVINO, for `cargo xtask verify-export`.

Reads a line for each task from standard input, and answers with a line of JSON.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import openvino


def runtimes(path):
    """The file as a function in each runtime, at single precision."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    core = openvino.Core()
    compiled = core.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return {
        "onnxruntime": lambda images: session.run(None, {name: images})[0],
        "openvino": lambda images: compiled(images)[0],
    }


def compare(folder, size):
    """Differences of logits from the network's own, for one image and all."""
    path = str(folder / "network.onnx")
    onnx.checker.check_model(path, full_check=True)
    images = np.fromfile(folder / "images.bin", "<f4").reshape(-1, 3, size, size)
    logits = np.fromfile(folder / "logits.bin", "<f4").reshape(len(images), -1)
    found = {"largest": float(np.abs(logits).max())}
    for name, run in runtimes(path).items():
        batches = (1, len(images))
        found[name] = [float(np.abs(run(images[:n]) - logits[:n]).max()) for n in batches]
    return found


def quantised(folder, size):
    """How far logits are from the network's own on its grids, in the mean and by their mean: of the network with floats, and
    of runtimes, as they are and with as little freedom as they offer."""
    path = str(folder / "network.onnx")
    onnx.checker.check_model(path, full_check=True)
    images = np.fromfile(folder / "images.bin", "<f4").reshape(-1, 3, size, size)
    logits = np.fromfile(folder / "logits.bin", "<f4").reshape(len(images), -1)
    floats = np.fromfile(folder / "floats.bin", "<f4").reshape(len(images), -1)
    moved = np.fromfile(folder / "moved.bin", "<f4").reshape(len(images), -1)
    far = lambda other: float(np.abs(other - logits).mean() / np.abs(logits).mean())
    plain = onnxruntime.SessionOptions()
    plain.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    cpu = ["CPUExecutionProvider"]
    core = openvino.Core()
    found = {"floats": far(floats), "moved": far(moved), "integers": None}
    if (folder / "integers.bin").exists():
        found["integers"] = far(np.fromfile(folder / "integers.bin", "<f4").reshape(len(images), -1))
    for name, options in (("onnxruntime", None), ("onnxruntime_plain", plain)):
        session = onnxruntime.InferenceSession(path, options, providers=cpu)
        found[name] = far(session.run(None, {session.get_inputs()[0].name: images})[0])
    for name, options in (("openvino", {}), ("openvino_plain", {"INFERENCE_PRECISION_HINT": "f32"})):
        found[name] = far(core.compile_model(path, "CPU", options)(images)[0])
    return found


def accuracy(path, test):
    """Share of CIFAR-10's test images that are classified right; the file normalises pixels itself."""
    records = np.fromfile(test, np.uint8).reshape(-1, 3073)
    labels = records[:, 0]
    pixels = records[:, 1:].reshape(-1, 3, 32, 32).astype(np.float32) / 255
    found = {}
    for name, run in runtimes(path).items():
        guesses = [run(pixels[at : at + 500]).argmax(1) for at in range(0, len(pixels), 500)]
        found[name] = float((np.concatenate(guesses) == labels).mean() * 100)
    return found


def versions():
    return {"onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__, "openvino": openvino.__version__}


for line in sys.stdin:
    task = json.loads(line)
    try:
        if task["do"] == "versions":
            answer = versions()
        elif task["do"] == "compare":
            answer = compare(Path(task["folder"]), task["size"])
        elif task["do"] == "quantised":
            answer = quantised(Path(task["folder"]), task["size"])
        else:
            answer = accuracy(task["file"], task["test"])
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
