"""What a server can see in an update: pictures rebuilt from raw, clipped, noisy and summed gradients.

A hundred people keep one handwritten digit each and send the gradient of a small network, in real rounds of
Hansa. The page ``gradient_inversion.html`` shows what a curious server rebuilds. Needs scikit-learn,
dp-accounting and cryptography (pip install '.[sklearn,privacy]' in a clone of Hansa).

    python examples/gradient_inversion.py                      # sums added in the clear: the same bits
    python examples/gradient_inversion.py --secure-sum sealed  # sums by the real protocol (extra secure)

Source:
    Phong, Aono, Hayashi, Wang, Moriai 2017, Privacy-Preserving Deep Learning via Additively Homomorphic
    Encryption, section 3: the gradient of a first dense layer is its input times a number for each unit, and
    the gradient of the unit's bias is that number. Zhu, Liu, Han 2019, Deep Leakage from Gradients, attack
    other layers. Boenisch et al. 2023, When the Curious Abandon Honesty, single rows out of a whole batch.
"""

from __future__ import annotations

import argparse
import dataclasses
from dataclasses import dataclass, field

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

import hansa
from hansa.engine import Declared
from hansa.report import Picture, hero, picture_table, section, sheet, write_page
from hansa.report.markup import Child, Html, join, tag
from hansa.report.tables import Column, table

CLIENTS, SIDE, UNITS, CLIP, NOISE = 100, 8, 64, 1.0, 1.0
Array = NDArray[np.float64]


def build() -> keras.Model:
    """Return a network of one hidden layer, as in many a first example."""
    layers = [keras.layers.Dense(UNITS, activation="relu"), keras.layers.Dense(10, activation="softmax")]
    model = keras.Sequential([keras.Input((SIDE * SIDE,)), *layers])
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    return model


# ---------------------------------------------------------------------- what the server sees


@dataclass
class Wiretap(Declared):
    """The local engine, and a copy of what it hands to the server: each client's update as it arrives."""

    seen: dict[str, Array] = field(default_factory=dict)

    def start(self, *run, **known):  # noqa: D102
        engine = hansa.Local().start(*run, **known)
        answer = engine.answer

        def listen(ask):
            heard = answer(dataclasses.replace(ask, reduce="keep"))
            if ask.phase == "train" and ask.place is None:
                self.seen = {name: reply.delta.vector for name, reply in heard.replies.items()}
            return heard

        engine.answer = listen
        return engine


@dataclass(frozen=True, kw_only=True)
class View:
    """What one round lets the server see.

    Attributes:
        layers: The part of each client's update that is about the first layer: gradients of kernel and bias.
            Of a sum there is one.
        epsilon: The privacy loss of the round, or None where nothing bounds it.
    """

    layers: list[tuple[Array, Array]]
    epsilon: float | None


def look(x: Array, y: Array, *, summed: bool, **settings) -> View:
    """Run one round of FedSGD with these settings, and return what the server saw."""
    wiretap, everyone = Wiretap(), {f"person {i}": (x[i : i + 1], y[i : i + 1]) for i in range(len(x))}
    algorithm = hansa.FedSGD(learning_rate=1.0)
    federation = hansa.Federation(
        build, everyone, algorithm=algorithm, aggregate="uniform", engine=wiretap, seed=1, **settings
    )
    federation.prepare()
    layout, before = federation.learner.layout(), federation.learner.initial_weights().astype(np.float64)
    federation.fit(rounds=1, clients_validate="none")
    # A sum is read off the model: it moved by the mean of the updates. Scale does not matter to the attack.
    vectors = [federation.weights - before] if summed else [wiretap.seen[name] for name in everyone]
    layers = [tuple(a.astype(np.float64) for a in layout.unflatten(vector)[:2]) for vector in vectors]
    epsilon = federation.guarantee().epsilon if "privacy" in settings else None
    return View(layers=layers, epsilon=epsilon)


