"""The package as it is installed: light to import, few dependencies, complete wheel."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*command, **options):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_import_is_light():
    heavy = ("keras", "jax", "tensorflow", "torch", "pandas", "sklearn", "pyarrow", "matplotlib")
    code = f"import sys, hansa; hansa.data, hansa.datasets; print([m for m in {heavy} if m in sys.modules])"
    assert run(sys.executable, "-c", code).strip() == "[]"


def test_backend_is_chosen_when_unset(monkeypatch):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    code = "import os, hansa; print(os.environ['KERAS_BACKEND'])"
    assert run(sys.executable, "-c", code).strip() == "jax"


def test_onednn_is_settled_for_tensorflow_alone_and_where_it_is_not_set(monkeypatch):
    name = "TF_ENABLE_ONEDNN_OPTS"
    code = f"import os, hansa; print(os.environ.get('{name}'))"
    for backend, value, expected in (
        ("tensorflow", None, "1"),
        ("tensorflow", "0", "0"),
        ("jax", None, "None"),
    ):
        monkeypatch.setenv("KERAS_BACKEND", backend)
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
        assert run(sys.executable, "-c", code).strip() == expected


def test_every_exported_name_exists():
    import hansa

    for name in hansa.__all__:
        assert getattr(hansa, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        hansa.nothing  # noqa: B018


@pytest.mark.network
def test_wheel_runs_a_recipe_in_an_empty_environment(tmp_path):
    run(sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path, ROOT)
    (wheel,) = tmp_path.glob("hansa-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert any(n.endswith("py.typed") for n in names)
    assert any(n.endswith("heart_disease/va.csv") for n in names)
    assert not [n for n in names if not n.startswith("hansa")]

    venv = tmp_path / "venv"
    run(sys.executable, "-m", "venv", venv)
    python = venv / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel)
    listed = json.loads(run(python, "-m", "pip", "list", "--format=json", "--disable-pip-version-check"))
    packages = {p["name"].lower() for p in listed} - {"pip", "setuptools", "hansa"}
    assert len(packages) <= 30, sorted(packages)
    assert not packages & {"matplotlib", "pandas", "tensorflow", "tensorflow-cpu", "torch", "scikit-learn"}

    hansa = venv / "bin" / "hansa"
    out = run(
        hansa,
        "run",
        "heart-disease",
        "--rounds",
        "2",
        "--no-compare",
        "--json",
        "--out",
        tmp_path / "run",
        cwd=tmp_path,
    )
    last = json.loads(out.strip().splitlines()[-1])
    assert len(last["model_hash"]) == 64
    assert (tmp_path / "run" / "report.html").exists()
