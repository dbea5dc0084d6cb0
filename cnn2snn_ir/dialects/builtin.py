"""Ops that belong to no level: the module itself, its inputs, and what a graph returns."""

from __future__ import annotations

from collections.abc import Iterator

from cnn2snn_ir.diagnostics import Diagnostic
from cnn2snn_ir.ir import ElementType, Graph, Op, TensorType, Value, attr, operand, operands, region


class Module(Op, name="builtin.module", results=0, pure=False):
    """A whole program: one graph, its name, and (as annotations) where it came from."""

    sym_name: str = attr("Name of the model.")
    body: Graph = region("The ops, inputs first, one `builtin.return` last.")

    def infer(self) -> tuple[TensorType, ...]:
        return ()

    def verify(self) -> Iterator[Diagnostic]:
        yield from missing_return(self, self.body)
        yield from memory_faults(self)

    @property
    def states(self) -> list[State]:
        """What the program remembers between calls."""
        return [op for op in self.body.walk() if isinstance(op, State)]

    @property
    def inputs(self) -> list[Input]:
        """The graph inputs in order."""
        return [op for op in self.body if isinstance(op, Input)]

    @property
    def terminator(self) -> Return:
        """The return op; raises ValueError in an unfinished module."""
        last = self.body.last
        if not isinstance(last, Return):
            raise ValueError("the module does not end in builtin.return")
        return last

    @property
    def outputs(self) -> tuple[Value, ...]:
        """The values that the module returns."""
        return self.terminator.operands


class Input(Op, name="builtin.input", pure=False):
    """A tensor given from outside; the batch dimension comes first and is known at run time only."""

    shape: tuple[int, ...] = attr("Shape of one sample.", minimum=1)
    element: ElementType = attr("Element type.")

    def infer(self) -> tuple[TensorType, ...]:
        return (TensorType((None, *self.shape), self.element),)


class State(Op, name="builtin.state", pure=False):
    """What a stream remembers from its last call; zeros at the first.  `builtin.store` sets it for the next."""

    sym_name: str = attr("Name of the memory, one `builtin.state` and one `builtin.store` each.")
    shape: tuple[int, ...] = attr("Shape for one sample.", minimum=1)
    element: ElementType = attr("Element type.")

    def infer(self) -> tuple[TensorType, ...]:
        return (TensorType((None, *self.shape), self.element),)


class Store(Op, name="builtin.store", results=0, pure=False):
    """What a stream remembers for its next call."""

    value: Value = operand("The new contents, of the memory's type.")
    sym_name: str = attr("Name of the memory.")

    def infer(self) -> tuple[TensorType, ...]:
        return ()


class Return(Op, name="builtin.return", results=0, pure=False):
    """The results of the graph around it; always its last op."""

    values: tuple[Value, ...] = operands("What is returned.")

    def infer(self) -> tuple[TensorType, ...]:
        return ()


def memory_faults(module: Module) -> Iterator[Diagnostic]:
    """Every memory has one `builtin.state` and one `builtin.store`, of one type."""
    read: dict[str, list[TensorType]] = {}
    written: dict[str, list[TensorType]] = {}
    for op in module.body.walk():
        if isinstance(op, State):
            read.setdefault(op.sym_name, []).append(op.result.type)
        elif isinstance(op, Store):
            written.setdefault(op.sym_name, []).append(op.value.type)
    for name in dict.fromkeys([*read, *written]):
        states, stores = read.get(name, []), written.get(name, [])
        if len(states) != 1 or states != stores:
            found = f"states {', '.join(map(str, states)) or 'none'}; stores {', '.join(map(str, stores)) or 'none'}"
            message = f"the memory {name} needs one builtin.state and one builtin.store of its type"
            yield Diagnostic("IR-STATE", message, found=found)


def missing_return(op: Op, graph: Graph) -> Iterator[Diagnostic]:
    """A fault if `graph` does not end in `builtin.return`."""
    if not isinstance(graph.last, Return):
        yield Diagnostic(
            "IR-RETURN",
            "a graph must end in builtin.return",
            where=op.op_name,
            found=graph.last.op_name if graph.last is not None else "no op at all",
        )