# ---------------------------------------------------------------------- the attack


def guesses(kernel: Array, bias: Array) -> Array:
    """Return every picture that the attack reads out of an update: one of all units together, one of each.

    Of one example, ``dL/dkernel[:, j] = x · dL/dbias[j]``: the first divided by the second is x, exactly. All
    units together are a matrix of rank one, whose best fit is the guess that noise disturbs least.

    Args:
        kernel: ``dL/dkernel`` times any number, shape ``(pixels, units)``.
        bias: ``dL/dbias`` times the same number, shape ``(units,)``.

    Returns:
        Pictures, shape ``(guesses, pixels)``, from 0 to 1.
    """
    joint = np.vstack([kernel, bias])
    best = np.linalg.eigh(joint @ joint.T)[1][:, -1]
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.column_stack([best[:-1] / best[-1], kernel / bias])
    return each[:, np.isfinite(each).all(axis=0)].T.clip(0.0, 1.0)


def psnr(pictures: Array, original: Array) -> Array:
    """Return the peak signal-to-noise ratio of pictures with a peak of 1, in dB; 200 at most."""
    return -10 * np.log10(np.maximum(((pictures - original) ** 2).mean(axis=-1), 1e-20))


@dataclass(frozen=True, kw_only=True)
class Result:
    """What the attack got out of one way of sending.

    Attributes:
        pictures: The guess nearest to each client's picture, judged with the original at hand, shape
            ``(clients, pixels)``.
        near: Its PSNR in dB, shape ``(clients,)``.
        single: PSNR of the one guess that needs no choosing, shape ``(clients,)``.
        epsilon: The privacy loss, or None where nothing bounds it.
    """

    pictures: Array
    near: Array
    single: Array
    epsilon: float | None = None

    def row(self) -> list[str]:
        """Return the numbers for a table."""
        told = [f"{np.median(self.single):.1f}", f"{np.median(self.near):.1f}", f"{self.near.max():.1f}"]
        return [*told, "none" if self.epsilon is None else f"{self.epsilon:.1f}"]


