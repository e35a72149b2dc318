"""A motion on a user's own character: a rigged glTF file (.glb, .vrm) gets an animation."""
