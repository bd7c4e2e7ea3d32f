import java.io.IOException;
import java.lang.classfile.ClassBuilder;
import java.lang.classfile.ClassElement;
import java.lang.classfile.ClassFile;
import java.lang.classfile.ClassFile.ConstantPoolSharingOption;
import java.lang.classfile.ClassModel;
import java.lang.classfile.ClassTransform;
import java.lang.classfile.CodeBuilder;
import java.lang.classfile.CodeElement;
import java.lang.classfile.CodeTransform;
import java.lang.classfile.MethodModel;
import java.lang.classfile.MethodTransform;
import java.lang.classfile.Opcode;
import java.lang.classfile.instruction.InvokeDynamicInstruction;
import java.lang.constant.ClassDesc;
import java.lang.constant.MethodTypeDesc;
import java.lang.reflect.AccessFlag;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/// A step of the build: has the `switch`es over types in compiled classes ask `instanceof`, in methods that their classes
/// get for that. As `javac` leaves them, the JVM writes a class for each when it first comes by, which it cannot keep in
/// its cache for the start of a kernel (JEP 483); so forty of them took a tenth of that.
///
/// Run as `java TypeSwitches.java DIRECTORY`, on the JDK that compiles; a second time changes nothing.
public final class TypeSwitches {
    private static final ClassDesc BOOTSTRAPS = ClassDesc.of("java.lang.runtime.SwitchBootstraps");
    private static final String NAME = "typeSwitch";
    /// What the JDK's own answers to null (`SwitchBootstraps#typeSwitch`).
    private static final int NULL = -1;

    private TypeSwitches() {}

    public static void main(String[] args) throws IOException {
        List<Path> files;
        try (var all = Files.walk(Path.of(args[0]))) {
            files = all.filter(file -> file.toString().endsWith(".class")).toList();
        }
        // A new pool leaves out what only the old calls needed.
        var classFile = ClassFile.of(ConstantPoolSharingOption.NEW_POOL);
        for (Path file : files) {
            var model = classFile.parse(file);
            if (model.methods().stream().anyMatch(TypeSwitches::switches)) {
                Files.write(file, classFile.transformClass(model, ClassTransform.ofStateful(() -> new Rewriting(model))));
            }
        }
    }

    private static boolean switches(MethodModel method) {
        return method.code().stream().flatMap(code -> code.elementStream()).anyMatch(TypeSwitches::isSwitch);
    }

    /// Those that have constants among their labels stay as they are.
    private static boolean isSwitch(CodeElement element) {
        return element instanceof InvokeDynamicInstruction call && call.name().equalsString(NAME)
                && call.bootstrapMethod().owner().equals(BOOTSTRAPS)
                && call.bootstrapArgs().stream().allMatch(ClassDesc.class::isInstance);
    }

    private static final class Rewriting implements ClassTransform {
        private record Question(String name, MethodTypeDesc type, List<ClassDesc> labels) {}

        private final ClassModel model;
        private final List<Question> questions = new ArrayList<>();

        Rewriting(ClassModel model) {
            this.model = model;
        }

        @Override
        public void accept(ClassBuilder builder, ClassElement element) {
            if (element instanceof MethodModel method && switches(method)) {
                builder.transformMethod(method, MethodTransform.transformingCode(CodeTransform.ofStateful(
                        () -> this::rewrite)));
            } else {
                builder.with(element);
            }
        }

        private void rewrite(CodeBuilder code, CodeElement element) {
            if (!isSwitch(element)) {
                code.with(element);
                return;
            }
            var call = (InvokeDynamicInstruction) element;
            var question = new Question("%s$%d".formatted(NAME, questions.size()), call.typeSymbol(),
                    call.bootstrapArgs().stream().map(ClassDesc.class::cast).toList());
            questions.add(question);
            code.invokestatic(model.thisClass().asSymbol(), question.name, question.type,
                    model.flags().has(AccessFlag.INTERFACE));
        }

        @Override
        public void atEnd(ClassBuilder builder) {
            for (var question : questions) {
                builder.withMethodBody(question.name, question.type,
                        ClassFile.ACC_PRIVATE | ClassFile.ACC_STATIC | ClassFile.ACC_SYNTHETIC,
                        code -> answer(code, question.labels));
            }
        }

        /// The arguments: what is asked about, and the first label that may answer, which is another than the first where a
        /// guard has sent the `switch` on.
        private static void answer(CodeBuilder code, List<ClassDesc> labels) {
            code.aload(0).ifThen(Opcode.IFNULL, then -> then.loadConstant(NULL).ireturn());
            for (int i = 0; i < labels.size(); i++) {
                int index = i;
                var next = code.newLabel();
                code.iload(1).loadConstant(index).if_icmpgt(next);
                code.aload(0).instanceOf(labels.get(index)).ifeq(next);
                code.loadConstant(index).ireturn();
                code.labelBinding(next);
            }
            code.loadConstant(labels.size()).ireturn();
        }
    }
}
