"""The manifest of the shared cinchonine series, real 3D ED frames."""

MANIFEST = {
    "format": "rotation series", "version": 1, "sample": "cinchonine", "composition": "C19 H22 N2 O",
    "beam": {"energy_kev": 200.0},
    "detector": {"name": "Cheetah", "shape_px": [512, 512], "pixel_size_mm": 0.055, "camera_length_mm": 436.1,
                 "direct_beam_px": [253.6, 256.4], "gain": 16.0, "pedestal": 0.0, "saturation": 65535.0},
    "rotation_axis": [0.7933, 0.6088, 0.0], "oscillation": {"start_deg": -50.46, "width_deg": 0.2522},
    "files": "*.tif",
}  # fmt: skip
