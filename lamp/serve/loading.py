"""The models that a server's options name, which are imported when they are needed."""

from typing import TYPE_CHECKING

from lamp.options.serve import ServeOptions

if TYPE_CHECKING:
    from lamp.models.pipeline import LaMPPipeline


def load_pipeline(options: ServeOptions) -> "LaMPPipeline":
    """The models that the options name.

    Raises:
        UserError: they cannot be loaded.
    """
    from lamp.models.pipeline import LaMPPipeline
    from lamp.utils.run.device import resolve_device

    return LaMPPipeline.from_pretrained(options.models or None, resolve_device(options.gpu_id))
