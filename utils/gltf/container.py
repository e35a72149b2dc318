"""The binary container of glTF 2.0 (GLB): a JSON document and one buffer.

The document stays a plain dictionary, and the buffer is only appended to. So whatever other programs put into a file,
extensions that we have never heard of included, is written back as it was, which no glTF library promises.
"""

import json
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lamp.utils.errors import UserError
from lamp.utils.files import atomic_path
from lamp.utils.reading import reading

_MAGIC, _VERSION = b"glTF", 2
_JSON, _BIN = 0x4E4F534A, 0x004E4942
_COMPONENTS = {"u1": 5121, "u2": 5123, "u4": 5125, "f4": 5126}
_SHAPES = {(): "SCALAR", (2,): "VEC2", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}
VERTICES, INDICES = 34962, 34963
"""What a view of the buffer is for."""


@dataclass
class Gltf:
    """A glTF document.

    Attributes:
        document: the JSON.
        buffer: the document's buffer 0.
    """

    document: dict[str, Any] = field(default_factory=lambda: {"asset": {"version": "2.0", "generator": "LaMP"}})
    buffer: bytearray = field(default_factory=bytearray)

    def add(self, name: str, entry: dict[str, Any]) -> int:
        """Append to one of the document's lists ("nodes", ...) and return the entry's index."""
        entries = self.document.setdefault(name, [])
        entries.append(entry)
        return len(entries) - 1

    def accessor(self, values: np.ndarray, target: int | None = None) -> int:
        """Store an array (N, ...) of uint8, uint16, uint32 or float32 and return its accessor's index.

        Args:
            values: numbers, vectors of 2 to 4, or 4 x 4 matrices, which are stored column by column.
            target: `VERTICES` or `INDICES`; None for animations and matrices.
        """
        self.buffer += bytes(-len(self.buffer) % 4)
        ordered = values.transpose(0, 2, 1) if values.shape[1:] == (4, 4) else values
        data = np.ascontiguousarray(ordered, dtype=values.dtype.newbyteorder("<")).tobytes()
        view: dict[str, Any] = {"buffer": 0, "byteOffset": len(self.buffer), "byteLength": len(data)}
        if target is not None:
            view["target"] = target
        self.buffer += data
        entry: dict[str, Any] = {
            "bufferView": self.add("bufferViews", view),
            "componentType": _COMPONENTS[values.dtype.str[1:]],
            "count": len(values),
            "type": _SHAPES[values.shape[1:]],
        }
        if values.ndim < 3:
            flat = values.reshape(len(values), -1)
            entry |= {"min": flat.min(0).tolist(), "max": flat.max(0).tolist()}
        return self.add("accessors", entry)

    def packed(self) -> bytes:
        """The bytes of a GLB file."""
        self.buffer += bytes(-len(self.buffer) % 4)
        if self.buffer:
            buffers = self.document.setdefault("buffers", [{}])
            buffers[0]["byteLength"] = len(self.buffer)
        text = json.dumps(self.document, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        text += b" " * (-len(text) % 4)
        chunks = struct.pack("<II", len(text), _JSON) + text
        if self.buffer:
            chunks += struct.pack("<II", len(self.buffer), _BIN) + bytes(self.buffer)
        return struct.pack("<4sII", _MAGIC, _VERSION, 12 + len(chunks)) + chunks

    def save(self, path: str | Path) -> None:
        """Write a GLB file."""
        data = self.packed()
        with atomic_path(path) as aside:
            aside.write_bytes(data)

    @classmethod
    def load(cls, path: str | Path) -> "Gltf":
        """Read a GLB file (.glb, .vrm).

        Raises:
            UserError: it is none, or is damaged, or keeps its data in other files.
        """
        path = Path(path)
        with reading(path, "GLB file"):
            data = path.read_bytes()
            if data[:4] != _MAGIC:
                hint = "this is the text form; export it as .glb" if data.lstrip()[:1] == b"{" else "export it as .glb"
                raise UserError(f"{path} is no binary glTF file; {hint}")
            _, version, length = struct.unpack_from("<4sII", data)
            if version != _VERSION or length > len(data):
                raise UserError(f"{path} is a damaged GLB file, or of version {version}; export it as glTF 2.0")
            chunks: dict[int, bytes] = {}
            at = 12
            while at + 8 <= length:
                size, kind = struct.unpack_from("<II", data, at)
                if at + 8 + size > length:
                    raise UserError(f"{path} is a damaged GLB file; export it again")
                chunks.setdefault(kind, data[at + 8 : at + 8 + size])
                at += 8 + size
            document = json.loads(chunks[_JSON])
            if not isinstance(document, dict):
                raise UserError(f"{path} is a damaged GLB file; export it again")
            if any("uri" in buffer for buffer in document.get("buffers", [])):
                raise UserError(f"{path} keeps its data in other files; export it as one .glb file")
            return cls(document, bytearray(chunks.get(_BIN, b"")))
