"""Differential privacy in a round: what a client does to its update, and what the server does to the sum.

The client's half bounds an update (weight, clip) and, where its plan says so, adds noise. The server's half
adds noise where its plan says so, and divides by a number that depends on nobody's data. Plans are in
`hansa.privacy`; here they meet the integers of `hansa.encode`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from typing import cast

import numpy as np
from numpy.typing import NDArray

from hansa.data.describe import describe_array, describe_examples
from hansa.encode import clip, shortening
from hansa.encode.integers import largest_each, square_norm
from hansa.errors import UpdateError, VoidRoundError
from hansa.plan import Plan
from hansa.privacy import (
    AdaptiveClip,
    CentralDP,
    ClientLevel,
    DistributedDP,
    LocalDP,
    MatrixDP,
    RecordDP,
)
from hansa.privacy.matrix import CorrelatedNoise
from hansa.rng import Seeds
from hansa.secure_sum.tree import unusable
from hansa.types import Answer, Array, Delta, Examples, LocalTask, PrivateSteps, Reply, ServerState, Start

CLIP = "privacy.clip"
KEPT = "privacy.noise."
FINE = 24
"""A clip is at least so many steps of the grid for sums of floats, as a power of two."""
COARSER = 16
"""The same where noise is correlated, which needs room for its own grid below the steps."""
LOUD = "its noise is longer than can be proven, which has a chance below 2^-64; it abstains"


# client half
def private_steps(
    plan: Plan, client: str, rows: Examples, task: LocalTask, *, number: int, seeds: Seeds
) -> PrivateSteps:
    """Return what makes a client's local training private in a round, where single records are protected.

    The noise is keyed by the rows and by what the training starts from: a round that is played again with
    others never adds the same noise to another sum.
    """
    private = cast("RecordDP", plan.private)
    control = None if task.control is None else describe_array(task.control)
    of = [describe_examples(rows), describe_array(task.start), control, task.learning_rate]
    seen = hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()
    return PrivateSteps(
        clip_l2=float(private.clip),
        noise=private.noises[client] * private.clip,
        expected=private.rate(client) * len(rows),
        key=seeds.hidden.key("steps", client, number, seen),
        microbatch=private.microbatch,
    )


def protected(plan: Plan, client: str, reply: Reply, *, start: Start, seeds: Seeds) -> Reply:
    """Return a reply with the update weighed, clipped, and made integers and noisy where the plan says so.

    What cannot be used is dropped before anything is clipped: NaN and infinities. Where clients add noise, it
    is an update of zero with all of its noise: who is not trusted must not see which client's was dropped,
    nor whether a round is void because of one. Where the norm of noise is proven, update and noise are two
    rows, and a client with longer noise than it can prove abstains: that tells of its noise, and of nothing
    else. Drawn again, noise would be of another law than is accounted for.
    """
    private, delta = cast("ClientLevel", plan.private), reply.delta
    reason = "" if delta is None else unusable(delta)
    if delta is not None and reason and private.integers and plan.encoder is not None:
        delta, reason = Delta(vector=np.zeros(plan.update_size, np.float32), weight=1.0), ""
    if delta is None or reason:
        return dataclasses.replace(reply, delta=None, refusal=reason or reply.refusal)
    vector = delta.vector
    if not isinstance(private.weights, str):
        vector = vector * np.float32(private.weights.of(reply.examples))
    if plan.encoder is None:
        bounded = clip(vector, private.norm(start.clip_l2)).vector
        clipped = not np.array_equal(bounded, vector)
        return dataclasses.replace(reply, delta=Delta(vector=bounded, weight=1.0), clipped=clipped)
    rounding = seeds.hidden.stream("quantise", client, start.round)
    integers, clipped = plan.encoder.encode(vector, 1.0, seed=start.seed, randomness=rounding)
    if private.integers:
        # Other integers get other noise, so that a round that is played again never sends two with the same.
        seen = hashlib.sha256(np.asarray(integers, "<i8").tobytes()).digest().hex()
        key = seeds.hidden.key("noise", client, start.round, seen)
        noise, norm = _own_noise(private, len(integers), key), plan.sums.noise_norm
        if norm is None:
            most = plan.encoder.bound + private.largest_noise
            integers = np.clip(integers + noise, -most, most)
        elif largest_each(noise) > private.largest_noise or square_norm(noise) > norm * norm:
            return dataclasses.replace(reply, delta=None, refusal=LOUD)
        else:
            integers = np.stack([integers, noise])
    return dataclasses.replace(reply, delta=Delta(vector=integers, weight=1.0), clipped=clipped)


def weight_in_sum(plan: Plan, rows: int, square: float, *, start: Start) -> tuple[float, bool]:
    """Return with what weight a change enters a plain sum of floats, and whether that shortens it.

    For who adds changes up where they arise: as `protected`, but for one rounding to float32.

    Args:
        plan: The plan of the run.
        rows: Training rows of the client.
        square: The float64 sum of the squares of its change, finite.
        start: What the client was sent.

    Guarantees:
        The change times the weight has a norm of at most the clip, after all rounding (`hansa.encode.clip`).
    """
    private = cast("ClientLevel", plan.private)
    weight = 1.0 if isinstance(private.weights, str) else private.weights.of(rows)
    factor = shortening(square * weight * weight, plan.sum_size, private.norm(start.clip_l2))
    return weight * factor, factor < 1


def _own_noise(private: ClientLevel, size: int, key: bytes) -> NDArray[np.int64]:
    from hansa.privacy.noise import Source, rounded_gaussian, skellam

    if isinstance(private, LocalDP) and private.facts is not None:
        return rounded_gaussian(private.noise * private.facts.bound, size, Source(key))
    return skellam(cast("DistributedDP", private).share, size, Source(key))


# server half
def first_slots(plan: Plan) -> dict[str, Array]:
    """Return what the server keeps from round to round for the plan of privacy, as it is at the start."""
    private = plan.private
    if isinstance(private, ClientLevel) and isinstance(private.clip, AdaptiveClip):
        return {CLIP: np.asarray(private.clip.initial, np.float64)}
    if isinstance(private, MatrixDP):
        return {
            KEPT + name: array for name, array in _correlated(plan, private, *_grid(plan)).begin().items()
        }
    return {}


def clip_of(state: ServerState) -> float | None:
    """Return the norm to clip to in this round, where it adapts."""
    return float(state.slots[CLIP]) if CLIP in state.slots else None


def release(
    plan: Plan, state: ServerState, start: Start, answer: Answer, seeds: Seeds
) -> tuple[Array, Mapping[str, Array]]:
    """Return the mean that may be known, and what the server keeps for the next round.

    Nothing of it depends on how many answered, but through the sum: an empty cohort is a sum of zero, and the
    denominator is fixed.

    Args:
        plan: The plan of the run.
        state: The server's state before the round.
        start: What the clients were sent.
        answer: The engine's answer: the sum.
        seeds: The run's seeds, with the secret.

    Raises:
        VoidRoundError: If too few clients brought their shares of the noise, or the sum cannot be one.
    """
    private, count = cast("ClientLevel", plan.private), len(answer.replies)
    if isinstance(private, DistributedDP) and count < private.sharers + private.corrupt:
        raise VoidRoundError(
            f"{count} clients brought their shares of the noise; "
            f"{private.sharers + private.corrupt} are needed."
        )
    scale, bound = _grid(plan, start.clip_l2)
    total = _on_grid(plan, answer, scale)
    # Another sum gets other noise, so that a round that is played again never gives two sums with the same.
    seen = hashlib.sha256(total.data).hexdigest()
    kept: dict[str, Array] = {}
    if isinstance(private, CentralDP):
        sigma = private.noise_of_updates * bound
        total = total + _server_noise(sigma, seeds, start.round, "sum", seen, size=len(total))
    elif isinstance(private, MatrixDP):
        noise = _correlated(plan, private, scale, bound)
        fresh = _server_noise(noise.fresh_sigma, seeds, start.round, "sum", seen, size=len(total))
        before = {name[len(KEPT) :]: a for name, a in state.slots.items() if name.startswith(KEPT)}
        total, after = noise.release(before, total, fresh)
        kept = {KEPT + name: array for name, array in after.items()}
    if isinstance(private.clip, AdaptiveClip):
        kept[CLIP] = _moved(private, private.clip, start, answer, seeds)
    if plan.encoder is not None:
        return plan.encoder.decoded(total, private.expected, seed=start.seed), kept
    return total * (scale / private.expected), kept


def _grid(plan: Plan, adapted: float | None = None) -> tuple[float, float]:
    """Return the length of a step, and the most that one client changes a sum, in steps.

    A sum of floats is rounded to the grid as a whole. No coordinate moves by more than half a step, so that
    sums that differ by the clip c differ by c / step + √d. Float64 sums of n updates over a tree, with or
    without one of them, differ by less than 2 log2(n) · n · 2^-53 of the clip more: 2^-26 for n of 2^20.
    """
    if plan.encoder is not None:
        return plan.encoder.grid.scale, float(plan.encoder.grid.bound_l2)
    private = cast("ClientLevel", plan.private)
    norm = private.norm(adapted)
    # Each factor 4 in the size makes steps half as long, so that rounding adds little, whatever the size.
    finer = (plan.sum_size.bit_length() + 1) // 2
    fine = COARSER if isinstance(private, MatrixDP) else FINE
    scale = 2.0 ** (math.frexp(norm)[1] - fine - finer)
    return scale, norm / scale * (1 + 2.0**-26) + math.sqrt(plan.sum_size)


def _on_grid(plan: Plan, answer: Answer, scale: float) -> NDArray[np.int64]:
    """Return a sum as integers."""
    private, encoder = cast("ClientLevel", plan.private), plan.encoder
    if answer.total is None or not answer.replies:
        return np.zeros(plan.sum_size, np.int64)
    if encoder is None:
        return np.rint(answer.total.vector / scale).astype(np.int64)
    total = answer.total.vector.astype(np.int64)
    if not private.integers:
        try:
            encoder.check(total, len(answer.replies))
        except UpdateError as error:
            raise VoidRoundError(str(error)) from error
    return total


def _correlated(plan: Plan, private: MatrixDP, scale: float, bound: float) -> CorrelatedNoise:
    if plan.encoder is not None:
        largest = plan.encoder.bound * len(plan.clients)
    else:
        largest = math.ceil(len(plan.clients) * private.norm() / scale) + 1
    return private.noise_on(size=plan.sum_size, bound=bound, largest=largest)


def _server_noise(sigma: float, seeds: Seeds, number: int, *what: str, size: int = 0) -> NDArray[np.int64]:
    from hansa.privacy.noise import Source, rounded_gaussian

    return rounded_gaussian(sigma, size, Source(seeds.hidden.key("server noise", number, *what)))


def _moved(private: ClientLevel, adapts: AdaptiveClip, start: Start, answer: Answer, seeds: Seeds) -> Array:
    """Return the norm of the next round, from the noisy number of updates that were within this one's."""
    twice = sum(-1 if reply.clipped else 1 for reply in answer.replies.values())
    noise = 2 * adapts.noise_of_bits(private.noise, private.expected)
    noisy = twice + int(_server_noise(noise, seeds, start.round, "bits", str(twice), size=1)[0])
    return np.asarray(adapts.moved(float(start.clip_l2 or 0.0), noisy / 2, private.expected), np.float64)
