package dev.capsule.session;

import dev.capsule.promise.Failure;
import dev.capsule.promise.Promises;
import dev.capsule.promise.Settlement;
import java.util.List;

/// A question of the code to the person in front of it: a promise that the kernel settles. What comes after it is
/// settled, by an answer, an interrupt or the worker's end, is ignored.
public final class InputRequest {
    private final String id;
    private final String prompt;
    private final boolean password;
    private final Promises<String> promises;

    InputRequest(String id, String prompt, boolean password, Promises<String> promises) {
        this.id = id;
        this.prompt = prompt;
        this.password = password;
        this.promises = promises;
    }

    public String prompt() {
        return prompt;
    }

    /// Whether the answer must not be shown.
    public boolean password() {
        return password;
    }

    /// Whether the code still waits.
    public boolean isOpen() {
        return promises.isOpen(id);
    }

    /// @return false when nobody waits any more
    public boolean answer(String value) {
        return promises.settle(id, new Settlement.Resolved<>(value));
    }

    /// Makes the code's `input()` fail.
    public void refuse(String ename, String evalue) {
        promises.settle(id, new Settlement.Rejected<>(new Failure(ename, evalue, List.of())));
    }
}
