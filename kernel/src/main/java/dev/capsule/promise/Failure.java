package dev.capsule.promise;

import java.util.List;

/// Why something did not succeed, as Jupyter's `error` has it.
public record Failure(String ename, String evalue, List<String> traceback) {
    public Failure {
        traceback = List.copyOf(traceback);
    }
}
