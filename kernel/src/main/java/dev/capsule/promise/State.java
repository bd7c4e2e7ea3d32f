package dev.capsule.promise;

/// The states of a promise. All but [#PENDING] are final.
public enum State {
    PENDING, RESOLVED, REJECTED, REJECTED_CANCELED, REJECTED_TIMEDOUT
}
