"""Lay a picture onto the true one: the demo's true cameras lie in a finished scene up to the error of its alignment.

That error, of about half a pixel, punishes sharp pictures and rewards soft ones. Scores after this alignment do not.
"""

import cv2
import numpy as np

UNTIL = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 60, 1e-5)  # steps at most, least rise of the correlation
BLUR = 5  # pixels, of both pictures
FARTHEST = 0.02  # of the longer side: a corner that moves farther tells of a wrong answer, not of misregistration


def aligned(picture: np.ndarray, true: np.ndarray, hit: np.ndarray) -> np.ndarray:
    """Move a picture onto the true one, both (H, W, 3) uint8, by an affine motion; unchanged where none is found.

    The motion is the one that correlates the grays best over the picture's pixels of `hit` (H, W) bool (ECC,
    Evangelidis and Psarakis 2008). The picture is interpolated, bicubically, which costs it a little sharpness.
    """
    target, source = (shown.mean(axis=2).astype(np.float32) for shown in (true, picture))
    start = np.eye(2, 3, dtype=np.float32)
    try:
        _, motion = cv2.findTransformECC(
            target, source, start, cv2.MOTION_AFFINE, UNTIL, hit.astype(np.uint8) * 255, BLUR
        )
    except cv2.error:  # did not converge
        return picture
    height, width = hit.shape
    corners = np.array([[0, width, 0, width], [0, 0, height, height], [1, 1, 1, 1]])
    if np.abs(motion @ corners - corners[:2]).max() > FARTHEST * max(width, height):
        return picture
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(picture, motion, picture.shape[1::-1], flags=flags, borderMode=cv2.BORDER_REFLECT)
