"""Options of the servers for other programs."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lamp.utils.errors import UserError


@dataclass(kw_only=True)
class ServeOptions:
    """Models"""

    models: str = ""
    """folder or hub id with tokenizer, lamp, masked, residual, length, m2t; by default the shipped checkpoints/mini"""
    gpu_id: int | None = None
    """GPU, -1 for the CPU; by default the best device"""

    def __post_init__(self) -> None:
        if self.gpu_id is not None and self.gpu_id < -1:
            raise UserError(f"--gpu_id {self.gpu_id}: give a GPU's number, or -1 for the CPU")


@dataclass(kw_only=True)
class McpOptions(ServeOptions):
    """Tools for assistants: the Model Context Protocol over standard input and output."""

    folder: Path = field(default=Path("./generation/mcp"))
    """the only folder below which files are read and written"""

    @property
    def packages(self) -> tuple[str, ...]:
        """Optional packages that the script needs with these options."""
        return ("mcp",)


@dataclass(kw_only=True)
class MmcpOptions(ServeOptions):
    """Back end for animation programs: the Motion Model Context Protocol over HTTP."""

    host: str = "127.0.0.1"
    """address to listen on; another than 127.0.0.1 lets other computers in"""
    port: int = 8000
    """port to listen on"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.port <= 65535:
            raise UserError(f"--port {self.port}: give 1 to 65535")

    @property
    def packages(self) -> tuple[str, ...]:
        """Optional packages that the script needs with these options."""
        return ("motionmcp", "fastapi", "uvicorn")


@dataclass(kw_only=True)
class AppOptions(ServeOptions):
    """A web app: make, edit, describe and search motions in a browser."""

    host: str = "127.0.0.1"
    """address to listen on; another than 127.0.0.1 lets other computers in"""
    port: int = 7860
    """port to listen on"""
    library: Path | None = None
    """folder that lamp index made, to search"""
    queue: int = 32
    """requests that may wait; further ones are refused"""
    precision: Literal["float32", "bfloat16", "int8"] = "float32"
    """numbers that the transformers compute with, see lamp generate --help"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.port <= 65535:
            raise UserError(f"--port {self.port}: give 1 to 65535")
        if not 1 <= self.queue <= 1000:
            raise UserError(f"--queue {self.queue}: give 1 to 1000")

    @property
    def packages(self) -> tuple[str, ...]:
        """Optional packages that the script needs with these options."""
        return ("gradio", "transformers")
