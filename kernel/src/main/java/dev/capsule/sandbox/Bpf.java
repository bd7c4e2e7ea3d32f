package dev.capsule.sandbox;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;

/// A program for the kernel's classic packet filter machine, with labels for its jumps, which only go forward. (Linux,
/// `Documentation/networking/filter.rst`.)
final class Bpf {
    static final int LOAD = 0x20;
    static final int AND = 0x54;
    static final int JUMP_IF_EQUAL = 0x15;
    static final int JUMP_IF_GREATER_OR_EQUAL = 0x35;
    static final int JUMP_IF_ANY_BIT = 0x45;
    static final int RETURN = 0x06;

    /// The size of `struct sock_filter`.
    static final int INSTRUCTION_BYTES = 8;

    /// `BPF_MAXINSNS`
    private static final int MAX_INSTRUCTIONS = 4_096;
    private static final int MAX_JUMP = 255;

    private record Instruction(int code, int operand, Label then, Label otherwise) {}

    /// A place in the program; jumps to it are written before it is set.
    static final class Label {
        private int index = -1;
    }

    private final List<Instruction> instructions = new ArrayList<>();
    private final Label next = new Label();

    /// The instruction after the jump.
    Label next() {
        return next;
    }

    void set(Label label) {
        label.index = instructions.size();
    }

    void emit(int code, int operand) {
        instructions.add(new Instruction(code, operand, next, next));
    }

    void jump(int code, int operand, Label then, Label otherwise) {
        instructions.add(new Instruction(code, operand, then, otherwise));
    }

    /// @return an array of `struct sock_filter`, which all supported architectures have in little-endian
    byte[] assemble() {
        if (instructions.size() > MAX_INSTRUCTIONS) {
            throw new IllegalStateException("%d instructions are over the kernel's limit of %d"
                    .formatted(instructions.size(), MAX_INSTRUCTIONS));
        }
        var bytes = ByteBuffer.allocate(instructions.size() * INSTRUCTION_BYTES).order(ByteOrder.LITTLE_ENDIAN);
        for (int i = 0; i < instructions.size(); i++) {
            var instruction = instructions.get(i);
            bytes.putShort((short) instruction.code).put(distance(i, instruction.then))
                    .put(distance(i, instruction.otherwise)).putInt(instruction.operand);
        }
        return bytes.array();
    }

    private byte distance(int from, Label to) {
        if (to == next) {
            return 0;
        }
        int distance = to.index - from - 1;
        if (to.index < 0 || distance < 0 || distance > MAX_JUMP) {
            throw new IllegalStateException("jump from %d to %d".formatted(from, to.index));
        }
        return (byte) distance;
    }
}
