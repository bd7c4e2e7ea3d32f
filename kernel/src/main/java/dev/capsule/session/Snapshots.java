package dev.capsule.session;

import dev.capsule.sandbox.Launch;
import java.time.Instant;
import java.time.LocalTime;
import java.time.ZoneId;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/// How a session's variables came to be what they are, and to which earlier states it can go back. Guarded by the session.
final class Snapshots {
    /// More are not kept: the oldest go first.
    static final int MAX = Launch.MAX_SNAPSHOTS;

    /// Fewer than there may be buffers in a frame.
    private static final int MAX_INPUTS = 1_000;
    private static final long MAX_INPUT_CHARS = 16 << 20;

    /// Of so many states it is known which cell made them, and which state was before. What is before these is taken
    /// together from one snapshot to the next.
    private static final int MAX_STATES = 1_000;

    /// So many cells are named one by one.
    private static final int MAX_LISTED = 6;

    /// What one cell after the other has made of the variables of a fresh worker.
    static final class State {
        /// Both absent in the state of a fresh worker.
        private @Nullable State before;
        private final @Nullable Ran cell;
        /// The highest count that had been given when it came to be.
        private final int lastCount;
        private boolean hadSnapshot;

        private State(@Nullable State before, @Nullable Ran cell, int lastCount) {
            this.before = before;
            this.cell = cell;
            this.lastCount = lastCount;
        }

        String describe() {
            return cell == null ? "before the first cell of this worker" : "after " + cell.title();
        }
    }

    /// A cell that was given to the worker.
    ///
    /// @param count empty for one that nobody sees
    /// @param title as messages name it
    private record Ran(String id, Optional<Integer> count, String title) {
        private static final String NOBODY = "";

        /// Several cells, of which this was the last.
        Ran andEarlier() {
            return isSeveral() ? this : new Ran(NOBODY, count, "the cells up to " + title);
        }

        boolean isSeveral() {
            return id.equals(NOBODY);
        }
    }

    record Snapshot(int pid, State state, Instant madeAt) {}

    /// Where to go when the worker's process has died.
    ///
    /// @param lost cells whose effects it does not show; empty when it shows them all
    /// @param snapshotsGone whether there were snapshots of what is lost
    record Way(Snapshot to, List<String> lost, boolean snapshotsGone) {
        /// To a state that was chosen.
        Way(Snapshot to) {
            this(to, List.of(), false);
        }
    }

    private State present;
    /// That have been added since all were looked at.
    private int states;
    /// The cells that are not settled.
    private final Set<String> running = new HashSet<>();
    private int lastCount;
    private final List<Snapshot> kept = new ArrayList<>();
    /// What was run last, by count, which a worker that comes of a snapshot may have to be told.
    private final TreeMap<Integer, String> inputs = new TreeMap<>();
    private long inputChars;
    private Optional<String> refusal = Optional.empty();
    /// Sockets and pipes that were open in the snapshot that was restored last, and are closed.
    private int cut;

    /// Of a fresh worker.
    ///
    /// @param lastCount the highest that a cell had before
    Snapshots(int lastCount) {
        this.lastCount = lastCount;
        present = new State(null, null, lastCount);
    }

    int lastCount() {
        return lastCount;
    }

    /// A cell that counts was given, be it a command.
    void given(int count, String code) {
        lastCount = count;
        inputs.put(count, code);
        inputChars += code.length();
        while (inputs.size() > MAX_INPUTS || inputChars > MAX_INPUT_CHARS) {
            inputChars -= inputs.pollFirstEntry().getValue().length();
        }
    }

    /// A cell is about to change the state.
    ///
    /// @param count empty for what is not to be taken back as a cell
    /// @param title as messages name it
    void runs(String id, Optional<Integer> count, String title) {
        present = new State(present, new Ran(id, count, title), lastCount);
        running.add(id);
        if (++states > 2 * MAX_STATES) {
            states = MAX_STATES;
            shorten();
        }
    }

    private void shorten() {
        State later = present;
        for (int i = 1; i < MAX_STATES && later.before != null; i++) {
            later = later.before;
        }
        var shown = kept.stream().map(Snapshot::state).collect(Collectors.toSet());
        for (State base = later.before; base != null; later = base, base = base.before) {
            var newest = base;
            boolean hadSnapshot = false;
            while (base.before != null && !shown.contains(base)) {
                if (running.contains(cell(base).id())) {
                    return;
                }
                hadSnapshot |= base.hadSnapshot;
                base = base.before;
            }
            if (base != newest && base != newest.before) {
                later.before = new State(base, cell(newest).andEarlier(), newest.lastCount);
                later.before.hadSnapshot = hadSnapshot;
            }
        }
    }

    private static Ran cell(State state) {
        return Objects.requireNonNull(state.cell);
    }

    void settled(String id) {
        running.remove(id);
    }

    State present() {
        return present;
    }

    /// @param after the last cell whose effects it shows; empty when it shows none
    /// @return the snapshots that are to make room
    List<Integer> made(int pid, String after) {
        Optional<State> state = find(after);
        if (state.isEmpty()) {
            return List.of(pid);
        }
        refusal = Optional.empty();
        state.get().hadSnapshot = true;
        kept.add(new Snapshot(pid, state.get(), Instant.now()));
        if (kept.size() <= MAX) {
            return List.of();
        }
        // That of the fresh worker stays: it serves where no other can, and is smaller than a worker that is started.
        var oldest = kept.get(kept.getFirst().state().cell == null ? 1 : 0);
        kept.remove(oldest);
        return List.of(oldest.pid());
    }

