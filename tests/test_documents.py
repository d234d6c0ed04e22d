"""The documents' examples run as written."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from hansa.cli.declaration import declare

ROOT = Path(__file__).parents[1]
DOCUMENTS = ("README.md", "docs/guide.md")
INVERSION, POISONING = (ROOT / "examples" / name for name in ("gradient_inversion.py", "poisoning.py"))
EXAMPLES = sorted(set((ROOT / "examples").glob("*.py")) - {INVERSION, POISONING})


def python_blocks(document: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / document).read_text(), re.DOTALL | re.MULTILINE)


def test_python_blocks_run_in_order(tmp_path):
    blocks = python_blocks("docs/guide.md")
    assert blocks
    script = tmp_path / "blocks.py"
    script.write_text("\n\n".join(blocks))
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_readme_example_is_short_and_learns(tmp_path):
    (code,) = python_blocks("README.md")
    assert len([line for line in code.splitlines() if line.strip()]) <= 15
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert float(done.stdout.split()[-1]) > 0.7
    assert (tmp_path / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_examples_run(example, tmp_path):
    done = subprocess.run(
        [sys.executable, example], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_gradient_inversion_shows_what_protects_and_what_does_not(tmp_path):
    done = subprocess.run(
        [sys.executable, INVERSION], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = re.findall(r"^(\w.*?) +([\d.]+) +([\d.]+) +([\d.]+) +([\d.]+|none)$", done.stdout, re.MULTILINE)
    psnr = {name: [float(number) for number in numbers] for name, *numbers, _ in lines}
    assert min(psnr["Plain update"]) > 100
    assert min(psnr["Clipped"]) > 100
    assert max(psnr["Clipped, noise added at home"]) < 12
    one, best, most = psnr["Sum of 100"]
    assert one < 15
    assert best < 18
    assert most > 60  # a sum alone is no promise: one unit answers to one person
    assert max(psnr["Sum of 100, noise inside"]) < 14
    bounded = {name for name, *_, epsilon in lines if epsilon != "none"}
    assert bounded == {"Clipped, noise added at home", "Sum of 100, noise inside"}
    page = (tmp_path / "gradient_inversion.html").read_text()
    assert page.count('role="img"') == 14
    assert "Content-Security-Policy" in page


def test_a_lie_ruins_every_sum_but_the_proven_one(tmp_path):
    done = subprocess.run(
        [sys.executable, POISONING, "--rounds", "8"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = re.findall(r"^(\w.*?) {2,}([\d.]+) +(\d+) of 8 +(\w+)$", done.stdout, re.MULTILINE)
    found = {name: (float(accuracy), int(void), named) for name, accuracy, void, named in lines}
    honest, plain, hidden, silent, proven = found.values()
    assert proven[0] > honest[0] - 0.03
    assert proven[1:] == (0, "va")
    assert max(plain[0], hidden[0], silent[0]) < honest[0] - 0.1
    assert (plain[1:], hidden[1:], silent[1:]) == ((0, "nobody"), (8, "nobody"), (0, "nobody"))
    assert "Content-Security-Policy" in (tmp_path / "poisoning.html").read_text()


@pytest.mark.parametrize(
    "document",
    [*DOCUMENTS, "docs/toml.md", "docs/threat-model.md", "docs/operators-guide.md", "CONTRIBUTING.md"],
)
def test_local_links_lead_somewhere(document):
    path = ROOT / document
    for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
        assert (path.parent / target).exists(), target
    for mentioned in re.findall(r"`((?:src|docs|examples|benchmarks)/[\w./-]+)`", path.read_text()):
        assert (ROOT / mentioned).exists(), mentioned


def test_toml_blocks_declare_runs():
    blocks = re.findall(r"^```toml\n(.*?)^```", (ROOT / "docs/toml.md").read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 3
    for block in blocks:
        assert declare(tomllib.loads(block)).run.rounds > 0


def test_following_one_fedavg_round_takes_four_files_and_700_lines():
    files = ("round.py", "client.py", "algorithms/fedavg.py", "secure_sum/plain.py")
    lines = sum(len((ROOT / "src/hansa" / name).read_text().splitlines()) for name in files)
    assert lines <= 700
