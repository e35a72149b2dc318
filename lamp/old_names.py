"""The import names of earlier versions (`models.pipeline`, `utils.motion`, ...), which a checkout still answers to."""

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import InspectLoader, Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType

MOVED = {
    "models.dropout": "models.fast.dropout",
    "models.linear": "models.fast.linear",
    "utils.averaging": "utils.run.optim",
    "prepare.joint_map": "utils.capture.joint_map",
    "prepare.mocap": "utils.capture.take",
}
MOVED |= {
    f"utils.{name}": f"utils.{room}.{name}"
    for room, names in {
        "kinematics": "skeleton geometry features inverse_kinematics foot_contact",
        "scores": "metrics evaluation retrieval captions physics reconstruction published neighbours tables",
        "run": "trainer runs logging schedule seed device compiling optim provenance",
    }.items()
    for name in names.split()
}


def redirect(folder: str) -> None:
    """Let `folder` and what is below it mean the same modules as `lamp.<folder>`, and say so once on stderr."""
    if not any(isinstance(finder, _Redirect) for finder in sys.meta_path):
        print(f"deprecated: `{folder}` is now `lamp.{folder}` (see CHANGELOG.md)", file=sys.stderr)
        sys.meta_path.insert(0, _Redirect())
    sys.modules[folder] = importlib.import_module(f"lamp.{folder}")


class _Redirect(MetaPathFinder, Loader):
    """Finds modules below a folder that was redirected."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        folder, dot, _ = fullname.partition(".")
        parent = sys.modules.get(folder)
        if not dot or parent is None or parent.__name__ != f"lamp.{folder}":
            return None
        found = importlib.util.find_spec(_new_name(fullname))
        return None if found is None else ModuleSpec(fullname, self, origin=found.origin)

    def exec_module(self, module: ModuleType) -> None:
        sys.modules[module.__name__] = importlib.import_module(_new_name(module.__name__))

    def get_code(self, fullname: str) -> CodeType | None:
        """Code of a module, which `python -m` asks for."""
        spec = importlib.util.find_spec(_new_name(fullname))
        loader = None if spec is None else spec.loader
        return loader.get_code(spec.name) if spec is not None and isinstance(loader, InspectLoader) else None


def _new_name(old: str) -> str:
    return f"lamp.{MOVED.get(old, old)}"
