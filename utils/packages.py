"""Packages of the extras: a script asks for those it will need before its work begins."""

from importlib.util import find_spec

from lamp.utils.errors import UserError

EXTRAS = {
    "accelerate": "train",
    "tensorboard": "train",
    "transformers": "train",
    "matplotlib": "train",
    "datasets": "corpus",
    "spacy": "data",
    "pycocoevalcap": "captions",
    "bert_score": "captions",
    "peft": "captions",
    "gdown": "download",
    "requests": "download",
    "mcp": "mcp",
    "pydantic": "mcp",
    "faiss": "search",
    "motionmcp": "mmcp",
    "gradio": "app",
    "starlette": "app",
    "anyio": "app",
    "fastapi": "mmcp",
    "uvicorn": "mmcp",
    "locust": "crowd",
    "ray": "cluster",
}
"""Extra of `pyproject.toml` that installs each optional package."""


def is_installed(package: str) -> bool:
    """Whether this Python has a package, which is not imported for that."""
    try:
        return find_spec(package) is not None
    except ValueError:  # it is being replaced or blocked, as tests do
        return False


def install_command(package: str) -> str:
    """What installs a package; one that no extra has belongs to the project itself."""
    return f'pip install -e ".[{EXTRAS[package]}]"' if package in EXTRAS else "pip install -e ."


def need(*packages: str) -> None:
    """Make sure that packages are installed.

    Raises:
        UserError: some are not; the message says what installs them.
    """
    if missing := [package for package in packages if not is_installed(package)]:
        commands = dict.fromkeys(map(install_command, missing))
        raise UserError(f"{', '.join(missing)} missing from this Python: {' && '.join(commands)}")
