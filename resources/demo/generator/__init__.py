"""The procedural landmark of the demo: geometry, textures, light and the camera that photographs it."""
