package dev.capsule.session;

import dev.capsule.checkpoint.CheckpointException;
import dev.capsule.checkpoint.Draft;
import dev.capsule.checkpoint.Manifest;
import dev.capsule.frame.Fields;
import dev.capsule.frame.Frame;
import dev.capsule.frame.FrameException;
import dev.capsule.log.Logs;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;

/// Makes a checkpoint of what the worker sends: each part goes to the disk as it comes.
final class Saving implements Errand {
    private static final Logger LOG = Logs.of(Saving.class);

    static final String ERROR = "CheckpointError";

    private final String name;
    private final Draft draft;
    private final Made made;
    private Optional<String> problem = Optional.empty();
    private Optional<Told> told = Optional.empty();

    /// What the kernel knows of a checkpoint that is made.
    interface Made {
        Manifest manifest(List<Manifest.Blob> blobs, List<Manifest.Variable> variables,
                List<Manifest.Failure> failures, Map<String, String> packages);
    }

    /// @param followed whether the worker has found all that variables share
    private record Told(List<Manifest.Variable> variables, List<Manifest.Failure> failures,
            Map<String, String> packages, boolean followed) {}

    /// @param draft which this closes
    Saving(String name, Draft draft, Made made) {
        this.name = name;
        this.draft = draft;
        this.made = made;
    }

    @Override
    public String title() {
        return "%checkpoint " + name;
    }

    @Override
    public Frame.ToWorker request(String id) {
        return new Frame.Checkpoint(id, draft.limit());
    }

    @Override
    public boolean part(Frame.Part part) {
        if (problem.isEmpty()) {
            try {
                draft.add(part.blob(), part.bytes());
            } catch (CheckpointException e) {
                problem = Optional.of(e.getMessage());
            }
        }
        return problem.isEmpty();
    }

    @Override
    public Frame.ToWorker fetch(Frame.Fetch fetch) {
        throw new FrameException("a checkpoint is being made, and the worker wants a part of one");
    }

    @Override
    public void resolved(Frame.Resolve resolve) {
        var fields = resolve.fields();
        var names = fields.strings("names");
        var types = column(fields.strings("types"), names);
        var blobs = column(fields.integers("blobs"), names);
        var variables = new ArrayList<Manifest.Variable>();
        for (int i = 0; i < names.size(); i++) {
            variables.add(new Manifest.Variable(names.get(i), types.get(i), blobs.get(i)));
        }
        var unsaved = fields.strings("unsaved");
        var unsavedTypes = column(fields.strings("unsaved_types"), unsaved);
        var reasons = column(fields.strings("reasons"), unsaved);
        var failures = new ArrayList<Manifest.Failure>();
        for (int i = 0; i < unsaved.size(); i++) {
            failures.add(new Manifest.Failure(unsaved.get(i), unsavedTypes.get(i), reasons.get(i)));
        }
        told = Optional.of(new Told(variables, failures, versions(fields), fields.bool("followed")));
    }

    static <T> List<T> column(List<T> values, List<?> names) {
        if (values.size() != names.size()) {
            throw new FrameException("a table has columns of %d and %d values".formatted(names.size(),
                    values.size()));
        }
        return values;
    }

    /// The versions of packages, by name.
    static Map<String, String> versions(Fields fields) {
        var packages = fields.strings("packages");
        var versions = column(fields.strings("versions"), packages);
        var byName = new LinkedHashMap<String, String>();
        for (int i = 0; i < packages.size(); i++) {
            byName.put(packages.get(i), versions.get(i));
        }
        return byName;
    }

    @Override
    public Outcome end(Optional<Outcome.Failed> failure, Consumer<String> say) {
        try (draft) {
            if (problem.isPresent()) {
                return Outcome.Failed.because(ERROR, notMade(problem.get()));
            }
            if (failure.isPresent()) {
                return failure.get();
            }
            var all = told.orElseThrow();
            say.accept(report(draft.finish(blobs -> made.manifest(blobs, all.variables, all.failures, all.packages)),
                    all.followed));
            return Outcome.Succeeded.EMPTY;
        } catch (CheckpointException e) {
            LOG.log(Level.DEBUG, "no checkpoint", e);
            return Outcome.Failed.because(ERROR, notMade(e.getMessage()));
        }
    }

    @Override
    public void forget() {
        draft.close();
    }

    static String notMade(String why) {
        return "no checkpoint was made, and an earlier one of this name is as it was: " + why;
    }

    private String report(Manifest manifest, boolean followed) {
        var text = new StringBuilder("Checkpoint \"%s\": %s, %s.\n".formatted(name,
                Reports.count(manifest.variables().size(), "variable"), Reports.size(manifest.bytes())));
        if (!followed) {
            text.append("There are so many objects that not all were followed: one that is in two variables, and is no"
                    + " variable itself, may be two when they are restored.\n");
        }
        Reports.failures(text, "Not saved:", manifest.failures());
        return text.toString();
    }
}
