"""The kernel of a PTX module as basic blocks: each a function of NumPy, run by many threads at once."""

import itertools
import re
from typing import NamedTuple

from ptx_instructions import Instruction, Translator, dtype_of

INSTRUCTION = re.compile(
    r"(?:@(?P<negated>!?)(?P<predicate>%p\d+)\s+)?(?P<opcode>[a-z][\w.]*)\s*(?P<operands>.*)"
)
STATEMENT = re.compile(r"\s*(?:(\$\w+):|((?:[^;{}]|\{[^;{}]*\})+);)")
OPERAND = re.compile(r"\{[^}]*\}|\[[^]]*\]|[^,\s]+")
BARRIERS = {("bar.sync", "0"): "block", ("bar.warp.sync", "-1"): "warp"}
SCOPE = re.compile(r"\{([^{}]*\.reg[^{}]*)\}")


def rename_inner_registers(body):
    """Rename registers that are declared in an inner scope, to names that are unique in the kernel."""
    numbers = itertools.count(1_000_000)

    def rename(scope):
        code = scope[1]
        for prefix, number in re.findall(r"\.reg \.\w+\s+%([a-z]+)(\d+);", code):
            code = re.sub(rf"%{prefix}{number}\b", f"%{prefix}{next(numbers)}", code)
        return code

    return SCOPE.sub(rename, body)


def steps_of(instruction):
    """Return an instruction as a list of steps: an exchange between threads is a put, then a take."""
    team = {"shfl.sync.down.b32": "warp", "vote.sync.any.pred": "warp", "bar.red.or.pred": "block"}
    if instruction.name not in team or instruction.predicate:
        return [instruction]
    target, *operands = instruction.operands
    barrier = next(name for name, kind in BARRIERS.items() if kind == team[instruction.name])
    wait = Instruction(barrier[0].split("."), [barrier[1]], None, False)
    if instruction.name == "shfl.sync.down.b32":
        value, distance, clamp, _ = operands
        put = Instruction(["put", "b32"], [value], None, False)
        take = Instruction(["shift", "b32"], [target.partition("|")[0], distance, clamp], None, False)
    else:
        put = Instruction(["put", "pred"], [operands[instruction.opcode[0] == "bar"]], None, False)
        take = Instruction(["any", team[instruction.name], "pred"], [target], None, False)
    return [put, wait, take, wait]


class End(NamedTuple):
    """The end of a basic block: its kind, the block that it jumps to, and the block after it."""

    kind: str  # "go", "jump", "branch", "exit", or a barrier: "block" or "warp"
    target: int = -1
    negated: bool = False


class Block(NamedTuple):
    """A basic block: its function takes the registers, the threads that run it and the grid."""

    run: object
    end: End


