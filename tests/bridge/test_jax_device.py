"""A worker's own device, whose programs stay in the worker's thread."""

from __future__ import annotations

import os
import sys
import types
from typing import Any

import keras
import numpy as np
import pytest

if keras.config.backend() != "jax":
    pytest.skip("devices are JAX's", allow_module_level=True)

import jax
import jax.numpy as jnp

from hansa.bridge import jax_device


def test_each_worker_has_one_device_and_keeps_it() -> None:
    first, second = jax_device.device_of(0), jax_device.device_of(1)
    assert len({id(d) for d in (first, second, jax.devices()[0])}) == 3
    assert jax_device.device_of(0) is first


def test_programs_run_on_it_and_the_common_device_stays_the_default() -> None:
    with jax.default_device(jax_device.device_of(0)):
        result = jax.jit(lambda x: x @ x.T)(np.eye(3, dtype=np.float32))
    assert result.devices() == {jax_device.device_of(0)}
    np.testing.assert_array_equal(np.asarray(result), np.eye(3))
    assert jnp.zeros(2).devices() == {jax.devices()[0]}


@pytest.mark.parametrize("before", [None, "7"])
def test_the_environment_is_as_before(monkeypatch: Any, before: str | None) -> None:
    monkeypatch.delenv("PJRT_NPROC", raising=False)
    if before is not None:
        monkeypatch.setenv("PJRT_NPROC", before)
    jax_device._own.__wrapped__(0)
    assert os.environ.get("PJRT_NPROC") == before


def test_where_jax_makes_none_workers_share_the_common_one(monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "jaxlib.xla_client", types.ModuleType("jaxlib.xla_client"))
    monkeypatch.setattr("jaxlib.xla_client", sys.modules["jaxlib.xla_client"])
    assert jax_device._own.__wrapped__(0) is None


def test_there_is_none_beside_an_accelerator(monkeypatch: Any) -> None:
    monkeypatch.setattr(jax_device, "on_cpu", lambda: False)
    assert jax_device.device_of(0) is None
