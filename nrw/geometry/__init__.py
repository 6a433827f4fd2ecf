"""Cameras, point clouds, and rasterization: `cameras`, `pointcloud`, `rasterize`, `rasterize_pyrender`, `clusters`."""
