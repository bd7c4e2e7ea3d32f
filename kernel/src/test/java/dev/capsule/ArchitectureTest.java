package dev.capsule;

import static com.tngtech.archunit.base.DescribedPredicate.alwaysTrue;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAPackage;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAnyPackage;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.methods;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;
import static org.junit.jupiter.api.Assertions.assertEquals;

import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.domain.JavaMethod;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.base.DescribedPredicate;
import com.tngtech.archunit.lang.ArchCondition;
import com.tngtech.archunit.lang.ConditionEvents;
import com.tngtech.archunit.lang.SimpleConditionEvent;
import java.io.IOException;
import java.lang.classfile.ClassFile;
import java.lang.classfile.CodeElement;
import java.lang.classfile.instruction.InvokeDynamicInstruction;
import java.lang.constant.ClassDesc;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.params.ParameterizedTest;

/// The import table of the README's architecture section, and the fences around libraries.
class ArchitectureTest {
    private static final JavaClasses MAIN = new ClassFileImporter()
            .withImportOption(ImportOption.Predefined.DO_NOT_INCLUDE_TESTS).importPackages("dev.capsule");
    private static final JavaClasses TESTS = new ClassFileImporter()
            .withImportOption(ImportOption.Predefined.ONLY_INCLUDE_TESTS).importPackages("dev.capsule");

    /// Who may import whom; `cli` may import everything, and everyone `log`.
    private static final Map<String, List<String>> IMPORTS = Map.ofEntries(Map.entry("json", List.of()),
            Map.entry("frame", List.of("json")),
            Map.entry("digest", List.of()), Map.entry("jupyter", List.of("digest", "json")),
            Map.entry("promise", List.of()),
            Map.entry("checkpoint", List.of("digest")),
            Map.entry("policy", List.of()), Map.entry("channel", List.of("jupyter")),
            Map.entry("audit", List.of("policy", "json")), Map.entry("sandbox", List.of("policy")),
            Map.entry("worker", List.of("frame", "sandbox", "policy")),
            Map.entry("session",
                    List.of("worker", "promise", "frame", "sandbox", "audit", "policy", "checkpoint")),
            Map.entry("kernel", List.of("channel", "jupyter", "session")));

    @Test
    void everyPackageIsInTheTable() {
        var packages = MAIN.stream().map(JavaClass::getPackageName)
                .map(name -> name.substring("dev.capsule.".length())).collect(Collectors.toCollection(TreeSet::new));
        var table = new TreeSet<>(IMPORTS.keySet());
        table.addAll(List.of("cli", "log"));
        assertEquals(table, packages);
    }

    @Test
    void packagesImportOnlyWhatTheTableAllows() {
        IMPORTS.forEach((name, allowed) -> {
            var own = Stream.concat(Stream.of(name, "log"), allowed.stream()).map(p -> "dev.capsule." + p)
                    .toArray(String[]::new);
            noClasses().that().resideInAPackage("dev.capsule." + name).should()
                    .dependOnClassesThat(
                            resideInAPackage("dev.capsule..").and(DescribedPredicate.not(resideInAnyPackage(own))))
                    .check(MAIN);
        });
    }

    @Test
    void librariesAreUsedWhereTheyBelong() {
        // Not by what a kernel loads at its start.
        noClasses().that().haveNameNotMatching(".*\\.(KernelSpec|ProfilesJson|Manifest)(\\$.*)?").should()
                .dependOnClassesThat().resideInAPackage("com.fasterxml.jackson..").check(MAIN);
        fence("org.msgpack..", "dev.capsule.frame");
        fence("picocli..", "dev.capsule.cli");
        fence("java.sql..", "dev.capsule.kernel");
        fence("java.lang.foreign..", "dev.capsule.worker", "dev.capsule.sandbox", "dev.capsule.frame",
                "dev.capsule.digest");
        noClasses().that().resideInAPackage("dev.capsule.sandbox").and().haveSimpleNameNotStartingWith("Native").and()
                .haveNameNotMatching(".*Native\\$.*").should().dependOnClassesThat()
                .resideInAPackage("java.lang.foreign..").check(MAIN);
        noClasses().that().resideOutsideOfPackage("dev.capsule.worker").should().dependOnClassesThat()
                .belongToAnyOf(ProcessBuilder.class).check(MAIN);
        // They judge ours in the tests.
        noClasses().should().dependOnClassesThat().resideInAnyPackage("org.zeromq..", "org.apache.commons.codec..")
                .check(MAIN);
    }

    private static void fence(String library, String... users) {
        noClasses().that(resideInAnyPackage("dev.capsule..").and(DescribedPredicate.not(resideInAnyPackage(users))))
                .should().dependOnClassesThat().resideInAPackage(library).check(MAIN);
    }

    @Test
    void packagesHaveNoCycles() {
        slices().matching("dev.capsule.(*)..").should().beFreeOfCycles().check(MAIN);
    }

    @Test
    void nothingSleeps() {
        for (var classes : List.of(MAIN, TESTS)) {
            noClasses().should().callMethod(Thread.class, "sleep", long.class).orShould()
                    .callMethod(Thread.class, "sleep", java.time.Duration.class).check(classes);
        }
    }

    /// Each that is left takes the start of a kernel as long as reading a message (`src/build/java/TypeSwitches.java`).
    @Test
    void noSwitchOverTypesIsLeftToTheJvm() throws IOException {
        var left = new TreeSet<String>();
        var classes = Path.of("target/classes/dev/capsule");
        try (var files = Files.walk(classes)) {
            for (Path file : files.filter(each -> each.toString().endsWith(".class")).toList()) {
                ClassFile.of().parse(file).methods().stream().flatMap(method -> method.code().stream())
                        .flatMap(code -> code.elementStream()).filter(ArchitectureTest::isTypeSwitch)
                        .forEach(_ -> left.add(classes.relativize(file).toString()));
            }
        }
        assertEquals(Set.of(), left);
    }

    /// Those that tell more than classes apart are left to it; none of them is used at a start.
    private static boolean isTypeSwitch(CodeElement element) {
        return element instanceof InvokeDynamicInstruction call && call.name().equalsString("typeSwitch")
                && call.bootstrapArgs().stream().allMatch(ClassDesc.class::isInstance);
    }

    /// A test that lost its annotation would never run, and nobody would know.
    @Test
    void everyMethodOfATestIsAnnotated() {
        methods().that().areDeclaredInClassesThat().haveSimpleNameEndingWith("Test").and().areNotPrivate().and()
                .haveRawReturnType(void.class).and().haveRawParameterTypes(new Class<?>[0]).should(beAnnotated())
                .check(TESTS);
        classes().that(alwaysTrue()).and().haveSimpleNameEndingWith("Test").should().bePackagePrivate().check(TESTS);
    }

    private static ArchCondition<JavaMethod> beAnnotated() {
        var annotations = List.of(Test.class, TestFactory.class, ParameterizedTest.class, BeforeEach.class,
                AfterEach.class, BeforeAll.class, AfterAll.class);
        return new ArchCondition<>("carry a test or lifecycle annotation") {
            @Override
            public void check(JavaMethod method, ConditionEvents events) {
                if (annotations.stream().noneMatch(method::isAnnotatedWith)) {
                    events.add(SimpleConditionEvent.violated(method, method.getFullName() + " has no annotation"));
                }
            }
        };
    }
}
