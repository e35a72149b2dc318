"""LaMP: language-motion pretraining for human motion. Text in, motion out; motion in, text out; search by either.

    >>> from lamp import LaMPPipeline
    >>> pipe = LaMPPipeline.from_pretrained()
    >>> pipe("a person waves with the right hand", seed=1)[0].save("wave.bvh")

In a checkout, the folders of the package (`models/`, `data/`, ...) and the scripts lie beside this folder; an installed
wheel has them in it. Both are found under the one name `lamp`.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamp.models.m2t.pipeline import CaptionPipeline
    from lamp.models.pipeline import LaMPPipeline
    from lamp.utils.motion import Motion

__all__ = ["CaptionPipeline", "LaMPPipeline", "Motion"]

_CHECKOUT = Path(__file__).resolve().parent.parent
if (_CHECKOUT / "models" / "pipeline.py").is_file() and (_CHECKOUT / "gen_t2m.py").is_file():
    __path__.append(str(_CHECKOUT))

_HOMES = {
    "CaptionPipeline": "lamp.models.m2t.pipeline",
    "LaMPPipeline": "lamp.models.pipeline",
    "Motion": "lamp.utils.motion",
}


def __getattr__(name: str) -> object:
    """The public classes, imported on first use: `import lamp` alone does not load PyTorch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'lamp' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
