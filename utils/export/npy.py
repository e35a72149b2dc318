"""Joint positions as a plain NumPy array."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lamp.utils.files import atomic_path

if TYPE_CHECKING:
    from lamp.utils.motion import Motion


def write(motion: "Motion", path: Path) -> None:
    """Write the joints (T, J, 3), float32."""
    with atomic_path(path) as aside:
        np.save(aside, motion.joints)
