"""What `pyproject.toml` cannot say: which packages there are, and that the scripts are modules of `lamp` in a wheel."""

from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
FOLDERS = ("models", "data", "utils", "options", "prepare")


class BuildWithScripts(build_py):
    """Puts the scripts of the repository's root into `lamp`, where a checkout finds them through `lamp.__path__`."""

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        """(package, module, file) of a package's modules."""
        modules = super().find_package_modules(package, package_dir)
        if package == "lamp":
            scripts = sorted(path.name for path in ROOT.glob("*.py") if path.name != "setup.py")
            modules += [("lamp", name.removesuffix(".py"), name) for name in scripts]
        return modules


packages = [f"lamp.{part}" for part in find_packages(str(ROOT / "lamp"))]
packages += [f"lamp.{folder}" for folder in FOLDERS]
packages += [f"lamp.{folder}.{part}" for folder in FOLDERS for part in find_packages(str(ROOT / folder))]
setup(packages=["lamp", *packages], cmdclass={"build_py": BuildWithScripts})
