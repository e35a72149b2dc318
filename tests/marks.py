"""Marks that several test modules use."""

import shutil

import pytest

needs_compiler = pytest.mark.skipif(not shutil.which("g++"), reason="PyTorch's compiler needs a C++ compiler")
