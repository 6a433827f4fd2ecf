"""Cameras, point clouds, and what a camera sees of them: `cameras`, `pointcloud`, `rasterize`, `rasterize_pyrender`."""
