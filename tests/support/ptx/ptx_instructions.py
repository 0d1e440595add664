"""PTX instructions translated to statements of NumPy, on vectors with an element per thread.

As much of the language as the kernels use; anything else raises an error. A register is an array of the width
that it is declared with. Rounding is that of the instructions: every ``.rn`` is one IEEE operation of NumPy,
and ``fma`` is that of the processor.
"""

import re
import struct
from typing import NamedTuple

import numpy as np
from numba import types, vectorize
from numba.extending import intrinsic

WIDTH = {"8": 1, "16": 2, "32": 4, "64": 8}
KIND = {"s": "i", "u": "u", "b": "u", "f": "f"}
SPECIAL = {"%tid.x": "tid", "%ctaid.x": "ctaid", "%ntid.x": "ntid", "%nctaid.x": "nctaid"}

ARITHMETIC = {
    "add": "{} + {}",
    "sub": "{} - {}",
    "mul": "{} * {}",
    "mad": "{} * {} + {}",
    "fma": "fma({}, {}, {})",
    "div": "divide({}, {})",
    "sqrt": "np.sqrt({})",
    "min": "np.minimum({}, {})",
    "max": "np.maximum({}, {})",
    "neg": "-{}",
    "abs": "abs({})",
    "and": "{} & {}",
    "or": "{} | {}",
    "xor": "{} ^ {}",
    "not": "~{}",
}
SHIFTS = {"shl": "<<", "shr": ">>"}
# The modifiers between the name and the type of an instruction, on floating-point numbers and on others.
PLAIN = {(name, floating): [[]] for name in ARITHMETIC for floating in (False, True)}
PLAIN |= {("mul", False): [["lo"]], ("mad", False): [["lo"]], ("mad", True): [], ("fma", False): []}
PLAIN |= {(name, True): [["rn"]] for name in ("fma", "div", "sqrt")}
PLAIN |= {(name, True): [[], ["rn"]] for name in ("add", "sub", "mul")}
COMPARISONS = {
    "eq": "{} == {}",
    "ne": "{} != {}",
    "lt": "{} < {}",
    "le": "{} <= {}",
    "gt": "{} > {}",
    "ge": "{} >= {}",
}
# Comparisons that are true if an operand is NaN.
UNORDERED = {
    "neu": "{} != {}",
    "equ": "~(({0} < {1}) | ({0} > {1}))",
    "ltu": "~({} >= {})",
    "leu": "~({} > {})",
    "gtu": "~({} <= {})",
    "geu": "~({} < {})",
    "nan": "np.isnan({}) | np.isnan({})",
}


@intrinsic
def _fma(typingctx, a, b, c):
    def codegen(context, builder, signature, arguments):
        return builder.fma(*arguments)

    return types.float64(types.float64, types.float64, types.float64), codegen


@vectorize(["float64(float64, float64, float64)"])
def fma(a, b, c):
    return _fma(a, b, c)


def divide(left, right):
    """Divide as C does: integers towards zero."""
    if left.dtype.kind == "f":
        return left / right
    assert np.all(right != 0), "an integer divided by zero"
    quotient = left // right
    return quotient + ((quotient * right != left) & ((left < 0) != (right < 0))).astype(quotient.dtype)


def pack(low, high):
    return low.astype(np.uint64) | high.astype(np.uint64) << np.uint64(32)


class Instruction(NamedTuple):
    """An instruction, its name cut at the dots."""

    opcode: list[str]
    operands: list[str]
    predicate: str | None
    negated: bool

    @property
    def name(self):
        return ".".join(self.opcode)


def dtype_of(suffix):
    """Return the type that a suffix such as .s64 names."""
    return np.dtype(bool) if suffix == "pred" else np.dtype(f"{KIND[suffix[0]]}{WIDTH[suffix[1:]]}")


