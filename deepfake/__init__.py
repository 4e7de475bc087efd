"""The library: pure concepts of deepfake detection, one module each. Nothing here prints, parses or exits."""
