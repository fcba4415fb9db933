"""What a pickle says, as data: nothing is imported, called or run.

A pickle is a program for a stack machine.  Python's own machine does whatever its author
wished.  This one makes dictionaries, lists, tuples, texts and numbers; classes and functions
stay names (`Name`), and what they would have made is an `Object`, which remembers by what name
and of what.  It is bounded by the length of the program.

CPython's `Unpickler` with a list of allowed names would not do: it lets a pickle set
attributes on what the names stand for, and take 64 GB for one distant memo entry.

Keys that are whole numbers become texts, and others a text that names their kind and place.

Left out: protocols 0 and 1, and extension codes.
"""

import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from carrynet.files import MOST_DIGITS


class Refused(ValueError):
    """Something that a file may not have; the message follows the name of the file."""


def require(condition: bool, otherwise: str) -> None:
    """Refuse a file unless a condition holds."""
    if not condition:
        raise Refused(otherwise)


@dataclass(frozen=True)
class Name:
    """The name of a class or a function; what it names is never looked up."""

    text: str


@dataclass(eq=False, slots=True)
class Object:
    """What a class or a function would have made; it may hold itself."""

    name: str
    arguments: tuple[Any, ...] = ()
    items: dict[str, Any] = field(default_factory=dict)  #: set as on a dictionary
    state: Any = None  #: what the pickle sets on it otherwise: its `__dict__`, as a rule
    more: list[Any] = field(default_factory=list)  #: what is appended to it, or given by keyword


def read(program: bytes, persistent: Callable[[object], object]) -> tuple[object, int]:
    """What the pickle at the beginning of some bytes says, and how many bytes it takes.

    `persistent` gives the values of what the pickle knows by an identity only, as PyTorch's
    pickles do the contents of tensors.  Raises `Refused` and `ValueError`, and, for pickles
    that are damaged, whatever else Python does.
    """
    require(not LONG.search(program), f"its pickle has a number of more than {MOST_DIGITS} digits")
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def since_mark() -> list[Any]:
        start = marks.pop()
        items = stack[start:]
        del stack[start:]
        return items

    argument: Any
    for opcode, argument, position in pickletools.genops(program):
        match opcode.name:
            case "PROTO" | "FRAME":
                pass
            case "STOP":
                assert position is not None
                return stack.pop(), position + 1
            case "MARK":
                marks.append(len(stack))
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "NONE":
                stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(opcode.name == "NEWTRUE")
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "LONG4" | "BINFLOAT":
                stack.append(argument)
            case "BINUNICODE" | "SHORT_BINUNICODE" | "BINUNICODE8":
                stack.append(argument)
            case "BINSTRING" | "SHORT_BINSTRING":  # Python 2's texts
                stack.append(argument)
            case "BINBYTES" | "SHORT_BINBYTES" | "BINBYTES8" | "BYTEARRAY8":
                stack.append(argument)
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_TUPLE":
                stack.append(())
            case "EMPTY_SET":
                stack.append(Object("builtins.set"))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                length = int(opcode.name[-1])
                stack[-length:] = [tuple(stack[-length:])]
            case "TUPLE":
                stack.append(tuple(since_mark()))
            case "FROZENSET":
                stack.append(Object("builtins.frozenset", tuple(since_mark())))
            case "APPEND" | "APPENDS" | "ADDITEMS":
                items = [stack.pop()] if opcode.name == "APPEND" else since_mark()
                require(type(stack[-1]) in (list, Object), "its pickle appends to what is no list")
                (stack[-1] if type(stack[-1]) is list else stack[-1].more).extend(items)
            case "SETITEM" | "SETITEMS":
                items = since_mark() if opcode.name == "SETITEMS" else [stack.pop(-2), stack.pop()]
                table = stack[-1].items if type(stack[-1]) is Object else stack[-1]
                require(type(table) is dict, "its pickle sets items of no dictionary")
                for key, value in zip(items[::2], items[1::2], strict=True):
                    name = _key(key, len(table))
                    require(name not in table, "its pickle sets a key twice")
                    table[name] = value
            case "GLOBAL":
                stack.append(Name(argument.replace(" ", ".", 1)))
            case "STACK_GLOBAL":
                name, module = stack.pop(), stack.pop()
                require(type(name) is type(module) is str, "its pickle names no class")
                stack.append(Name(f"{module}.{name}"))
            case "BINPERSID":
                stack.append(persistent(stack.pop()))
            case "REDUCE" | "NEWOBJ" | "NEWOBJ_EX":
                more = [stack.pop()] if opcode.name == "NEWOBJ_EX" else []  # by keyword
                arguments, maker = stack.pop(), stack.pop()
                made = type(arguments) is tuple and type(maker) in (Name, Object)
                require(made, "its pickle makes objects by what is no name")
                name = maker.text if type(maker) is Name else maker.name
                more += [maker] if type(maker) is Object else []
                stack.append(Object(name, arguments, more=more))
            case "BUILD":
                state = stack.pop()
                known = type(stack[-1]) in (dict, Object)
                require(known, "its pickle changes what is not a dictionary or an object")
                if type(stack[-1]) is Object:
                    stack[-1].more += [] if stack[-1].state is None else [stack[-1].state]
                    stack[-1].state = state
            case other:
                raise Refused(f"its pickle uses {other}, which a state dict does not need")
    raise Refused("its pickle does not end")


def _key(key: object, place: int) -> str:
    """The text that stands for a key of a dictionary."""
    if isinstance(key, str):
        return key
    # Python takes quadratic time to write long numbers
    if type(key) is int and abs(key) < 2**63:
        return str(key)
    return f"<{type(key).__name__} {place}>"


# Python takes quadratic time for such numbers, and its own limit is off on the command line
LONG = re.compile(rb"[0-9_]{%d}" % (MOST_DIGITS + 1))
