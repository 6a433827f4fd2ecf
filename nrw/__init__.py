"""Neural rerendering in the wild: from a folder of internet photos to fly-through videos."""

__version__ = "0.1.0"
