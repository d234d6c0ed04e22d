import json
import math
import sys

import pytest

SAMPLED = ("--rate", "0.01", "--rounds", "1000", "--delta", "1e-5")
FULL = ("--delta", "1e-5")


def told(hansa, *arguments):
    result = hansa("privacy", *arguments, "--json")
    assert result.exit_code == 0, result.output
    assert result.stdout.count("\n") == 1
    return json.loads(result.stdout)


def test_it_teaches_with_examples(hansa):
    text = hansa("privacy").output
    assert text.strip() == hansa("privacy", "--help").output.strip()
    for part in (
        "hansa privacy epsilon",
        "hansa privacy noise",
        "hansa privacy rounds",
        "hansa privacy table",
    ):
        assert part in text
    for command in ("epsilon", "noise", "rounds", "table"):
        result = hansa("privacy", command, "--help")
        assert result.exit_code == 0
        assert f"hansa privacy {command}" in result.stdout
        assert "Example" in result.stdout


def test_epsilon_for_programs(hansa):
    facts = told(hansa, "epsilon", *SAMPLED, "--noise-multiplier", "1.0")
    assert facts["epsilon"] == pytest.approx(1.828244, abs=2e-4)
    assert (facts["delta"], facts["accountant"], facts["neighbours"]) == (1e-5, "pld", "zero-out")
    assert (facts["rounds"], facts["noise_multiplier"], facts["unit"]) == (1000, 1.0, "client")
    assert facts["event"]["kind"] == "repeated"
    assert facts["event"]["event"] == {
        "kind": "poisson-sampled",
        "rate": 0.01,
        "event": {"kind": "gaussian", "noise_multiplier": 1.0},
    }


def test_epsilon_for_people_never_stands_alone(hansa):
    text = " ".join(
        hansa("privacy", "epsilon", *FULL, "--noise-multiplier", 4, "--rounds", 100).stdout.split()
    )
    assert "ε = 13.207 at δ = 1e-05" in text.replace("\u00a0", " ")  # rounded up
    assert "each client" in text
    assert "under zero-out" in text
    assert "one client contributed or sent zero" in text
    assert "every client in every round" in text
    assert "dp-accounting" in text


@pytest.mark.parametrize(
    ("options", "expected", "accountant"),
    [
        (("--noise-multiplier", 1, "--rounds", 1), 4.377178, "exact"),
        (("--noise-multiplier", 1, "--rounds", 1, "--neighbours", "replace"), 9.997256, "exact"),
        (
            ("--noise-multiplier", 2, "--rounds", 1000, "--fixed-cohort", 35, "--population", 3500),
            3.576,
            "rdp",
        ),
        (
            ("--noise-multiplier", 2, "--rounds", 1000, "--rate", 0.01, "--neighbours", "replace"),
            1.20521,
            "pld",
        ),
        (
            ("--noise-multiplier", 4, "--rounds", 100, "--rate", 0.01, "--population", 3500, "--cap", 70),
            None,
            "pld",
        ),
    ],
)
def test_who_takes_part(hansa, options, expected, accountant):
    facts = told(hansa, "epsilon", *FULL, *options)
    assert facts["accountant"] == accountant
    if expected is not None:
        assert facts["epsilon"] == pytest.approx(expected, abs=1e-3)


def test_records_of_one_silo(hansa):
    options = (
        "--records",
        1437,
        "--batch-size",
        144,
        "--epochs",
        20,
        "--noise-multiplier",
        2,
        "--delta",
        1e-4,
    )
    facts = told(hansa, "epsilon", *options)
    assert facts["unit"] == "record"
    assert facts["rounds"] == 200
    assert facts["event"]["event"]["rate"] == pytest.approx(144 / 1437)
    assert facts["epsilon"] == pytest.approx(2.87, abs=0.01)
    text = hansa("privacy", "epsilon", *options).stdout
    assert "144 of 1,437 records" in text


def test_noise_for_a_budget(hansa):
    facts = told(hansa, "noise", "--rounds", 100, "--epsilon", 3, *FULL)
    assert facts["epsilon"] <= 3
    assert facts["epsilon"] == pytest.approx(3, abs=1e-3)
    assert facts["budget"] == {"epsilon": 3.0, "delta": 1e-5}
    text = hansa("privacy", "noise", "--rounds", 100, "--epsilon", 3, *FULL).stdout
    assert f"{facts['noise_multiplier']:g} times the clip" in text


def test_rounds_within_a_budget(hansa):
    facts = told(hansa, "rounds", "--noise-multiplier", 10, "--epsilon", 2.9433, *FULL)
    assert facts["rounds"] == 50
    assert (
        "50 rounds fit"
        in hansa("privacy", "rounds", "--noise-multiplier", 10, "--epsilon", 2.9433, *FULL).stdout
    )
    none = hansa("privacy", "rounds", "--noise-multiplier", 1, "--epsilon", 1, *FULL).stdout
    assert "Not even one round" in none
    assert told(hansa, "rounds", "--noise-multiplier", 1, "--epsilon", 1, *FULL)["rounds"] == 0


