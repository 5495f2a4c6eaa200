"""Expressions over the columns of a table: which rows to take, and columns made from others.

    loss < 4 and train_set == 'c4'          a condition, one truth per row
    N_Mi_params * 1048576                   a column
    `val/loss` > 0                          a name that is no word stands in backquotes

Numbers, strings, names, + - * / **, == != < <= > >=, in, not in, and, or, not and parentheses; all
else is refused. The expression is parsed to a syntax tree that is walked here: nothing is executed.

A cell that is no number takes no part in arithmetic, and compares false with any number but for !=.

Axes: M rows.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy import ndarray

LONGEST = 2000  # characters of an expression
ALLOWED = (
    "write it from numbers, 'strings', column names (in backquotes where a name is no word), "
    "+ - * / **, == != < <= > >=, in, and, or, not and parentheses"
)

ARITHMETIC: dict[type, Callable[[ndarray, ndarray], ndarray]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Pow: np.power,
}
COMPARE: dict[type, Callable[[ndarray, ndarray], ndarray]] = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
}


@dataclass(frozen=True)
class Cells:
    """One column: the text of each cell [M], and its number, NaN where it is none [M]."""

    text_M: ndarray
    number_M: ndarray


Value = Cells | str | ndarray | np.floating | np.bool_


@dataclass(frozen=True)
class Expression:
    """An expression as it was written, its tree, and the columns that it names."""

    text: str
    tree: ast.expr
    names: tuple[str, ...]

    def truth(self, columns: Mapping[str, Cells], n_M: int) -> ndarray:
        """Where the condition holds [M].

        Raises:
            ValueError: it names a column that is not there, or is no condition.
        """
        value = self._value(columns)
        if not _is_condition(value):
            raise ValueError(
                f"expression {self.text!r}: expected a condition such as loss < 4; got a value"
            )
        return np.broadcast_to(np.asarray(value), n_M)

    def numbers(self, columns: Mapping[str, Cells], n_M: int) -> ndarray:
        """The numbers that it gives [M], NaN where a cell is none.

        Raises:
            ValueError: it names a column that is not there, or gives no numbers.
        """
        value = self._value(columns)
        if _is_condition(value):
            raise ValueError(f"expression {self.text!r}: expected numbers; got a condition")
        try:
            return np.broadcast_to(_number(value), n_M).astype(float)
        except ValueError as error:
            raise self._wrong(str(error)) from None

    def _value(self, columns: Mapping[str, Cells]) -> Value:
        missing = [name for name in self.names if name not in columns]
        if missing:
            raise ValueError(
                f"expression {self.text!r}: there is no column {', '.join(missing)}; there are "
                f"{', '.join(columns)}; a name that is no word stands in backquotes"
            )
        try:
            with np.errstate(all="ignore"):
                return _value(self.tree, columns)
        except (ValueError, OverflowError, RecursionError) as error:
            raise self._wrong(str(error)) from None

    def _wrong(self, why: str) -> ValueError:
        return ValueError(f"expression {self.text!r}: {why}; {ALLOWED}")


def parse(text: str) -> Expression:
    """The tree of an expression.

    Raises:
        ValueError: it cannot be parsed.
    """
    quoted: dict[str, str] = {}

    def stand_in(found: re.Match[str]) -> str:
        word = f"_quoted_{len(quoted)}_"
        quoted[word] = found[1]
        return word

    plain = re.sub("`([^`]*)`", stand_in, text)
    try:
        if len(text) > LONGEST:
            raise ValueError(f"it has more than {LONGEST} characters")
        tree = ast.parse(plain.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        why = error.msg if isinstance(error, SyntaxError) else str(error)
        shown = text if len(text) <= LONGEST else f"{text[:50]}..."
        raise ValueError(f"expression {shown!r}: {why}; {ALLOWED}") from None
    named = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    for node in named:
        node.id = quoted.get(node.id, node.id)
    return Expression(text, tree, tuple(dict.fromkeys(node.id for node in named)))


def _value(node: ast.expr, columns: Mapping[str, Cells]) -> Value:
    """What a piece of the tree gives, for all rows at once."""
    match node:
        case ast.Name(id=name):
            return columns[name]
        case ast.Constant(value=str() | int() | float() as value):
            return value if isinstance(value, str) else np.float64(value)
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return np.negative(_number(_value(inner, columns)))
        case ast.UnaryOp(op=ast.Not(), operand=inner):
            return np.logical_not(_condition(_value(inner, columns)))
        case ast.BoolOp(op=op, values=parts):
            join = np.logical_and if isinstance(op, ast.And) else np.logical_or
            return reduce(join, (_condition(_value(part, columns)) for part in parts))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in ARITHMETIC:
            sides = (_number(_value(side, columns)) for side in (left, right))
            return ARITHMETIC[type(op)](*sides)
        case ast.Compare(left=left, ops=ops, comparators=rest):
            pairs = zip([left, *rest[:-1]], ops, rest, strict=True)
            return reduce(np.logical_and, (_compare(*pair, columns) for pair in pairs))
    raise ValueError(f"{ast.unparse(node)!r} is not allowed")


def _compare(
    left: ast.expr, op: ast.cmpop, right: ast.expr, columns: Mapping[str, Cells]
) -> ndarray:
    if isinstance(op, ast.In | ast.NotIn):
        if not isinstance(right, ast.Tuple | ast.List):
            raise ValueError(f"{ast.unparse(right)!r} is no list to look in")
        each = [_compare(left, ast.Eq(), item, columns) for item in right.elts]
        found = reduce(np.logical_or, each, np.zeros(1, bool))
        return found if isinstance(op, ast.In) else np.logical_not(found)
    if type(op) not in COMPARE:
        raise ValueError("is and is not compare nothing here: use ==")
    sides = [_value(side, columns) for side in (left, right)]
    if any(isinstance(side, str) for side in sides):
        if not isinstance(op, ast.Eq | ast.NotEq):
            raise ValueError("a string can only be compared by ==, != or in")
        return COMPARE[type(op)](*(_text(side) for side in sides))
    return COMPARE[type(op)](*(_number(side) for side in sides))


def _is_condition(value: Value) -> bool:
    return isinstance(value, ndarray | np.generic) and value.dtype.kind == "b"


def _text(value: Value) -> ndarray:
    if isinstance(value, str):
        return np.array(value, object)
    if isinstance(value, Cells):
        return value.text_M
    raise ValueError("a string can only be compared with a column")


def _number(value: Value) -> ndarray:
    if isinstance(value, Cells):
        return value.number_M
    if isinstance(value, str) or _is_condition(value):
        raise ValueError("a string or a condition stands where a number is wanted")
    return np.asarray(value)


def _condition(value: Value) -> ndarray:
    if not _is_condition(value):
        raise ValueError("and, or and not join conditions such as loss < 4; there is a value")
    return np.asarray(value)
