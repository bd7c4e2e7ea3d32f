package dev.capsule.kernel;

import dev.capsule.channel.RouterSocket;
import dev.capsule.jupyter.Content;
import dev.capsule.jupyter.Message;
import dev.capsule.jupyter.Request;
import dev.capsule.jupyter.Wire;
import dev.capsule.jupyter.WireException;
import dev.capsule.log.Logs;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.function.BiFunction;

/// The main shell and its subshells (Jupyter enhancement proposal 91). Each answers its own requests in order, whatever the
/// others do. They are on nobody's books but these: the worker hears of one with its first request. Safe for several
/// threads.
final class Shells {
    private static final Logger LOG = Logs.of(Shells.class);

    /// Each may have a thread in the worker.
    static final int MAX = 32;

    /// A subshell that no client knows of.
    private static final String ASIDE = "aside";

    private final Wire wire;
    private final Iopub iopub;
    private final BiFunction<Optional<String>, Optional<Shell>, Shell> make;
    private final Shell main;

    // Guarded by itself, oldest first.
    private final Map<String, Shell> subshells = new LinkedHashMap<>();

    /// @param make a shell, of the subshell if one is named, and with one that answers questions for it
    Shells(Wire wire, Iopub iopub, BiFunction<Optional<String>, Optional<Shell>, Shell> make) {
        this.wire = wire;
        this.iopub = iopub;
        this.make = make;
        main = make.apply(Optional.empty(), Optional.of(make.apply(Optional.of(ASIDE), Optional.empty())));
    }

    /// Takes a verified message of the shell channel.
    void submit(Message message, RouterSocket shell, RouterSocket stdinSocket) {
        var subshell = message.header().subshellId();
        if (subshell.isEmpty()) {
            main.submit(message, shell, stdinSocket);
            return;
        }
        Optional<Shell> known;
        synchronized (subshells) {
            known = Optional.ofNullable(subshells.get(subshell.get()));
        }
        known.ifPresentOrElse(it -> it.submit(message, shell, stdinSocket),
                () -> refuse(new Exchange(message, shell, wire, iopub), subshell.get()));
    }

    private static void refuse(Exchange exchange, String subshell) {
        try (exchange) {
            var why = unknown(subshell);
            LOG.log(Level.WARNING, () -> "refused a request: " + why.getMessage());
            if (exchange.request().header().msgType().endsWith("_request")) {
                exchange.reply(Content.failure("SubshellNotFound", why.getMessage()));
            }
        }
    }

    static WireException unknown(String subshell) {
        return new WireException("there is no subshell \"" + subshell + "\"; it may have been deleted");
    }

    /// Answers and closes the exchange.
    void answer(Exchange exchange, Request.AboutSubshells request) {
        try (exchange) {
            exchange.reply(switch (request) {
                case Request.CreateSubshell() -> create();
                case Request.DeleteSubshell(var subshell) -> delete(subshell);
                case Request.ListSubshells() -> Content.listSubshells(ids());
            });
        }
    }

    private byte[] create() {
        synchronized (subshells) {
            if (subshells.size() >= MAX) {
                return Content.failure("TooManySubshells",
                        "there are %d subshells, and no more than %d at once; delete one first"
                                .formatted(subshells.size(), MAX));
            }
            String id = UUID.randomUUID().toString();
            subshells.put(id, make.apply(Optional.of(id), Optional.empty()));
            return Content.createSubshell(id);
        }
    }

    private byte[] delete(String subshell) {
        Shell deleted;
        synchronized (subshells) {
            deleted = subshells.remove(subshell);
        }
        if (deleted == null) {
            return Content.failure("SubshellNotFound", unknown(subshell).getMessage());
        }
        deleted.end();
        return Content.ok();
    }

    private List<String> ids() {
        synchronized (subshells) {
            return new ArrayList<>(subshells.keySet());
        }
    }
}
