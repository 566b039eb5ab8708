"""A trained model for other programs: ONNX, transformers.js, sentence-transformers."""