class Translator:
    """Translates the instructions of a kernel, given its registers, parameters and shared memory.

    `contract` fuses products without a rounding mode with the sums that they feed: the assembler may do that.
    `constants` are what the statements refer to.
    """

    def __init__(self, declared, parameters, shared, contract):
        self._declared = declared | {"temp": np.dtype(np.uint32)}
        self.parameters, self.shared, self.contract = parameters, shared, contract
        self.constants = {"np": np, "fma": fma, "divide": divide, "pack": pack}

    def declared(self, operand):
        return self._declared[re.match(r"%([a-z]+)", operand)[1]]

    def _constant(self, value):
        name = f"c{len(self.constants)}"
        self.constants[name] = value
        return name

    def _read(self, operand, dtype):
        """Return the expression for an operand as a type of this width, or of fewer bits."""
        if operand in SPECIAL:
            return f"grid.{SPECIAL[operand]}(on).astype(np.{dtype})"
        if operand.startswith("%"):
            declared = self.declared(operand)
            if declared == dtype:
                return operand[1:]
            if declared.itemsize == dtype.itemsize:
                return f"{operand[1:]}.view(np.{dtype})"
            if declared.itemsize > dtype.itemsize and dtype.kind != "f":
                return f"{operand[1:]}.astype(np.{dtype})"
            raise NotImplementedError(f"{operand} as {dtype}")
        if match := re.fullmatch(r"0([df])([0-9A-Fa-f]+)", operand):
            code = ">d" if match[1] == "d" else ">f"
            return self._constant(dtype.type(struct.unpack(code, bytes.fromhex(match[2]))[0]))
        if operand in self.shared:
            return self._constant(dtype.type(self.shared[operand]))
        if dtype.kind == "b":
            return self._constant(np.bool_(int(operand) != 0))
        bits = int(operand, 0) % 2 ** (8 * dtype.itemsize)
        return self._constant(np.array(bits, f"u{dtype.itemsize}").view(dtype)[()])

    def _write(self, register, expression, dtype):
        """Return the statement that gives a register a value of a type."""
        declared = self.declared(register)
        if declared != dtype:
            if declared.itemsize == dtype.itemsize:
                expression = f"({expression}).view(np.{declared})"
            elif declared.itemsize > dtype.itemsize and dtype.kind != "f":
                wide = np.dtype(f"{dtype.kind}{declared.itemsize}")
                expression = f"({expression}).astype(np.{wide}).view(np.{declared})"
            else:
                raise NotImplementedError(f"{dtype} into {register}")
        return f"{register[1:]} = {expression}"

    def statements(self, instruction, products):
        name, *modifiers = instruction.opcode
        if instruction.name == "membar.gl":
            return ["grid.fence(on)"]
        special = {
            "ld": self._load,
            "st": self._store,
            "atom": self._count,
            "put": self._put,
            "shift": self._shift,
            "any": self._any,
            "bfi": self._insert,
            "mov": self._move,
            "cvt": self._convert,
        }
        if name in special:
            return special[name](instruction)
        dtype = dtype_of(modifiers[-1])
        target, *sources = instruction.operands
        if name == "selp":
            yes, no = (self._read(source, dtype) for source in sources[:2])
            return [self._write(target, f"np.where({sources[2][1:]}, {yes}, {no})", dtype)]
        if name in ("shl", "shr"):
            value, count = self._read(sources[0], dtype), self._read(sources[1], np.dtype(np.uint32))
            shifted = f"{value} {SHIFTS[name]} np.minimum({count}, 255).astype(np.{dtype})"
            return [self._write(target, shifted, dtype)]
        values = [self._read(source, dtype) for source in sources]
        if name == "setp":
            forms = COMPARISONS | UNORDERED if dtype.kind == "f" else COMPARISONS
            return [self._write(target, forms[".".join(modifiers[:-1])].format(*values), np.dtype(bool))]
        if modifiers[:-1] == ["wide"] and name == "mul":
            dtype = np.dtype(f"{dtype.kind}{2 * dtype.itemsize}")
            values = [f"{value}.astype(np.{dtype})" for value in values]
        elif modifiers[:-1] not in PLAIN[name, dtype.kind == "f"]:
            raise NotImplementedError(instruction.name)
        if not modifiers[:-1] and dtype.kind == "f" and name in ("add", "sub"):
            fused = self._fused(name, sources, products, dtype)
            if fused:
                return [self._write(target, fused, dtype)]
        return [self._write(target, ARITHMETIC[name].format(*values), dtype)]

    def _fused(self, name, sources, products, dtype):
        """Return a sum with the product that feeds it as one operation, if there is one."""
        for i in (0, 1):
            if sources[i] in products:
                left, right = (self._read(factor, dtype) for factor in products[sources[i]])
                other = self._read(sources[1 - i], dtype)
                if name == "sub":
                    return f"fma({left}, {right}, -{other})" if i == 0 else f"fma(-{left}, {right}, {other})"
                return f"fma({left}, {right}, {other})"
        return None

    def _move(self, instruction):
        (target, source), kind = instruction.operands, instruction.opcode[-1]
        words = re.findall(r"%(\w+)", target + source)
        if target.startswith("{"):
            value = self._read(source, np.dtype(np.uint64))
            return [
                f"{words[0]} = {value}.astype(np.uint32)",
                f"{words[1]} = ({value} >> np.uint64(32)).astype(np.uint32)",
            ]
        if source.startswith("{"):
            return [self._write(target, f"pack({words[1]}, {words[2]})", np.dtype(np.uint64))]
        dtype = dtype_of(kind)
        return [self._write(target, f"{self._read(source, dtype)}.copy()", dtype)]

    def _convert(self, instruction):
        *modifiers, to, of = instruction.opcode[1:]
        target, source = instruction.operands
        to_dtype, of_dtype = dtype_of(to), dtype_of(of)
        narrows = to_dtype.itemsize < of_dtype.itemsize
        floats, value = (to_dtype.kind == "f", of_dtype.kind == "f"), self._read(source, of_dtype)
        if floats == (True, True) and modifiers == ["rmi"]:
            value = f"np.floor({value})"
        elif floats == (False, True):
            if modifiers not in (["rzi"], ["rmi"]):
                raise NotImplementedError(instruction.name)
            value = f"np.{'trunc' if modifiers == ['rzi'] else 'floor'}({value})"
        elif modifiers != (["rn"] if floats == (True, False) or (floats[0] and narrows) else []):
            raise NotImplementedError(instruction.name)
        return [self._write(target, f"{value}.astype(np.{to_dtype})", to_dtype)]

    def _address(self, place):
        base, offset = re.fullmatch(r"\[(%?\w+)(?:\+(-?\d+))?\]", place).groups()
        address = self._read(base, np.dtype(np.uint64))
        return (
            f"{address} + {self._constant(np.array(int(offset)).astype(np.uint64)[()])}"
            if offset
            else address
        )

    def _accessed(self, instruction, values):
        """Return the space of a load or a store, the type and the registers."""
        space, *vector, kind = instruction.opcode[1:]
        registers = re.findall(r"%\w+", values)
        if space not in ("global", "shared") or vector not in ([], [f"v{len(registers)}"]):
            raise NotImplementedError(instruction.name)
        return space, dtype_of(kind), registers

    def _load(self, instruction):
        target, place = instruction.operands
        if instruction.opcode[1] == "param":
            number, dtype = self.parameters[place[1:-1]]
            return [self._write(target, f"grid.arguments[{number}].view(np.{dtype})", dtype)]
        space, dtype, registers = self._accessed(instruction, target)
        address = self._address(place)
        loaded = [f"loaded = grid.load_{space}({address}, np.dtype('{dtype}'), {len(registers)}, on)"]
        return loaded + [self._write(register, f"loaded[{i}]", dtype) for i, register in enumerate(registers)]

    def _store(self, instruction):
        place, values = instruction.operands
        space, dtype, registers = self._accessed(instruction, values)
        stored = ", ".join(self._read(register, dtype) for register in registers)
        return [f"grid.store_{space}({self._address(place)}, ({stored},), on)"]

    def _count(self, instruction):
        if instruction.name != "atom.global.inc.u32":
            raise NotImplementedError(instruction.name)
        target, place, last = instruction.operands
        dtype = np.dtype(np.uint32)
        counted = f"grid.increment({self._address(place)}, {self._read(last, dtype)}, on)"
        return [self._write(target, counted, dtype)]

    def _insert(self, instruction):
        target, bits, into, position, length = instruction.operands
        if (instruction.name, position, length) != ("bfi.b64", "32", "32"):
            raise NotImplementedError(instruction.name)
        dtype = np.dtype(np.uint64)
        upper, lower = self._read(bits, dtype), self._read(into, dtype)
        return [self._write(target, f"pack({lower}.astype(np.uint32), {upper}.astype(np.uint32))", dtype)]

    # --- exchange of values between threads, see `steps_of` -------------------------------------------------

    def _put(self, instruction):
        dtype = dtype_of(instruction.opcode[1])
        return [f"grid.put({self._read(instruction.operands[0], dtype)}, on)"]

    def _shift(self, instruction):
        target, distance, clamp = instruction.operands
        dtype = np.dtype(np.uint32)
        shifted = f"grid.shifted({self._read(distance, dtype)}, {self._read(clamp, dtype)}, on)"
        return [self._write(target, shifted, dtype)]

    def _any(self, instruction):
        found = f"grid.any(grid.{instruction.opcode[1]}, on)"
        return [self._write(instruction.operands[0], found, np.dtype(bool))]
