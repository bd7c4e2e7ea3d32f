package dev.capsule.session;

import dev.capsule.checkpoint.CheckpointException;
import dev.capsule.checkpoint.CheckpointFile;
import dev.capsule.checkpoint.Manifest;
import dev.capsule.frame.Frame;
import dev.capsule.frame.FrameException;
import java.io.IOException;
import java.io.InputStream;
import java.time.ZoneId;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Consumer;
import java.util.function.Supplier;

/// Gives the variables of a checkpoint to a fresh worker, a part at a time.
final class Loading implements Errand {
    static final String ERROR = "RestoreError";

    /// A larger one would not be young when it is garbage, and fill the heap.
    private static final int PART_BYTES = 256 << 10;
    private static final DateTimeFormatter TIME = DateTimeFormatter.ofPattern("yyyy-MM-dd HH:mm")
            .withZone(ZoneId.systemDefault());

    private final String title;
    private final CheckpointFile file;
    private final Supplier<String> languageVersion;
    private final Set<Integer> begun = new HashSet<>();
    private Optional<Blob> current = Optional.empty();
    private Optional<String> problem = Optional.empty();
    private Optional<Told> told = Optional.empty();

    private static final class Blob {
        private final int number;
        private final InputStream in;
        private byte[] next;

        Blob(int number, InputStream in) throws IOException {
            this.number = number;
            this.in = in;
            next = in.readNBytes(PART_BYTES);
        }

        Frame.Supply part() throws IOException {
            byte[] part = next;
            next = in.readNBytes(PART_BYTES);
            return new Frame.Supply(next.length == 0, part);
        }
    }

    private record Told(Map<String, String> unrestored, Map<String, String> versions) {}

    /// @param file verified; this closes it
    /// @param languageVersion of the worker, as soon as it has told it
    Loading(String title, CheckpointFile file, Supplier<String> languageVersion) {
        this.title = title;
        this.file = file;
        this.languageVersion = languageVersion;
    }

    @Override
    public String title() {
        return title;
    }

    @Override
    public Frame.ToWorker request(String id) {
        var variables = file.manifest().variables();
        return new Frame.Restore(id, variables.stream().map(Manifest.Variable::name).toList(),
                variables.stream().map(Manifest.Variable::blob).toList(),
                List.copyOf(file.manifest().packages().keySet()));
    }

    @Override
    public boolean part(Frame.Part part) {
        throw new FrameException("a checkpoint is being restored, and the worker sends a part of one");
    }

    @Override
    public Frame.ToWorker fetch(Frame.Fetch fetch) {
        try {
            if (current.isEmpty() || current.get().number != fetch.blob()) {
                if (fetch.blob() >= file.manifest().blobs().size() || !begun.add(fetch.blob())) {
                    throw new FrameException("the worker wants blob %d, which it has had or does not exist"
                            .formatted(fetch.blob()));
                }
                closeBlob();
                current = Optional.of(new Blob(fetch.blob(), file.read(fetch.blob())));
            }
            return current.get().part();
        } catch (IOException | CheckpointException e) {
            // It was verified: the disk fails. An empty pickle makes the worker go on, and the rest is not taken.
            problem = Optional.of(String.valueOf(e.getMessage()));
            return new Frame.Supply(true, new byte[0]);
        }
    }

    private void closeBlob() throws IOException {
        if (current.isPresent()) {
            current.get().in.close();
        }
    }

    @Override
    public void resolved(Frame.Resolve resolve) {
        var fields = resolve.fields();
        var names = fields.strings("unrestored");
        var reasons = Saving.column(fields.strings("reasons"), names);
        var unrestored = new HashMap<String, String>();
        for (int i = 0; i < names.size(); i++) {
            unrestored.put(names.get(i), reasons.get(i));
        }
        told = Optional.of(new Told(unrestored, Saving.versions(fields)));
    }

    @Override
    public Outcome end(Optional<Outcome.Failed> failure, Consumer<String> say) {
        try (file) {
            closeBlob();
        } catch (IOException e) {
            problem = problem.or(() -> Optional.of(String.valueOf(e.getMessage())));
        }
        if (problem.isPresent() || failure.isPresent()) {
            return Outcome.Failed.because(ERROR, notRestored(problem.or(() -> failure.map(
                    failed -> failed.ename().equals(Outcome.WORKER_DIED)
                            ? failed.evalue()
                            : failed.ename() + ": " + failed.evalue()))
                    .orElseThrow()));
        }
        say.accept(report(told.orElseThrow()));
        return Outcome.Succeeded.EMPTY;
    }

    @Override
    public void forget() {
        file.close();
    }

    static String notRestored(String why) {
        return "nothing was changed: " + why;
    }

    private String report(Told said) {
        var manifest = file.manifest();
        var lost = new ArrayList<Manifest.Failure>();
        for (var variable : manifest.variables()) {
            Optional.ofNullable(said.unrestored.get(variable.name())).ifPresent(
                    reason -> lost.add(new Manifest.Failure(variable.name(), variable.type(), reason)));
        }
        int all = manifest.variables().size();
        var text = new StringBuilder(
                "Restored %s of the checkpoint made %s in %s; those that were there before are gone.\n"
                        .formatted(lost.isEmpty()
                                ? Reports.count(all, "variable")
                                : "%,d of %s".formatted(all - lost.size(), Reports.count(all, "variable")),
                                TIME.format(manifest.time()), manifest.shownDirectory()));
        Reports.failures(text, "Not restored:", lost);
        Reports.failures(text, "Not in the checkpoint:", manifest.failures());
        var different = different(said);
        if (!different.isEmpty()) {
            text.append("Versions differ, so some variables may not work as they did: ")
                    .append(String.join(", ", different)).append('\n');
        }
        return text.toString();
    }

    private List<String> different(Told said) {
        var different = new ArrayList<String>();
        var language = file.manifest().language();
        note(different, language.name(), language.version(), languageVersion.get());
        new TreeMap<>(file.manifest().packages()).forEach((name, version) -> note(different, name, version,
                said.versions.getOrDefault(name, "not there")));
        return different;
    }

    private static void note(List<String> different, String name, String then, String now) {
        if (!then.equals(now)) {
            different.add("%s was %s and is %s".formatted(name, then, Manifest.plain(now)));
        }
    }
}
