//! Trained networks as ONNX files, captured from the forward pass.