def test_a_table(hansa):
    options = ("--noise", "1,4", "--rounds", "1,100", *FULL)
    facts = told(hansa, "table", *options)
    assert [(row["noise_multiplier"], row["rounds"]) for row in facts["rows"]] == [
        (1, 1),
        (1, 100),
        (4, 1),
        (4, 100),
    ]
    assert facts["rows"][3]["epsilon"] == pytest.approx(13.2067, abs=1e-3)
    text = hansa("privacy", "table", *options).stdout
    assert "13.207" in text
    assert "zero-out" in text
    assert "each client" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("epsilon", *SAMPLED), "state --noise-multiplier"),
        (("epsilon", *SAMPLED, "--noise-multiplier", 0), "must be a number greater than 0"),
        (("epsilon", *SAMPLED, "--noise-multiplier", "nan"), "must be a number greater than 0"),
        (("epsilon", "--rounds", 9, "--noise-multiplier", 1), "state --delta"),
        (
            ("epsilon", "--rounds", 9, "--noise-multiplier", 1, "--delta", 0),
            "delta must be above 0 and below 1",
        ),
        (
            ("epsilon", "--rounds", 9, "--noise-multiplier", 1, "--delta", 1),
            "delta must be above 0 and below 1",
        ),
        (("epsilon", "--noise-multiplier", 1, *FULL), "state --rounds"),
        (("epsilon", "--noise-multiplier", 1, "--rounds", 0, *FULL), "--rounds must be a whole number"),
        (
            ("epsilon", "--noise-multiplier", 1, "--rounds", 1, "--rate", 0, *FULL),
            "rate must be a probability",
        ),
        (
            ("epsilon", "--noise-multiplier", 1, "--rounds", 1, "--rate", 1.5, *FULL),
            "rate must be a probability",
        ),
        (
            (
                "epsilon",
                "--noise-multiplier",
                1,
                "--rounds",
                1,
                "--rate",
                0.1,
                "--population",
                3500,
                "--delta",
                1e-3,
            ),
            "--delta 0.001 is above 1/3500",
        ),
        (
            (
                "epsilon",
                "--noise-multiplier",
                1,
                "--epochs",
                1,
                "--records",
                99,
                "--batch-size",
                9,
                "--delta",
                0.1,
            ),
            "one record outright",
        ),
        (("epsilon", "--noise-multiplier", 1, *SAMPLED, "--cap", 70), "goes with --rate and --population"),
        (
            ("epsilon", "--noise-multiplier", 1, *SAMPLED, "--population", 3500, "--cap", 34),
            "below the expected cohort of 35",
        ),
        (
            ("epsilon", "--noise-multiplier", 1, *SAMPLED, "--fixed-cohort", 9, "--population", 99),
            "state one",
        ),
        (
            ("epsilon", "--noise-multiplier", 1, "--rounds", 1, "--fixed-cohort", 9, *FULL),
            "needs --population",
        ),
        (
            (
                "epsilon",
                "--noise-multiplier",
                1,
                "--rounds",
                1,
                "--fixed-cohort",
                9,
                "--population",
                8,
                *FULL,
            ),
            "at most the population of 8",
        ),
        (("epsilon", "--noise-multiplier", 1, "--rounds", 1, "--records", 9, *FULL), "go together"),
        (("epsilon", "--noise-multiplier", 1, "--epochs", 1, *FULL), "--epochs goes with --records"),
        (
            ("epsilon", "--noise-multiplier", 1, *SAMPLED, "--neighbours", "zeroout"),
            "Did you mean 'zero-out'",
        ),
        (("noise", *SAMPLED), "state --epsilon"),
        (("noise", *SAMPLED, "--epsilon", 0), "epsilon must be a finite number above 0"),
        (("noise", *SAMPLED, "--epsilon", -1), "epsilon must be a finite number above 0"),
        (("rounds", *FULL, "--epsilon", 1), "state --noise-multiplier"),
        (("rounds", *FULL, "--noise-multiplier", 1), "state --epsilon"),
        (("table", *FULL, "--noise", "1;2"), "numbers with commas"),
        (("table", *FULL, "--rounds", "0,1"), "--rounds must be whole numbers"),
        (("nois", *FULL), "Did you mean 'noise'"),
    ],
)
def test_bad_input_is_told_in_one_message(wrong, arguments, message):
    assert message in " ".join(wrong("privacy", *arguments).split())


def test_without_the_extra(wrong, monkeypatch):
    monkeypatch.setitem(sys.modules, "dp_accounting", None)
    message = wrong("privacy", "epsilon", "--noise-multiplier", 1.75, "--rounds", 3, *FULL)
    assert "pip install '.[privacy]'" in message


def test_odds_beyond_all_bounds_are_no_number(hansa):
    text = hansa("privacy", "epsilon", *FULL, "--noise-multiplier", 0.01, "--rounds", 10).stdout
    assert "any number" in text
    assert not math.isnan(
        told(hansa, "epsilon", *FULL, "--noise-multiplier", 0.01, "--rounds", 10)["epsilon"]
    )
