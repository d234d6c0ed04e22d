import json

from hansa.cli import doctor


def test_a_healthy_installation(hansa):
    result = hansa("doctor")
    assert result.exit_code == 0
    for text in (
        "Python",
        "Keras",
        "JAX",
        "used:",
        "Cache",
        "cores",
        "two rounds in",
        "Everything needed is there.",
    ):
        assert text in result.stdout


def test_findings_for_programs(hansa):
    found = json.loads(hansa("doctor", "--json").stdout)
    assert found["healthy"] is True
    assert found["backend"]["name"] in found["backends"]
    assert found["training"]["works"] is True
    assert found["cores"] >= 1
    assert set(found["extras"]) == {
        "tensorflow",
        "torch",
        "parquet",
        "sklearn",
        "ray",
        "secure",
        "privacy",
    }


def test_missing_extras_come_with_the_line_that_installs_them(hansa, monkeypatch):
    real = doctor._installed
    monkeypatch.setattr(
        doctor, "_installed", lambda package: package not in ("torch", "pyarrow") and real(package)
    )
    result = hansa("doctor")
    assert result.exit_code == 0
    assert "pip install '.[torch]'" in result.stdout
    assert "pip install '.[parquet]'" in result.stdout


def test_a_broken_training_is_told_and_exits_with_1(hansa, monkeypatch):
    def fail():
        raise RuntimeError("no usable device")

    monkeypatch.setattr(doctor, "_train", fail)
    result = hansa("doctor")
    assert result.exit_code == 1
    assert "RuntimeError: no usable device" in result.stdout
    assert "Something needed is broken" in result.stdout


def test_a_cache_that_cannot_be_written_is_told(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HANSA_CACHE", str(tmp_path / "file"))
    told = doctor._cache()
    assert told["writable"] is False
    assert "HANSA_CACHE" in told["why"]


def test_a_backend_that_does_not_exist(start, folder):
    process = start("doctor", cwd=folder, KERAS_BACKEND="tensorflo")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "KERAS_BACKEND is 'tensorflo'" in out
    assert "Traceback" not in err
