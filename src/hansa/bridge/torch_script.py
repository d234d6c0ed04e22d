"""From a traced PyTorch step to a script that runs many steps without Python."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.fx.node import map_arg

aten = torch.ops.aten
_NODE: Any = torch.fx.Node
_ALIASES = (aten.detach.default, aten.alias.default, aten.lift_fresh_copy.default)
_LIKE = (aten.ones_like.default, aten.zeros_like.default, aten.full_like.default)
_ANY_LAYOUT = (aten.max_pool2d_with_indices.default, aten.max_pool2d_with_indices_backward.default)
_FOLD = 1024  # numbers in a constant that a script keeps rather than makes again
_IN_PLACE = {aten.add.Tensor: aten.add_.Tensor, aten.sub.Tensor: aten.sub_.Tensor}


def compile_trace(traced: Any, *, leaves: int, masked: bool) -> Callable[..., Any]:
    """Return a function that runs a trace outside of Python's global lock.

    Args:
        traced: A graph of ATen operations on a batch's tensors, masks and state, in this order, which writes
            to the state.
        leaves: Number of the batch's tensors. With 0 the trace has an output and runs once; else it runs
            for each row of indices, on the rows of the data that these number.
        masked: Whether there is a mask.

    Returns:
        ``run(indices, masks, data, state, noise)``.
    """
    _simplify(traced)
    names: dict[Any, str] = {}
    head, lines, constants = [], [], []
    for node in traced.graph.nodes:
        names[node] = f"n{len(names)}"
        place = len(names) - 1
        if node.op == "placeholder" and place < leaves:
            lines.append(f"{names[node]} = torch.ops.aten.index_select(data[{place}], 0, indices[i])")
        elif node.op == "placeholder" and place < leaves + masked:
            lines.append(f"{names[node]} = masks[i]")
        elif node.op == "placeholder":
            head.append(f"{names[node]} = state[{place - leaves - masked}]")
        elif node.op == "get_attr":
            head.append(f"{names[node]} = constants[{len(constants)}]")
            constants.append(functools.reduce(getattr, node.target.split("."), traced).detach())
        elif node.op == "call_function":
            lines += _lines(node, names)
        elif isinstance(node.args[0], torch.fx.Node):
            lines.append(f"return {names[node.args[0]]}")
    lists = ("data", "state", "constants")
    source = [
        f"def run(indices, masks, {', '.join(f'{name}: List[Tensor]' for name in lists)}, noise: Generator):",
        *(f"    {line}" for line in head),
        "    for i in range(indices.size(0)):" if leaves else "    if True:",
        *(f"        {line}" for line in lines),
        "",
    ]
    run = torch.jit.CompilationUnit("\n".join(source)).run
    return lambda indices, masks, data, state, noise: run(indices, masks, data, state, constants, noise)


def _lines(node: Any, names: dict[Any, str]) -> list[str]:
    if node.target is operator.getitem:
        return [f"{names[node]} = {names[node.args[0]]}[{node.args[1]}]"]
    if node.target in (float, operator.neg):
        return [f"{names[node]} = {'-' if node.target is operator.neg else 'float'}({names[node.args[0]]})"]
    name, schema = node.target._schema.name.replace("::", "."), node.target._schema
    if schema.is_mutable and isinstance(node.args[0], (list, tuple)):
        # TorchScript does not see what is written through a list, and would leave it out.
        if not name.startswith("aten._foreach_"):
            raise TypeError(f"the traced operation {name} writes to a list of tensors")
        single, members = name.replace("_foreach_", ""), node.args[0]
        rows = zip(
            *(a if isinstance(a, (list, tuple)) else [a] * len(members) for a in node.args), strict=True
        )
        return [f"torch.ops.{single}({_arguments(row, node.kwargs, names)})" for row in rows]
    kwargs = {k: v for k, v in node.kwargs.items() if k != "pin_memory"}
    arguments = _arguments(node.args, kwargs, names)
    if torch.Tag.nondeterministic_seeded in node.target.tags:
        arguments += ", generator=noise"
    return [f"{names[node]} = torch.ops.{name}({arguments})"]


def _arguments(args: Any, kwargs: dict[str, Any], names: dict[Any, str]) -> str:
    return ", ".join(
        [*(_literal(a, names) for a in args), *(f"{k}={_literal(v, names)}" for k, v in kwargs.items())]
    )


def _literal(value: Any, names: dict[Any, str]) -> str:
    if isinstance(value, torch.fx.Node):
        return names[value]
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_literal(v, names) for v in value)}]"
    if isinstance(value, float):
        return repr(value) if np.isfinite(value) else f'float("{value}")'
    if value is None or isinstance(value, (bool, int, str)):
        return repr(value)
    if isinstance(value, (torch.dtype, torch.layout, torch.memory_format)):
        return str(value)
    if isinstance(value, torch.device):
        return f'torch.device("{value}")'
    raise TypeError(f"a traced operation has an argument {value!r} that a script cannot hold")


def _simplify(traced: Any) -> None:
    """Fold what does not depend on inputs, and write updates in place."""
    graph = traced.graph
    written = _written(graph)
    constants: dict[Any, Any] = {}
    for node in list(graph.nodes):
        if node.op == "get_attr" and node not in written:
            constants[node] = functools.reduce(getattr, node.target.split("."), traced).detach()
        elif node.op == "call_function" and node.target in _ALIASES and node not in written:
            node.replace_all_uses_with(node.args[0])
        elif _foldable(node, constants, written):
            constants[node] = _value(node, constants)
    for position, (node, value) in enumerate(constants.items()):
        if node.op == "call_function":
            traced.register_buffer(f"_folded{position}", value)
            with graph.inserting_before(node):
                node.replace_all_uses_with(graph.get_attr(f"_folded{position}"))
    for node in graph.nodes:
        if node.target is aten.copy_.default:
            node.replace_all_uses_with(node.args[0])
    graph.eliminate_dead_code()
    for node in list(graph.nodes):
        if node.target is aten.copy_.default:
            _write_in_place(graph, node, written)
        elif node.target is aten.clone.default:
            _skip_copy(node, written)
        elif node.target is aten.add.Tensor:
            _join_bias(graph, node)
    graph.eliminate_dead_code()


def _written(graph: Any) -> set[Any]:
    """Return all nodes whose memory may be changed by an operation in place."""
    found: list[Any] = []
    for node in graph.nodes:
        schema = getattr(node.target, "_schema", None)
        if schema is not None and schema.is_mutable:
            map_arg(node.args[0], found.append)
    seen: set[Any] = set()
    while found:
        node = found.pop()
        if node not in seen:
            seen.add(node)
            found += node.all_input_nodes
    return seen


def _foldable(node: Any, constants: dict[Any, Any], written: set[Any]) -> bool:
    if node.op != "call_function" or node in written or not isinstance(node.target, torch._ops.OpOverload):
        return False
    if node.target._schema.is_mutable or torch.Tag.nondeterministic_seeded in node.target.tags:
        return False
    if node.target in _LIKE:
        return node.meta["val"].numel() <= _FOLD
    return isinstance(node.meta.get("val"), torch.Tensor) and all(
        n in constants for n in node.all_input_nodes
    )


def _value(node: Any, constants: dict[Any, Any]) -> Any:
    like = node.target in _LIKE

    def given(argument: Any) -> Any:
        value = argument.meta["val"]
        return (
            torch.empty(value.shape, dtype=value.dtype, device=value.device) if like else constants[argument]
        )

    args, kwargs = map_arg((node.args, node.kwargs), given)
    return node.target(*args, **kwargs)


def _skip_copy(node: Any, written: set[Any]) -> None:
    """Leave out a copy that only changes the order in memory for operations that take any order."""
    if not _moves(node.args[0], written) and all(user.target in _ANY_LAYOUT for user in node.users):
        node.replace_all_uses_with(node.args[0])


def _write_in_place(graph: Any, copy: Any, written: set[Any]) -> None:
    """Turn ``p.copy_(p - c * rate)`` into ``p.sub_(c, alpha=rate)``, without tensors in between."""
    target, change = copy.args[0], copy.args[1]
    if not isinstance(change, _NODE) or change.target not in _IN_PLACE or copy.kwargs or change.kwargs:
        return
    same = isinstance(change.args[1], _NODE) and _like(change, target)
    if change.args[0] is not target or change is not copy.prev or len(change.users) > 1 or not same:
        return
    amount, rate = change.args[1], None
    with graph.inserting_before(copy):
        if _is_scaled(amount, target) and not any(_moves(a, written) for a in amount.args):
            amount, rate = amount.args[0], graph.call_function(float, (amount.args[1],))
        if rate is None:
            graph.call_function(_IN_PLACE[change.target], (target, amount))
        elif (
            amount.target is aten.mm.default
            and len(amount.users) == 1
            and not any(_moves(a, written) for a in amount.args)
        ):
            rate = rate if change.target is aten.add.Tensor else graph.call_function(operator.neg, (rate,))
            graph.call_function(aten.addmm_.default, (target, *amount.args), {"alpha": rate})
        else:
            graph.call_function(_IN_PLACE[change.target], (target, amount), {"alpha": rate})
    graph.erase_node(copy)


def _join_bias(graph: Any, node: Any) -> None:
    """Turn ``mm(a, b) + bias`` into ``addmm(bias, a, b)``."""
    product, bias = node.args
    if isinstance(bias, _NODE) and product.target is aten.mm.default and len(product.users) == 1:
        value = bias.meta["val"]
        if (
            value.dim() == 1
            and value.dtype == product.meta["val"].dtype
            and not node.kwargs
            and product.next is node
        ):
            with graph.inserting_before(node):
                joined = graph.call_function(aten.addmm.default, (bias, *product.args))
            joined.meta = node.meta
            node.replace_all_uses_with(joined)


def _like(one: Any, other: Any) -> bool:
    a, b = one.meta["val"], other.meta["val"]
    return a.shape == b.shape and a.dtype == b.dtype


def _is_scaled(amount: Any, target: Any) -> bool:
    """Whether this is a tensor like the target times a float32 scalar, needed for nothing else."""
    if amount.target is not aten.mul.Tensor or len(amount.users) > 1:
        return False
    if not all(isinstance(a, _NODE) for a in amount.args):
        return False
    rate = amount.args[1].meta["val"]
    return _like(amount.args[0], target) and rate.dim() == 0 and rate.dtype == torch.float32


def _moves(node: Any, written: set[Any]) -> bool:
    """Whether a value may be another one later on, since it shares memory with something that is written."""
    while node.target is operator.getitem or (
        isinstance(node.target, torch._ops.OpOverload)
        and any(r.alias_info for r in node.target._schema.returns)
    ):
        node = node.args[0]
    return node in written
