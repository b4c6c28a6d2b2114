"""The pure core: source paths, transforms, mapping sets, and the function a set compiles to. No I/O at all."""
