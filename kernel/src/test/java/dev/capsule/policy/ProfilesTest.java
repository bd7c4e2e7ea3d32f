package dev.capsule.policy;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.capsule.policy.Profile.Deadline;
import dev.capsule.policy.Profile.Form;
import dev.capsule.policy.Profile.Interrupt;
import dev.capsule.policy.Profile.Leave;
import dev.capsule.policy.Profile.Limits;
import dev.capsule.policy.Profile.MimeTypes;
import dev.capsule.policy.Profile.Network;
import dev.capsule.policy.Profile.Outputs;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ProfilesTest {
    private static Profiles parse(String json) {
        return Profiles.parse("profiles.json", json.getBytes(UTF_8));
    }

    private static String error(String json) {
        return String.valueOf(assertThrows(PolicyException.class, () -> parse(json)).getMessage());
    }

    @Test
    void withoutAFileThereAreThoseBuiltIn(@TempDir Path directory) {
        assertEquals(List.of(Profile.DEFAULT, Profile.LOCKED, Profile.OPEN),
                Profiles.load(directory.resolve("profiles.json")).all());
    }

    @Test
    void theFileIsInTheUsersConfigurationDirectory() {
        assertEquals(Optional.of(Path.of("/c/capsule/profiles.json")),
                Profiles.file(Map.of("XDG_CONFIG_HOME", "/c", "HOME", "/h")));
        assertEquals(Optional.of(Path.of("/h/.config/capsule/profiles.json")), Profiles.file(Map.of("HOME", "/h")));
        // It would be in the notebook's directory, which cells can write.
        assertEquals(Optional.of(Path.of("/h/.config/capsule/profiles.json")),
                Profiles.file(Map.of("XDG_CONFIG_HOME", "c", "HOME", "/h")));
        assertEquals(Optional.empty(), Profiles.file(Map.of()));
    }

    @Test
    void aValueChangesAndTheOthersStay() {
        var profile = parse("{\"default\": {\"memory\": \"4 GiB\", \"cellDeadline\": \"10 min\"}}").get("default");
        var was = Profile.DEFAULT.limits();
        assertEquals(new Profile("default", Profile.DEFAULT.files(), Network.NONE,
                new Limits(4L << 30, was.processes(), was.descriptors(), was.fileBytes(), was.tmpBytes(),
                        was.workspaceGrowthBytes(), new Deadline.After(Duration.ofMinutes(10)), was.outputBytes()),
                Profile.DEFAULT.interrupt(), Profile.DEFAULT.outputs()), profile);
    }

    @Test
    void everyKeyIsUnderstood() {
        var profile = parse(
                """
                        {"mine": {"extends": "locked", "files": "workspace", "network": "none", "memory": "1 GiB", "processes": 99,
                          "descriptors": 300, "fileSize": "2 MiB", "tmp": "3 MiB", "workspaceGrowth": "4 KiB",
                          "cellDeadline": "never", "interrupt": {"killAfter": "1 min", "signalAfter": "3 s"}, "output": "5 MiB", "comms": "allowed", "payloads": "allowed",
                          "mimeTypes": {"image/png": "withheld", "image/jpeg": "withheld", "application/json": "withheld",
                                        "text/html": "framed", "text/markdown": "escaped", "image/webp": "as-is"}}}
                        """)
                .get("mine");
        assertEquals(new Profile("mine", Profile.Files.WORKSPACE, Network.NONE,
                new Limits(1L << 30, 99, 300, 2 << 20, 3 << 20, 4 << 10, new Deadline.Never(), 5 << 20),
                new Interrupt(Duration.ofSeconds(3), Duration.ofMinutes(1)), new Outputs(
                        new MimeTypes.Only(Map.of("text/plain", Form.AS_IS, "text/html", Form.FRAMED, "text/markdown",
                                Form.ESCAPED, "image/webp", Form.AS_IS)),
                        Leave.ALLOWED, Leave.ALLOWED)),
                profile);
    }

    @Test
    void oneStepOfTheInterruptMayChangeAlone() {
        assertEquals(new Interrupt(Duration.ofSeconds(1), Profile.DEFAULT.interrupt().killAfter()),
                parse("{\"default\": {\"interrupt\": {\"signalAfter\": \"1 s\"}}}").get("default").interrupt());
    }

    @Test
    void aNewProfileIsLikeTheDefaultAndMayBeExtended() {
        var profiles = parse("{\"a\": {\"processes\": 40}, \"b\": {\"extends\": \"a\", \"mimeTypes\": \"every\"}}");
        assertEquals(40, profiles.get("a").limits().processes());
        assertEquals(Profile.DEFAULT.outputs(), profiles.get("a").outputs());
        assertEquals(40, profiles.get("b").limits().processes());
        assertEquals(new MimeTypes.Every(), profiles.get("b").outputs().mimeTypes());
    }

    @Test
    void errorsNameFileKeyValueAndLimit() {
        assertEquals("profiles.json: default has an unknown key \"ram\"; known are extends, files, network, memory, "
                + "processes, descriptors, fileSize, tmp, workspaceGrowth, cellDeadline, interrupt, output, mimeTypes, "
                + "comms, payloads", error("{\"default\": {\"ram\": 1}}"));
        assertEquals("profiles.json: default.memory is 4096; allowed is a size from \"64 MiB\" to \"16 TiB\", such as "
                + "\"2 GiB\"", error("{\"default\": {\"memory\": 4096}}"));
        assertEquals("profiles.json: default.processes is 1000000000000; allowed is a whole number from 8 to 1048576",
                error("{\"default\": {\"processes\": 1000000000000}}"));
        assertEquals("profiles.json: default.interrupt.killAfter is \"11 min\"; allowed is a time from \"1 s\" to "
                + "\"10 min\", such as \"5 s\"", error("{\"default\": {\"interrupt\": {\"killAfter\": \"11 min\"}}}"));
        assertEquals(
                "profiles.json: default.interrupt.killAfter is \"5 s\"; allowed is a time above signalAfter, which is "
                        + "\"60 s\"",
                error("{\"default\": {\"interrupt\": {\"signalAfter\": \"1 min\"}}}"));
        // Who starts a kernel with the machine's network is to see so: no file gives it.
        assertEquals("profiles.json: default.network is \"host\"; allowed is \"none\"; this machine's network is only "
                + "given when a kernel is installed or launched, with --network host",
                error("{\"default\": {\"network\": \"host\"}}"));
        assertEquals("profiles.json: default.files is \"all\"; allowed is \"none\" or \"workspace\"",
                error("{\"default\": {\"files\": \"all\"}}"));
        assertEquals(
                "profiles.json: a.extends is \"b\"; allowed is the name of a profile: default, locked, open (or one "
                        + "defined above it)",
                error("{\"a\": {\"extends\": \"b\"}, \"b\": {}}"));
        assertEquals("profiles.json is not valid JSON: line 1, column 14: Duplicate field 'a'",
                error("{\"a\": {},\"a\": {}}").replaceAll("column \\d+", "column 14"));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', textBlock = """
            {"default": {"memory": "1 MiB"}}
            {"default": {"memory": "2GiB"}}
            {"default": {"memory": "999999999 TiB"}}
            {"default": {"memory": "-2 GiB"}}
            {"default": {"memory": null}}
            {"default": {"memory": ["2 GiB"]}}
            {"default": {"processes": 1}}
            {"default": {"processes": 64.5}}
            {"default": {"processes": "64"}}
            {"default": {"processes": 99999999999999999999999}}
            {"default": {"descriptors": true}}
            {"default": {"cellDeadline": "0 s"}}
            {"default": {"cellDeadline": "none"}}
            {"default": {"cellDeadline": 30}}
            {"default": {"cellDeadline": "999 h"}}
            {"default": {"interrupt": "5 s"}}
            {"default": {"interrupt": {"killAfter": "11 min"}}}
            {"default": {"interrupt": {"killAfter": "2 s"}}}
            {"default": {"interrupt": {"signalAfter": "0 s"}}}
            {"default": {"interrupt": {"signalAfter": "2s"}}}
            {"default": {"interrupt": {"signalAfter": "5 s"}}}
            {"default": {"interrupt": {"signalAfter": null}}}
            {"default": {"interrupt": {"stopAfter": "3 s"}}}
            {"default": {"files": "WORKSPACE"}}
            {"default": {"comms": false}}
            {"default": {"mimeTypes": ["text/html"]}}
            {"default": {"mimeTypes": {"*/*": "as-is"}}}
            {"default": {"mimeTypes": {"text/html": "escaped"}}}
            {"default": {"mimeTypes": {"image/png": "framed"}}}
            {"default": {"mimeTypes": {"text/html": null}}}
            {"default": {"extends": 1}}
            {"default": []}
            {"Default": {}}
            {"../x": {}}
            []
            "default"
            {"default": {}} {}
            {"default": {"memory": NaN}}
            {"default": {"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":1}}}}}}}}}
            {""")
    void whatIsNotUnderstoodIsAnError(String json) {
        assertTrue(error(json).startsWith("profiles.json"), json);
    }

    @Test
    void aFileThatCannotBeReadIsAnErrorAndNotADefault(@TempDir Path directory) throws IOException {
        Path file = Files.createDirectory(directory.resolve("profiles.json"));
        assertThrows(PolicyException.class, () -> Profiles.load(file));
    }

    @Test
    void anUnknownNameListsTheKnownOnes() {
        assertEquals("there is no profile \"mine\"; there are default, locked, open",
                assertThrows(PolicyException.class, () -> Profiles.builtIn().get("mine")).getMessage());
    }

    @Test
    void describesInPlainWords() {
        assertEquals(List.of("profile locked", "files: none of yours; an empty workspace that is gone with the session",
                "network: none but a loopback of its own", "memory: 512 MiB",
                "processes and threads: 64, each with up to 256 open descriptors",
                "disk: files of up to 64 MiB, 64 MiB in /tmp, 64 MiB more in the workspace than at the start",
                "time: a cell may run for 30 s",
                "interrupt: a cell that goes on for 2 s gets a signal from outside, after 5 s its worker is killed",
                "output: 1 MiB from each cell, and as much again in each hour",
                "shown: application/json, image/jpeg, image/png, text/plain", "comms (widgets): withheld",
                "payloads (next cell's text): withheld"), Profile.LOCKED.describe());
        assertTrue(Profile.DEFAULT.describe().contains("shown: application/json, image/gif, image/jpeg, image/png, "
                + "image/svg+xml (in a frame that cannot reach the page), "
                + "text/html (in a frame that cannot reach the page), text/latex (HTML, links and pictures in it as "
                + "text), text/markdown (HTML, links and pictures in it as text), text/plain"));
        assertEquals("none of your files, no network, 512 MiB of memory, cells of up to 30 s, 4 kinds of output, no "
                + "widgets", Profile.LOCKED.summary());
        assertEquals("the notebook's directory, this machine's network, 2 GiB of memory, cells of any length, every "
                + "kind of output, widgets", Profile.OPEN.withNetwork(Network.HOST).summary());
        assertTrue(Profile.OPEN.withNetwork(Network.HOST).describe()
                .contains("network: all that this machine reaches, services on its loopback included"));
    }
}
