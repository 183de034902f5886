"""Lowest and highest set bit of a 64-bit word: one machine instruction each when compiled.

The occupied prices of the ladder are bits; the next best price is the nearest set bit.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import config
from numba.extending import intrinsic

__all__ = ["highest_bit", "lowest_bit"]


def _plain_lowest_bit(word: Any) -> int:
    word = int(word)
    return int(word & -word).bit_length() - 1


def _plain_highest_bit(word: Any) -> int:
    return int(word).bit_length() - 1


@intrinsic
def _compiled_lowest_bit(typing_context: Any, word: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), codegen


@intrinsic
def _compiled_highest_bit(typing_context: Any, word: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        leading_zeros = builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 1))
        return builder.sub(ir.Constant(ir.IntType(64), 63), leading_zeros)

    return types.int64(types.uint64), codegen


# A word of zero has no set bit; callers ask only of words that are not zero.
lowest_bit = _plain_lowest_bit if config.DISABLE_JIT else _compiled_lowest_bit
highest_bit = _plain_highest_bit if config.DISABLE_JIT else _compiled_highest_bit
