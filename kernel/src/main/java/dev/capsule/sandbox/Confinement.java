package dev.capsule.sandbox;

/// What a thread does to itself before it starts a worker, which inherits it. There is no way back: the thread is one
/// that nothing else runs on.
public sealed interface Confinement permits Confinement.Unconfined, Landlock, Staging {

    /// @throws SandboxException if anything of it is refused; the thread must then not start the worker
    void enter() throws SandboxException;

    /// Whether the thread must be gone before the worker runs a cell, since the worker may do with it as it likes.
    boolean ownsThread();

    /// The command itself builds the sandbox, or there is none.
    record Unconfined() implements Confinement {
        @Override
        public void enter() {}

        @Override
        public boolean ownsThread() {
            return false;
        }
    }
}
