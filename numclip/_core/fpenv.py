"""The floating-point environment of a thread: the default while numclip computes, the caller's otherwise.

Other libraries change it for a whole thread: one linked with ``-ffast-math`` flushes subnormal numbers to
zero from the moment it is loaded, some set another rounding mode, some let exceptions trap. Each of these
would change results, or end the process. So the control register is saved, set to IEEE 754's default, and
restored as it was, with the flags that say which exceptions have happened: 3 ns for both.

The compiler takes arithmetic for pure, and may move it past a change of the register, but for what depends on
memory or on `held`: reads, and with them the arithmetic on what was read, come after `enter`, and writes come
before `leave`. A number that is not read from memory, or not written to it, goes through `held` on its way.
"""

from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

binding.initialize_native_asmparser()

_I32, _I64 = ir.IntType(32), ir.IntType(64)

# MXCSR: all exceptions masked, round to nearest, subnormals as they are; and the bits that are not flags.
_X86_DEFAULT, _X86_CONTROL = 0x1F80, 0xFFC0


def _asm(builder: Any, result: Any, code: str, constraints: str, *arguments: Any) -> Any:
    """Emit an instruction that nothing which touches memory is moved across."""
    function_type = ir.FunctionType(result, [argument.type for argument in arguments])
    constraints = ",".join(filter(None, (constraints, "~{memory}")))
    return builder.asm(function_type, code, constraints, arguments, side_effect=True)


def _architecture(context: Any) -> str:
    triple: str = context.codegen().magic_tuple()[0]
    name = triple.partition("-")[0]
    return {"arm64": "aarch64", "amd64": "x86_64"}.get(name, name)


def _load_mxcsr(builder: Any, value: Any) -> None:
    slot = cgutils.alloca_once(builder, _I32)
    builder.store(value, slot)
    _asm(builder, ir.VoidType(), "ldmxcsr ($0)", "r", slot)


@intrinsic
def enter(typingctx: Any) -> Any:
    """Set the default environment; return what `leave` needs to restore that of the caller."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        architecture = _architecture(context)
        if architecture == "x86_64":
            slot = cgutils.alloca_once(builder, _I32)
            _asm(builder, ir.VoidType(), "stmxcsr ($0)", "r", slot)
            saved = builder.load(slot)
            control = builder.and_(saved, _I32(_X86_CONTROL))
            with builder.if_then(builder.icmp_unsigned("!=", control, _I32(_X86_DEFAULT)), likely=False):
                _load_mxcsr(builder, _I32(_X86_DEFAULT))
            return builder.zext(saved, _I64)
        if architecture == "aarch64":
            control = _asm(builder, _I64, "mrs $0, fpcr", "=r")
            flags = _asm(builder, _I64, "mrs $0, fpsr", "=r")
            _asm(builder, ir.VoidType(), "msr fpcr, $0", "r", _I64(0))
            return builder.or_(builder.shl(control, _I64(32)), builder.and_(flags, _I64(0xFFFFFFFF)))
        return _I64(0)

    return types.uint64(), codegen


@intrinsic
def leave(typingctx: Any, saved: Any) -> Any:
    """Restore the environment, the flags of exceptions with it."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        architecture, [saved] = _architecture(context), arguments
        if architecture == "x86_64":
            _load_mxcsr(builder, builder.trunc(saved, _I32))
        elif architecture == "aarch64":
            _asm(builder, ir.VoidType(), "msr fpsr, $0", "r", builder.and_(saved, _I64(0xFFFFFFFF)))
            _asm(builder, ir.VoidType(), "msr fpcr, $0", "r", builder.lshr(saved, _I64(32)))
        return context.get_dummy_value()

    return types.void(types.uint64), codegen


@intrinsic
def held(typingctx: Any, value: Any) -> Any:
    """Return a float64 unchanged: it is computed before this point, and used behind it."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = builder.bitcast(arguments[0], _I64)
        return builder.bitcast(_asm(builder, _I64, "", "=r,0", bits), ir.DoubleType())

    return types.float64(types.float64), codegen