    void refused(String reason) {
        refusal = Optional.of(reason);
    }

    void gone(int pid) {
        kept.removeIf(snapshot -> snapshot.pid() == pid);
    }

    /// The worker is gone, and with it all of them.
    void clear() {
        kept.clear();
    }

    /// The state that shows a cell, those before it, and those of other shells that have been settled since.
    ///
    /// @return empty when there is none: it does not show a cell that came before one it shows
    private Optional<State> find(String after) {
        State found = null;
        boolean named = false;
        int unseen = running.size();
        for (State state = present; state != null && !(named && unseen == 0); state = state.before) {
            if (state.cell != null && running.contains(state.cell.id())) {
                if (found != null) {
                    return Optional.empty();
                }
                unseen--;
            } else if (found == null) {
                found = state;
            }
            named |= state.cell == null ? after.isEmpty() : state.cell.id().equals(after);
        }
        return named ? Optional.ofNullable(found) : Optional.empty();
    }

    /// The newest snapshot of exactly this state.
    Optional<Snapshot> of(State state) {
        return kept.reversed().stream().filter(snapshot -> snapshot.state() == state).findFirst();
    }

    /// Where to go from a state that is no more. Cells that were running are not among what is lost.
    Optional<Way> from(State wanted) {
        var lost = new ArrayList<String>();
        boolean gone = false;
        for (State state = wanted; state != null; state = state.before) {
            var snapshot = of(state);
            if (snapshot.isPresent()) {
                return Optional.of(new Way(snapshot.get(), lost.reversed(), gone));
            }
            gone |= state.hadSnapshot;
            if (state.cell != null && !running.contains(state.cell.id())) {
                lost.add(state.cell.title());
            }
        }
        return Optional.empty();
    }

    /// The state before the last cells that count, if as many have been run in it.
    Optional<State> back(int cells) {
        State state = present;
        for (int left = cells; left > 0;) {
            if (state.before == null || state.cell == null || state.cell.isSeveral()) {
                return Optional.empty();
            }
            left -= state.cell.count().isPresent() ? 1 : 0;
            state = state.before;
        }
        return Optional.of(state);
    }

    /// The newest snapshot of the state after a cell.
    Optional<Snapshot> after(int count) {
        return kept.reversed().stream().filter(snapshot -> number(snapshot.state()) == count).findFirst();
    }

    /// The count of the last cell that a state shows, 0 if there is none.
    private static int number(State state) {
        for (State each = state; each != null; each = each.before) {
            if (each.cell != null && each.cell.count().isPresent()) {
                return each.cell.count().get();
            }
        }
        return 0;
    }

    /// The session goes on from a snapshot.
    ///
    /// @param cut how many sockets and pipes were open in it, and are closed
    /// @return what was run since, by count
    SortedMap<Integer, String> restored(Snapshot snapshot, int cut) {
        present = snapshot.state();
        this.cut = cut;
        return since(snapshot);
    }

    private SortedMap<Integer, String> since(Snapshot snapshot) {
        return new TreeMap<>(inputs.tailMap(snapshot.state().lastCount, false));
    }

    /// What a person should know about where the variables now are from, when they have been restored.
    String describe(Way way) {
        String where = "The variables are as they were %s; files are not restored%s.".formatted(
                way.to().state().describe(), cut < 1
                        ? ""
                        : cut == 1
                                ? ", and a socket or pipe that was open is closed"
                                : ", and %d sockets or pipes that were open are closed".formatted(cut));
        if (way.lost().isEmpty()) {
            return where;
        }
        return where + " What %s made is lost: %s.".formatted(list(way.lost().stream().distinct().toList()), refusal
                .map(why -> "no snapshot could be made, since " + why)
                .orElse(way.snapshotsGone()
                        ? "there are no snapshots of that any more (they make room when memory is short)"
                        : "the cells came so fast that no snapshot was made between them"));
    }

    private static String list(List<String> cells) {
        return cells.size() <= MAX_LISTED
                ? String.join(", ", cells)
                : "%s, %s … %s (%d cells)".formatted(cells.getFirst(), cells.get(1), cells.getLast(), cells.size());
    }

    /// Why there is no snapshot of the present.
    String why() {
        return refusal.map(reason -> "no snapshot could be made, since " + reason)
                .orElse("no snapshot of that state is kept any more, or none was made");
    }

    /// The states that can be gone to, and why the present is not among them if it is not.
    ///
    /// @param memory of the snapshots, in bytes by pid
    String list(Map<Integer, Long> memory) {
        var lines = new ArrayList<String>();
        for (var snapshot : kept) {
            int number = number(snapshot.state());
            lines.add("%s %-14s %s  %s".formatted(snapshot.state() == present ? "*" : " ",
                    number == 0 ? "the start (0)" : "In [" + number + "]", time(snapshot.madeAt()),
                    Optional.ofNullable(memory.get(snapshot.pid())).map(bytes -> "%,d KiB".formatted(bytes >> 10))
                            .orElse("")));
        }
        String head = kept.isEmpty()
                ? "There are no snapshots."
                : "  state after     made      memory\n" + lines.stream().map(String::stripTrailing)
                        .collect(Collectors.joining("\n"))
                        + "\n%undo [N] takes back cells, %goto N goes to the state after In [N].";
        return of(present).isPresent() ? head + "\n" : head + "\nOf the present state " + why() + ".\n";
    }

    private static String time(Instant instant) {
        return "%tT".formatted(LocalTime.ofInstant(instant, ZoneId.systemDefault()));
    }
}
