package dev.capsule.session;

import dev.capsule.frame.Frame;
import java.util.Optional;
import java.util.function.Consumer;

/// What an execution does for the kernel itself: nothing is a cell's code, but user code runs in it. Its calls come one at
/// a time.
sealed interface Errand permits Saving, Loading {
    /// For messages, such as `%checkpoint NAME`.
    String title();

    Frame.ToWorker request(String id);

    /// @return whether to go on; else the execution is to be stopped
    /// @throws dev.capsule.frame.FrameException if the frame makes no sense
    boolean part(Frame.Part part);

    /// @throws dev.capsule.frame.FrameException if the frame makes no sense
    Frame.ToWorker fetch(Frame.Fetch fetch);

    /// What the worker says at the end; [#end] follows.
    ///
    /// @throws dev.capsule.frame.FrameException if the frame makes no sense
    void resolved(Frame.Resolve resolve);

    /// The execution has ended.
    ///
    /// @param failure of the execution, if it failed
    /// @param say what is to be told of a success
    Outcome end(Optional<Outcome.Failed> failure, Consumer<String> say);

    /// In place of all others: there is no worker for it.
    void forget();
}
