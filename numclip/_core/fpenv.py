"""The floating-point environment of a thread: the default while numclip computes, the caller's otherwise.

Other libraries change it for a whole thread: one linked with ``-ffast-math`` flushes subnormal numbers to
zero from the moment it is loaded, some set another rounding mode. Either would change results. So the control
register is saved, set to IEEE 754's default, and restored as it was, with the flags of exceptions that have
occurred: cheap enough for every call.

The compiler treats arithmetic as pure, and may move it past a change of the register. Reads and writes of
memory stay where they are, and so does the arithmetic between them; a number that is an argument or a result
passes an optimisation barrier, `_black_box`.
"""

from inspect import signature
from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from numclip._core.emit import described, emitter
from numclip._core.jit import kernel

binding.initialize_native_asmparser()
emits = emitter(intrinsic)

_I32, _I64 = ir.IntType(32), ir.IntType(64)

# MXCSR: all exceptions masked, round to nearest, subnormals as they are; and the bits that are not flags.
_X86_DEFAULT, _X86_CONTROL = 0x1F80, 0xFFC0


def _asm(builder: Any, result: Any, code: str, constraints: str, *arguments: Any) -> Any:
    """Emit an instruction across which the compiler moves no access to memory."""
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


def _enter(context: Any, builder: Any) -> Any:
    """Set the default environment; return what `_leave` needs to restore that of the caller."""
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


def _leave(context: Any, builder: Any, saved: Any) -> None:
    """Restore the environment, the flags of exceptions with it."""
    architecture = _architecture(context)
    if architecture == "x86_64":
        _load_mxcsr(builder, builder.trunc(saved, _I32))
    elif architecture == "aarch64":
        _asm(builder, ir.VoidType(), "msr fpsr, $0", "r", builder.and_(saved, _I64(0xFFFFFFFF)))
        _asm(builder, ir.VoidType(), "msr fpcr, $0", "r", builder.lshr(saved, _I64(32)))


def _black_box(builder: Any, numba_type: Any, value: Any) -> Any:
    """Emit an optimisation barrier: floats in the value are computed before this point and used after it."""
    if numba_type in (types.float32, types.float64):
        integer = ir.IntType(numba_type.bitwidth)
        bits = builder.bitcast(value, integer)
        return builder.bitcast(_asm(builder, integer, "", "=r,0", bits), value.type)
    if isinstance(numba_type, types.BaseTuple):
        for i, item in enumerate(numba_type):
            part = _black_box(builder, item, builder.extract_value(value, i))
            value = builder.insert_value(value, part, i)
    return value


def default_fpenv(function: Any) -> Any:
    """Let a helper compute in the default environment, and restore that of the caller."""

    def enter_and_call(typingctx: Any, *arguments: Any) -> Any:
        inner = types.Dispatcher(function)
        resolved = typingctx.resolve_function_type(inner, arguments, {})

        def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            call = context.get_function(inner, signature)
            context.add_linking_libs(getattr(call, "libs", ()))
            saved = _enter(context, builder)
            values = [_black_box(builder, *pair) for pair in zip(signature.args, values, strict=True)]
            result = _black_box(builder, signature.return_type, call(builder, values))
            _leave(context, builder, saved)
            return result

        return resolved, codegen

    return intrinsic(described(enter_and_call, function.py_func, signature(function.py_func).parameters))


@emits(lambda: types.uint64())
def enter(emit: Any) -> Any:
    """Set the default environment; return what `leave` needs to restore that of the caller."""
    return _enter(emit.context, emit.builder)


@emits(lambda saved: types.void(types.uint64))
def leave(emit: Any, saved: Any) -> None:
    """Restore the environment."""
    _leave(emit.context, emit.builder, saved)


@kernel(lambda: (), nogil=False)
def set_default() -> Any:
    """Set the default environment; return what `restore` needs to restore that of the caller."""
    return enter()


@kernel(lambda: (types.uint64,), nogil=False)
def restore(saved: Any) -> None:
    """Restore the environment."""
    leave(saved)
