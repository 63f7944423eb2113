"""Pictures and words to vectors. Pillow, tokenizers and onnxruntime live here, each in one file."""