def attack(view: View, originals: Array) -> Result:
    """Rebuild every client's picture from what the server saw."""
    tries = [guesses(kernel, bias) for kernel, bias in view.layers]
    tries = tries * (len(originals) // len(tries))
    nearness = [psnr(tried, original) for tried, original in zip(tries, originals, strict=True)]
    return Result(
        pictures=np.array([tried[np.argmax(db)] for tried, db in zip(tries, nearness, strict=True)]),
        near=np.array([db.max() for db in nearness]),
        single=np.array([db[0] for db in nearness]),
        epsilon=view.epsilon,
    )


# ---------------------------------------------------------------------- five ways to send


PLAIN, CLIPPED, AT_HOME, SUMMED, INSIDE, BLIND = (
    "Plain update",
    "Clipped",
    "Clipped, noise added at home",
    f"Sum of {CLIENTS}",
    f"Sum of {CLIENTS}, noise inside",
    "No update at all",
)


def measure(secure_sum: str = "plain") -> tuple[Array, dict[str, Result]]:
    """Run all rounds and attack each; return the originals, and the results with a blind guess at the end."""
    x, y = load_digits(return_X_y=True)
    x = x / 16
    mine, labels = x[:CLIENTS], y[:CLIENTS]
    clipped = hansa.Quantise(clip=CLIP)
    noisy = {"rounds": 1, "noise_multiplier": NOISE, "clip": CLIP}
    at_home, inside = hansa.privacy.LocalDP(**noisy), hansa.privacy.DistributedDP(**noisy)
    ways = {
        PLAIN: {"summed": False},
        CLIPPED: {"summed": False, "quantise": clipped},
        AT_HOME: {"summed": False, "privacy": at_home},
        SUMMED: {"summed": True, "quantise": clipped, "secure_sum": secure_sum},
        INSIDE: {"summed": True, "privacy": inside, "secure_sum": secure_sum},
    }
    sent = mine.astype("float32")
    results = {name: attack(look(sent, labels, **way), mine) for name, way in ways.items()}
    others = np.array([x[CLIENTS:][y[CLIENTS:] == label].mean(axis=0) for label in labels])
    blind = psnr(others, mine)
    return mine, {**results, BLIND: Result(pictures=others, near=blind, single=blind)}


# ---------------------------------------------------------------------- the page


def page(originals: Array, results: dict[str, Result], secure_sum: str) -> str:
    """Return the page: pictures of two people, what they mean, all numbers, and what is not shown."""
    top = hero(
        "Gradient inversion",
        join(
            [
                "Nobody sent a picture, and yet ",
                tag("em", "the server has it"),
                ": plain and clipped updates give it back.",
            ]
        ),
        f"{CLIENTS} people keep one handwritten digit each and send what a small network learned from it. "
        "These are the pictures that a curious server gets out of what it sees, in five real rounds of "
        "Hansa, each with another way of sending.",
        pictures(originals, results),
    )
    return sheet(
        "What an update gives away",
        "What an update gives away",
        top,
        section("What each column means", "", tag("ul", *meanings(results, secure_sum), class_="grid")),
        section("All hundred people", "", numbers(results)),
        section("How the attack works", HOW),
        section("What this page does not show", "", caution()),
    )


def pictures(originals: Array, results: dict[str, Result]) -> Html:
    """Return originals and what was rebuilt, side by side."""
    total = results[SUMMED].near
    people = {
        "A typical person": int(np.argsort(total)[len(total) // 2]),
        "The person most exposed by the sum": int(total.argmax()),
    }
    rows = []
    for name, i in people.items():
        row = [Picture(pixels=originals[i].reshape(SIDE, SIDE), about="original")]
        for result in results.values():
            pixels, db = result.pictures[i].reshape(SIDE, SIDE), result.near[i]
            row.append(Picture(pixels=pixels, about=f"{db:.0f} dB", warns=bool(db > 40)))
        rows.append((name, row))
    caption = "Originals, and what the server rebuilt from each way of sending"
    note = (
        "Below each picture: how near it is to the original (PSNR in decibels). Above 40 dB, in colour, no "
        "eye sees a difference."
    )
    columns = ["What the person has", *results]
    return join([picture_table(columns, rows, caption=caption), tag("p", note, class_="note")])


def meanings(results: dict[str, Result], secure_sum: str) -> list[Html]:
    """Return a few sentences on each column, for people who know nothing of the field."""
    at_home, total, inside = results[AT_HOME], results[SUMMED], results[INSIDE]
    clear = (
        "Here the sum was added in the clear: it is, bit for bit, what a secure sum opens; --secure-sum "
        "sealed runs the protocol."
    )
    whole = (
        "Not everybody is: one unit of this network answered to one person’s picture only, and the sum holds "
        f"that picture whole ({total.near.max():.0f} dB). "
    )
    protocol = f"Here by the secure sum “{secure_sum}”."
    said = {
        PLAIN: "The update is the picture in other numbers. One division gives it back, pixel by pixel.",
        CLIPPED: "Clipping makes a large update shorter, as turning down the volume does with a song. It is "
        "still the same song: clipping alone protects nobody. It is there so that noise can be measured "
        "against it.",
        AT_HOME: "Each person adds noise before anything leaves the device (LocalDP, noise as large as the "
        f"clip in every number, ε = {at_home.epsilon:.1f} for this round). What is rebuilt is snow, for "
        "everybody. The model pays for it: it needs very many people before it learns anything.",
        SUMMED: "The server sees all updates added up, and no single one. Most people are lost in the crowd: "
        f"{np.median(total.near):.0f} dB, where the digit alone gives {np.median(results[BLIND].near):.0f}. "
        f"{whole if total.near.max() > 40 else ''}A crowd is no promise. "
        f"{clear if secure_sum == 'plain' else protocol}",
        INSIDE: "Each person adds a small share of noise, and only the noisy sum can be seen (DistributedDP, "
        f"ε = {inside.epsilon:.1f} for this round). Together it is about as much as one person alone adds "
        "at home, about a tenth of what all of them add there. Whom the sum exposed is hidden like all "
        f"others: at most {inside.near.max():.0f} dB for anybody.",
        BLIND: "For comparison: the average of the same digit, written by other people. A picture that is no "
        "nearer than this one tells which digit it is, and no more.",
    }
    return [tag("li", tag("h3", name), tag("p", text)) for name, text in said.items()]


def numbers(results: dict[str, Result]) -> Html:
    """Return the table of all ways of sending."""
    heads = ["One guess, typical (dB)", "Best guess, typical (dB)", "Best guess, most exposed (dB)", "ε"]
    columns = [Column(title="Way of sending", numeric=False), *(Column(title=head) for head in heads)]
    rows: list[list[Child]] = [[name, *result.row()] for name, result in results.items()]
    note = (
        f"Typical is the median of {CLIENTS} people. The attack makes {UNITS + 1} guesses at most: one fits "
        "all units together, and each unit gives one more. The best is chosen with the original at hand, "
        "which helps the attacker more than life would. 200 dB stands for every bit right. ε bounds what "
        "anyone can learn about a person, by this attack or any other, but for a chance of 1 in 100,000; "
        "smaller is better. With noise at home it compares with any other picture in this one’s place, with "
        f"noise inside with none. Clip {CLIP:g}, noise multiplier {NOISE:g}, one round."
    )
    shown = table(columns, rows, caption="Nearness to the original, and the promise", quiet=True)
    return tag("div", shown, tag("p", note, class_="note"))


HOW = (
    "The first layer multiplies each pixel by a weight. By the chain rule the gradient of such a weight is "
    "the pixel times one number for its unit, and that very number is the gradient of the unit’s bias, which "
    "is sent as well. The one divided by the other is the pixel: no training, no search, no access to the "
    "device. Phong et al. 2017 described it; Zhu et al. 2019 showed that other networks give pictures away "
    "too, with more work; Boenisch et al. 2023 took single rows out of whole batches."
)


def caution() -> Html:
    """Return what must not be concluded."""
    points = {
        "Blurred is not proven safe.": "Another attack may see more than this simple one. Only where there "
        "is an ε is every attack bounded, and an ε as large as here is a weak bound, which adds up over "
        "rounds.",
        "A sum of few hides little, and so does one of people who are alike.": "Who knows all others in a "
        "sum subtracts them; the average of people who write alike is what each of them writes.",
        "This server is curious and does not cheat.": "One that chooses the weights itself can make many "
        "units that answer to one person each, and expose many people of a sum. Noise inside the sum holds "
        "against that too.",
        "One picture each is the easiest case.": "An average over many rows is harder to take apart. How "
        "much harder depends on the data, and is no promise either.",
    }
    items = [tag("li", tag("b", head), " ", body) for head, body in points.items()]
    return tag("div", tag("ul", *items), class_="caution", role="note")


def main() -> None:
    """Attack all ways of sending, print a table and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--secure-sum", choices=("plain", "sealed", "masking"), default="plain")
    parser.add_argument("--out", default="gradient_inversion.html")
    asked = parser.parse_args()
    originals, results = measure(asked.secure_sum)
    print(f"{'PSNR in dB':30}{'one guess':>12}{'best guess':>12}{'most exposed':>14}{'epsilon':>9}")
    for name, result in results.items():
        single, best, most, epsilon = result.row()
        print(f"{name:30}{single:>12}{best:>12}{most:>14}{epsilon:>9}")
    print("pictures:", write_page(page(originals, results, asked.secure_sum), asked.out))


if __name__ == "__main__":
    main()
