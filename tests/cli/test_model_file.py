import pytest

from hansa.cli.model_file import file_hash, load_function, model_path
from hansa.errors import ConfigurationError, UnknownNameError


def test_a_function_is_loaded_from_its_file(tmp_path):
    (tmp_path / "model.py").write_text("VALUE = 3\ndef build():\n    return VALUE\n")
    assert load_function(model_path("model.py", tmp_path), "build")() == 3
    assert len(file_hash(tmp_path / "model.py")) == 64


def test_a_file_in_a_folder_below_is_allowed(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "m.py").write_text("")
    assert model_path("models/m.py", tmp_path).is_file()


@pytest.mark.parametrize("file", ["../model.py", "a/../../model.py", "/etc/model.py", "..\\model.py"])
def test_a_file_elsewhere_is_refused_before_it_is_looked_at(tmp_path, file):
    with pytest.raises(ConfigurationError, match="must lie beside the TOML file"):
        model_path(file, tmp_path)


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    outside = tmp_path / "outside.py"
    outside.write_text("raise SystemExit")
    inside = tmp_path / "project"
    inside.mkdir()
    (inside / "model.py").symlink_to(outside)
    with pytest.raises(ConfigurationError, match="is a link out of"):
        model_path("model.py", inside)


def test_missing_and_other_files(tmp_path):
    (tmp_path / "modell.py").write_text("")
    with pytest.raises(ConfigurationError, match=r"model.py does not exist. There is modell.py."):
        model_path("model.py", tmp_path)
    with pytest.raises(ConfigurationError, match="expected a Python file"):
        model_path("model.txt", tmp_path)


@pytest.mark.parametrize(
    ("text", "name", "error", "message"),
    [
        ("def build(:\n", "build", ConfigurationError, r"importing it raised SyntaxError: line 1"),
        (
            "import numpy\n\n1 / 0\n",
            "build",
            ConfigurationError,
            r"raised ZeroDivisionError: line 3: division by zero",
        ),
        ("import no_such_package\n", "build", ConfigurationError, "ModuleNotFoundError: line 1"),
        (
            "def biuld(): pass\n",
            "build",
            UnknownNameError,
            r"function of model.py: 'build'. Did you mean 'biuld'\?",
        ),
        ("build = 3\n", "build", ConfigurationError, "build in model.py is a int; expected a function"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, text, name, error, message):
    (tmp_path / "model.py").write_text(text)
    with pytest.raises(error, match=message):
        load_function(tmp_path / "model.py", name)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "def build():\n    x = 1\n    raise ValueError('too few layers')\n",
            r"build\(\) raised ValueError: line 3: too few layers",
        ),
        ("def build(width):\n    return 1\n", r"build\(\) raised TypeError: .*width"),
    ],
)
def test_what_the_function_raises_is_told_with_its_line(tmp_path, body, message):
    (tmp_path / "model.py").write_text(body)
    function = load_function(tmp_path / "model.py", "build")
    with pytest.raises(ConfigurationError, match=message):
        function()


@pytest.mark.parametrize("text", ["import sys\nsys.exit(0)\n", "def build():\n    raise SystemExit\n"])
def test_a_model_file_that_exits_is_an_error(tmp_path, text):
    (tmp_path / "model.py").write_text(text)
    with pytest.raises(ConfigurationError, match="raised SystemExit: line 2"):
        load_function(tmp_path / "model.py", "build")()
