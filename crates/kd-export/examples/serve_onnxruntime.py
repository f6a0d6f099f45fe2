"""Classifies an image of zeros in ONNX Runtime: python serve_onnxruntime.py student.onnx"""

import sys

import numpy
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
images = session.get_inputs()[0]
image = numpy.zeros([1, *images.shape[1:]], numpy.float32)  # pixels, normalised as in training
logits = session.run(None, {images.name: image})[0]
print(f"class {logits[0].argmax()} with the logit {logits[0].max():.3f} of {logits.shape[1]}")