class Code:
    """The kernel of a PTX module, as blocks that a grid can run.

    `contract` fuses products without a rounding mode with the sums that they feed: the assembler may do that.
    `split` ends a block at each access to memory, so that a grid can interleave them.
    """

    def __init__(self, ptx, *, contract=False, split=False):
        head, body = re.search(r"\.entry \w+\((.*?)\)\s*\{(.*)\}", ptx, re.DOTALL).groups()
        body = rename_inner_registers(body)
        parameters = {
            name: (i, dtype_of(kind))
            for i, (kind, name) in enumerate(re.findall(r"\.param \.(\w+) (\w+)", head))
        }
        shared, self.shared_size = {}, 0
        for align, name, size in re.findall(r"\.shared \.align (\d+) \.b8 (\w+)\[(\d+)\];", ptx):
            start = -(-self.shared_size // int(align)) * int(align)
            shared[name], self.shared_size = start, start + int(size)
        declared = re.findall(r"\.reg \.(\w+)\s+%([a-z]+)<\d+>;", body)
        self._translator = Translator(
            {prefix: dtype_of(kind) for kind, prefix in declared}, parameters, shared, contract
        )
        pieces, labels = self._pieces(body, split)
        self.registers = self._shared_registers(pieces)
        sources, ends = zip(
            *(self._translate(i, piece, labels) for i, piece in enumerate(pieces)), strict=True
        )
        functions = self._translator.constants
        exec(compile("\n".join(sources), "<ptx>", "exec"), functions)
        self.blocks = [Block(functions[f"block_{i}"], end) for i, end in enumerate(ends)]

    # --- basic blocks ---------------------------------------------------------------------------------------

    @staticmethod
    def _pieces(body, split):
        """Cut the instructions into basic blocks, and find the block of each label."""
        pieces, labels = [[]], {}
        for label, statement in STATEMENT.findall(re.sub(r"//.*", "", body)):
            if label:
                if pieces[-1]:
                    pieces.append([])
                labels[label] = len(pieces) - 1
            if not statement or statement.startswith("."):
                continue
            match = INSTRUCTION.fullmatch(statement)
            if not match:
                raise NotImplementedError(statement)
            instruction = Instruction(
                match["opcode"].split("."),
                OPERAND.findall(match["operands"]),
                match["predicate"],
                match["negated"] == "!",
            )
            memory = instruction.opcode[0] in ("ld", "st", "atom") and instruction.opcode[1] != "param"
            if split and memory and pieces[-1]:
                pieces.append([])
            for step in steps_of(instruction):
                pieces[-1].append(step)
                if step.opcode[0] in ("bra", "bar", "ret"):
                    pieces.append([])
        return pieces[: -1 if not pieces[-1] else None], labels

    def _shared_registers(self, pieces):
        """Number the registers that a block takes over from another."""
        names = {}
        for piece in pieces:
            own = set()
            for instruction in piece:
                read, written = self._operands(instruction)
                for name in read:
                    if name not in own:
                        names.setdefault(name, len(names))
                own |= set(written)
        return names

    @staticmethod
    def _operands(instruction):
        """Return the registers that are read, and those that are written."""
        name = instruction.opcode[0]
        found = [re.findall(r"%[a-z]+\d+|%temp", operand) for operand in instruction.operands]
        writes = name not in ("st", "bra", "bar", "ret", "membar", "put")
        read = [register for registers in found[writes:] for register in registers]
        if instruction.predicate:
            read.append(instruction.predicate)
        return read, found[0] if writes else []

    # --- translation ----------------------------------------------------------------------------------------

    def _translate(self, number, piece, labels):
        """Return the source of the function of a block, and its end."""
        taken, defined, lines, end = [], {}, [], End("go")
        products = {}
        for instruction in piece:
            read, written = self._operands(instruction)
            for name in read:
                if name not in defined and name not in taken:
                    taken.append(name)
            if instruction.opcode[0] in ("bra", "bar", "ret"):
                end = self._end(instruction, labels)
            elif instruction.predicate:
                raise NotImplementedError(f"a predicate before {instruction.name}")
            else:
                lines += self._translator.statements(instruction, products)
            for name in written:
                defined[name] = None
                stale = [
                    of for of, factors in products.items() if name in (of, *factors) and of not in written
                ]
                for of in stale:
                    del products[of]
            if self._translator.contract and instruction.name == "mul.f64":
                products[written[0]] = instruction.operands[1:]
        gathers = [f"{name[1:]} = registers[{self.registers[name]}][on]" for name in taken]
        scatters = [
            f"registers[{self.registers[name]}][on] = {name[1:]}"
            for name in defined
            if name in self.registers
        ]
        predicate = piece[-1].predicate if piece and end.kind == "branch" else None
        result = [f"return {predicate[1:]}"] if predicate else ["return None"]
        source = [f"def block_{number}(registers, on, grid):", *gathers, *lines, *scatters, *result]
        return "\n    ".join(source), end

    @staticmethod
    def _end(instruction, labels):
        name = instruction.opcode[0]
        if name == "ret" and not instruction.predicate:
            return End("exit")
        if name == "bra":
            target = labels[instruction.operands[0]]
            return End("branch" if instruction.predicate else "jump", target, instruction.negated)
        barrier = BARRIERS.get((instruction.name, *instruction.operands))
        if barrier is None or instruction.predicate:
            raise NotImplementedError(instruction.name)
        return End(barrier)

    def dtype_of(self, register):
        """Return the type that a register is declared with."""
        return self._translator.declared(register)
