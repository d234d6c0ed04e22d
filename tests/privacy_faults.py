"""Faults to plant in the production code, one at a time."""

import dataclasses
from types import SimpleNamespace

import numpy as np

import hansa.protect
from hansa.privacy import AdaptiveClip
from hansa.types import Delta


def no_clip(monkeypatch):
    unclipped = lambda vector, norm: SimpleNamespace(vector=vector)  # noqa: E731
    monkeypatch.setattr("hansa.protect.clip", unclipped)
    monkeypatch.setattr("hansa.protect.shortening", lambda square, size, norm: 1)


def twice_the_clip(monkeypatch):
    clip, shortening = hansa.protect.clip, hansa.protect.shortening
    monkeypatch.setattr("hansa.protect.clip", lambda vector, norm: clip(vector, 2 * norm))
    monkeypatch.setattr(
        "hansa.protect.shortening", lambda square, size, norm: shortening(square, size, 2 * norm)
    )


def no_clip_of_integers(monkeypatch):
    def encode(self, vector, weight, *, seed, randomness):
        turned = hansa.encode.encoder.rotate(vector, self._rotation(seed)) if self.rotates else vector
        most = self.grid.bound_each
        return np.clip(np.rint(turned / self.grid.scale), -most, most).astype(np.int64), False

    monkeypatch.setattr("hansa.encode.Encoder.encode", encode)


def noise_over_members(monkeypatch):
    _scaled(monkeypatch, lambda plan_sigma: plan_sigma / 200)


def half_the_noise(monkeypatch):
    _scaled(monkeypatch, lambda sigma: sigma / 2)


def a_tenth_too_little(monkeypatch):
    _scaled(monkeypatch, lambda sigma: sigma * 0.9)


def _scaled(monkeypatch, change):
    real = hansa.protect._server_noise

    def noise(sigma, seeds, number, *what, size=0):
        return real(change(sigma) if what[0] == "sum" else sigma, seeds, number, *what, size=size)

    monkeypatch.setattr("hansa.protect._server_noise", noise)


def half_of_clients_noise(monkeypatch):
    real = hansa.protect._own_noise
    monkeypatch.setattr("hansa.protect._own_noise", lambda *args: real(*args) // 2)


def one_without_noise(monkeypatch):
    real, seen = hansa.protect._own_noise, []

    def noise(private, size, key):
        seen.append(key)
        return real(private, size, key) * (len(seen) != 7)

    monkeypatch.setattr("hansa.protect._own_noise", noise)


def same_noise_of_clients(monkeypatch):
    real = hansa.protect._own_noise
    monkeypatch.setattr("hansa.protect._own_noise", lambda private, size, key: real(private, size, b"k" * 32))


def same_noise_each_round(monkeypatch):
    real = hansa.protect._server_noise

    def noise(sigma, seeds, number, *what, size=0):
        return real(sigma, seeds, 0, what[0], size=size)

    monkeypatch.setattr("hansa.protect._server_noise", noise)


def unbounded_weights(monkeypatch):
    """Weights by rows, after the clip."""
    real, weigh = hansa.protect.protected, hansa.protect.weight_in_sum

    def weight_in_sum(plan, rows, square, *, start):
        weight, clipped = weigh(plan, rows, square, start=start)
        return weight * rows, clipped

    def protected(*args, **kwargs):
        reply = real(*args, **kwargs)
        if reply.delta is None:
            return reply
        return dataclasses.replace(
            reply, delta=dataclasses.replace(reply.delta, weight=float(reply.examples))
        )

    monkeypatch.setattr("hansa.client.protected", protected)
    monkeypatch.setattr("hansa.engine.crew.weight_in_sum", weight_in_sum)


def weights_of_integers(monkeypatch):
    real = hansa.protect.protected

    def protected(*args, **kwargs):
        reply = real(*args, **kwargs)
        delta = Delta(vector=reply.delta.vector * reply.examples, weight=1.0)
        return dataclasses.replace(reply, delta=delta)

    monkeypatch.setattr("hansa.client.protected", protected)


def over_survivors(monkeypatch):
    real = hansa.protect.release

    def release(plan, state, start, answer, seeds):
        mean, kept = real(plan, state, start, answer, seeds)
        return mean * plan.private.expected / max(1, len(answer.replies)), kept

    monkeypatch.setattr("hansa.round.release", release)


def nothing_of_nobody(monkeypatch):
    """An empty cohort releases no noise."""
    real = hansa.protect.release

    def release(plan, state, start, answer, seeds):
        mean, kept = real(plan, state, start, answer, seeds)
        return (mean if answer.replies else 0 * mean), kept

    monkeypatch.setattr("hansa.round.release", release)


def noise_of_the_next_clip(monkeypatch):
    release, draw = hansa.protect.release, hansa.protect._server_noise

    def with_the_next(plan, state, start, answer, seeds):
        _, kept = release(plan, state, start, answer, seeds)
        grown = float(kept[hansa.protect.CLIP]) / start.clip_l2

        def noise(sigma, seeds, number, *what, size=0):
            return draw(sigma * (grown if what[0] == "sum" else 1), seeds, number, *what, size=size)

        with monkeypatch.context() as within:
            within.setattr("hansa.protect._server_noise", noise)
            return release(plan, state, start, answer, seeds)

    monkeypatch.setattr("hansa.round.release", with_the_next)


def bits_without_noise(monkeypatch):
    real = hansa.protect._server_noise

    def noise(sigma, seeds, number, *what, size=0):
        return real(sigma, seeds, number, *what, size=size) * (what[0] != "bits")

    monkeypatch.setattr("hansa.protect._server_noise", noise)


def clip_moves_the_wrong_way(monkeypatch):
    real = AdaptiveClip.moved
    monkeypatch.setattr(
        AdaptiveClip,
        "moved",
        lambda self, norm, halves, expected: norm**2 / real(self, norm, halves, expected),
    )


def everyone_takes_part(monkeypatch):
    monkeypatch.setattr("hansa.cohort.Poisson.draw", lambda self, clients, number, seeds: clients)


def the_same_cohort_each_round(monkeypatch):
    real = hansa.cohort.Poisson.draw
    monkeypatch.setattr(
        "hansa.cohort.Poisson.draw", lambda self, clients, number, seeds: real(self, clients, 0, seeds)
    )


def no_clip_of_records(monkeypatch):
    _other_steps(monkeypatch, lambda steps: {"clip_l2": 1e12})


def half_the_noise_of_steps(monkeypatch):
    _other_steps(monkeypatch, lambda steps: {"noise": steps.noise / 2})


def same_noise_of_steps(monkeypatch):
    _other_steps(monkeypatch, lambda steps: {"key": b"k" * 32})


def _other_steps(monkeypatch, change):
    real = hansa.protect.private_steps

    def private_steps(*args, **kwargs):
        steps = real(*args, **kwargs)
        return dataclasses.replace(steps, **change(steps))

    monkeypatch.setattr("hansa.client.private_steps", private_steps)


def same_minibatches(monkeypatch):
    real = hansa.client.sampled_batches

    def sampled(rows, *, rate, steps, stream):
        return real(rows, rate=rate, steps=steps, stream=np.random.default_rng(0))

    monkeypatch.setattr("hansa.client.sampled_batches", sampled)


def all_records_each_step(monkeypatch):
    real = hansa.client.sampled_batches

    def sampled(rows, *, rate, steps, stream):
        return real(rows, rate=1.0, steps=steps, stream=stream)

    monkeypatch.setattr("hansa.client.sampled_batches", sampled)
