"""The camera of the stick-figure video: where it stands, and where points of the world are in its images.

It looks along -z of the world, tilted down and never rolled. So an image row sees one distance on the floor.
"""

import numpy as np

from lamp.utils.export.smooth import smooth_along_time

FOCAL = 1.7  # in image heights
PITCH = np.deg2rad(14.0)
BACK = np.array([0.0, np.sin(PITCH), np.cos(PITCH)])  # from what is looked at to the camera
UP = np.array([0.0, np.cos(PITCH), -np.sin(PITCH)])
# Parts of the image, from its middle, that the figure may fill: sideways, above (the title is there), below.
ROOM = (0.45, 0.35, 0.44)
STILL_DISTANCE = 5.5  # metres; where all of a motion is seen from nearer, the camera stands still
NEAREST = 3.4
CLOSEST_DEPTH = 0.1  # metres; what is nearer or behind the camera is projected as if it were there
FOLLOW_SECONDS = 0.5


class Camera:
    """A camera at a fixed height and distance from what it looks at.

    It stands still where the whole motion fits in, and otherwise follows the root smoothly.

    Args:
        joints: (T, J, 3) in metres.
        fps: frames a second.
        size: width and height of the images in pixels.

    Attributes:
        targets: (T, 3) what it looks at, all at one height.
        distance: metres from there.
        focal: focal length in pixels.
        still: it does not move.
    """

    def __init__(self, joints: np.ndarray, fps: float, size: tuple[int, int]) -> None:
        self.width, self.height = size
        self.focal = FOCAL * self.height
        low, high = joints.min((0, 1)), joints.max((0, 1))
        self.targets = np.tile((low + high) / 2, (len(joints), 1))
        self.distance = self._distance(joints)
        self.still = self.distance <= STILL_DISTANCE
        if not self.still:
            self.targets[:, ::2] = smooth_along_time(joints[:, 0, ::2], FOLLOW_SECONDS * fps)
            self.distance = self._distance(joints)

    def project(self, points: np.ndarray, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (..., 2) of points (..., 3) in a frame, and their depths (...) in metres along the camera's axis."""
        points = points - self.targets[frame]
        depth = np.maximum(self.distance - _along(points, BACK), CLOSEST_DEPTH)
        scale = self.focal / depth
        x, y = self.width / 2 + points[..., 0] * scale, self.height / 2 - _along(points, UP) * scale
        return np.stack((x, y), axis=-1), depth

    def floor_depths(self) -> np.ndarray:
        """Depth (height,) at which each image row sees the plane y = 0; infinite above the horizon."""
        slope = (self.height / 2 - np.arange(self.height) - 0.5) / self.focal
        down = BACK[1] - slope * UP[1]
        above_floor = self.targets[0, 1] + self.distance * BACK[1]
        return np.divide(above_floor, down, out=np.full(self.height, np.inf), where=(down > 0) & (above_floor > 0))

    def _distance(self, joints: np.ndarray) -> float:
        """Least distance from which all joints (T, J, 3) are in the picture."""
        points = joints - self.targets[:, None]
        side, above, below = (FOCAL / room for room in (ROOM[0] * self.width / self.height, ROOM[1], ROOM[2]))
        up = _along(points, UP)
        needed = np.maximum.reduce((np.abs(points[..., 0]) * side, up * above, -up * below))
        return max(float((_along(points, BACK) + needed).max()), NEAREST)


def _along(points: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """How far points (..., 3) lie along `BACK` or `UP`, which have no x.

    Not a matrix product: the threads of NumPy's BLAS would wait in a loop afterwards and take the encoder's core.
    """
    return points[..., 1] * direction[1] + points[..., 2] * direction[2]
