"""Classifies an image of zeros in OpenVINO: python serve_openvino.py student.onnx"""

import sys

import numpy
import openvino

model = openvino.Core().compile_model(sys.argv[1], "CPU")
sizes = [size.get_length() for size in list(model.input(0).partial_shape)[1:]]
image = numpy.zeros([1, *sizes], numpy.float32)  # pixels, normalised as in training
logits = model(image)[0]
print(f"class {logits[0].argmax()} with the logit {logits[0].max():.3f} of {logits.shape[1]}")
