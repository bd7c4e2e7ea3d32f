"""Has libseccomp make a filter of the rules of Seccomp.java: libseccomp.py ARCH RULES PROGRAM UNKNOWN

Reads a rule from each line (see SeccompTest.line), writes the program, and the names of calls that it does not know.
"""

import itertools
import sys

import seccomp

FAMILIES = 64


def unsigned_compare(argument, mask, value):
    return seccomp.Arg(int(argument), seccomp.MASKED_EQ, int(mask), int(value))


def alternatives(test):
    """The comparisons of which one must hold. libseccomp has one comparison of each argument in a rule."""
    kind, argument, mask, *values = test.split(":")
    if kind == "any":
        bits = [1 << bit for bit in range(32) if int(mask) >> bit & 1]
        return [unsigned_compare(argument, bit, bit) for bit in bits]
    values = [int(value) for value in values[0].split(",")]
    if kind == "in":
        return [unsigned_compare(argument, mask, value) for value in values]
    if len(values) == 1 and int(mask) == 0xFFFFFFFF:
        return [seccomp.Arg(int(argument), seccomp.NE, values[0])]
    # Not in a set: differs from its values in the first bit, or is the same up to the second and differs there, ...
    return [unsigned_compare(argument, *outside) for outside in complement(int(mask), values)]


def complement(mask, values, bit=31, prefix_mask=0, prefix=0):
    """Covers what is not in the set by (mask, value) pairs, as a tree of bits."""
    left = [value for value in values if value & prefix_mask == prefix]
    if not left:
        yield prefix_mask, prefix
        return
    while bit >= 0 and not mask >> bit & 1:
        bit -= 1
    if bit < 0:
        return
    for value in (0, 1 << bit):
        yield from complement(mask, left, bit - 1, prefix_mask | 1 << bit, prefix | value)


def main(arch, rules, program, unknown):
    arch = {"x86_64": seccomp.Arch.X86_64, "aarch64": seccomp.Arch.AARCH64}[arch]
    result = seccomp.SyscallFilter(seccomp.ALLOW)
    result.set_attr(seccomp.Attr.ACT_BADARCH, seccomp.KILL_PROCESS)
    if not result.exist_arch(arch):
        result.add_arch(arch)
        result.remove_arch(seccomp.Arch())
    names = []
    decided = {}
    with open(rules) as lines:
        for name, errno, *tests in map(str.split, lines):
            if seccomp.resolve_syscall(arch, name) < 0:
                # Negative also for those that only the other architecture has.
                names.append(name)
                continue
            decided.setdefault(name, []).append((int(errno), tests))
    for name, of in decided.items():
        for errno, tests in of:
            action = seccomp.ERRNO(errno)
            for comparisons in itertools.product(*map(alternatives, tests)):
                result.add_rule_exactly(action, name, *comparisons)
    with open(program, "wb") as file:
        result.export_bpf(file)
    with open(unknown, "w") as file:
        file.write("\n".join(names))


main(*sys.argv[1:])
