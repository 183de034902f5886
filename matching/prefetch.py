"""Ask memory for a row before it is needed: one machine instruction that changes nothing.

A batch tells what comes next, so that a table larger than the cache can be read ahead of the loop. A row
that does not exist may be asked for: nothing is read.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.extending import intrinsic

__all__ = ["prefetch", "prefetch_cell"]

_FOR_WRITING, _KEEP_IN_ALL_CACHES, _DATA = 1, 3, 1


def _plain_prefetch(rows: Any, index: int) -> None:
    """Python has no such instruction."""


def _plain_prefetch_cell(table: Any, row: int, column: int) -> None:
    """Python has no such instruction."""


def _ask_for(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    item = cgutils.get_item_pointer(
        context, builder, signature.args[0], array, list(arguments[1:]), wraparound=False, boundscheck=False
    )
    byte = ir.IntType(8).as_pointer()
    i32 = ir.IntType(32)
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(ir.VoidType(), [byte, i32, i32, i32]), "llvm.prefetch.p0"
    )
    hints = [ir.Constant(i32, hint) for hint in (_FOR_WRITING, _KEEP_IN_ALL_CACHES, _DATA)]
    builder.call(function, [builder.bitcast(item, byte), *hints])
    return context.get_dummy_value()


@intrinsic
def _compiled_prefetch(typing_context: Any, rows: Any, index: Any) -> Any:
    return types.void(rows, types.intp), _ask_for


@intrinsic
def _compiled_prefetch_cell(typing_context: Any, table: Any, row: Any, column: Any) -> Any:
    return types.void(table, types.intp, types.intp), _ask_for


prefetch = _plain_prefetch if config.DISABLE_JIT else _compiled_prefetch
prefetch_cell = _plain_prefetch_cell if config.DISABLE_JIT else _compiled_prefetch_cell
