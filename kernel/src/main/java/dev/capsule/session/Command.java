package dev.capsule.session;

import dev.capsule.checkpoint.Shelf;
import java.util.Optional;
import java.util.function.Function;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// What the kernel itself does for a cell, whatever language its worker speaks. A cell that is nothing but one such line,
/// or begins with one that starts with `%%`, is a command; what only looks like one is left to the worker. No argument has
/// a `#`, so that a comment may follow.
sealed interface Command {
    /// Takes back the last cells.
    record Undo(int cells) implements Command {}

    /// Lists the states that there are snapshots of.
    record Snapshots() implements Command {}

    /// Goes to the state after a cell.
    ///
    /// @param count of the cell; 0 for the state before the first
    record GoTo(int count) implements Command {}

    /// Runs the rest of the cell under a policy.
    record Transact(Transaction policy, String code) implements Command {}

    /// Has all later cells run under a policy, unless they say otherwise.
    record SetTransaction(Transaction policy) implements Command {}

    /// Saves the variables.
    record Checkpoint(String name) implements Command {}

    /// Replaces the variables by saved ones.
    record Restore(String name) implements Command {}
    /// Lists how workers and their processes have died.
    record Deaths() implements Command {}

    /// Ends the worker and starts a fresh one.
    record Recycle() implements Command {}

    /// It is meant to be a command, and is none.
    record Malformed(String message) implements Command {}

    String REST = "(?:[ \\t]+([^\\s#]\\S*))?(?:[ \\t]+#.*)?[ \\t]*";
    Pattern LINE = Pattern.compile(
            "%(undo|snapshots|goto|transaction|checkpoint|restore|deaths|recycle)" + REST);
    Pattern CELL = Pattern.compile("\\s*%%transaction" + REST + "(?:\\r?\\n|\\z)");

    /// @return empty when the code is for the worker
    static Optional<Command> parse(String code) {
        if (code.indexOf('%') < 0) {
            return Optional.empty();
        }
        var cell = CELL.matcher(code);
        if (cell.lookingAt()) {
            // With the first line as a comment, so that tracebacks count, and show, as the person does.
            return Optional.of(argument(cell, 1).map(
                    name -> policy(name)
                            .<Command>map(policy -> new Transact(policy,
                                    "#" + cell.group().strip() + "\n" + code.substring(cell.end())))
                            .orElseGet(() -> unknown(name)))
                    .orElseGet(() -> new Malformed("%%transaction has no policy; it is one of " + Transaction.NAMES)));
        }
        var line = LINE.matcher(code.strip());
        return line.matches() ? Optional.of(command(line)) : Optional.empty();
    }

    private static Command command(Matcher line) {
        var argument = argument(line, 2);
        return switch (line.group(1)) {
            case "undo" -> argument.map(text -> number(text, 1).<Command>map(Undo::new).orElseGet(
                    () -> new Malformed("%undo " + text + ": how many cells to take back is a number from 1 on")))
                    .orElseGet(() -> new Undo(1));
            case "goto" -> argument.map(text -> number(text, 0).<Command>map(GoTo::new).orElseGet(
                    () -> new Malformed("%goto " + text + ": a cell is given by its number, as %snapshots lists it")))
                    .orElseGet(() -> new Malformed("%goto has no cell; %snapshots lists where it can go"));
            case "transaction" -> argument.map(
                    name -> policy(name).<Command>map(SetTransaction::new).orElseGet(() -> unknown(name)))
                    .orElseGet(() -> new Malformed("%transaction has no policy; it is one of " + Transaction.NAMES));
            case "checkpoint" -> named(line, Checkpoint::new);
            case "restore" -> named(line, Restore::new);
            case "deaths" -> alone(line, new Deaths());
            case "recycle" -> alone(line, new Recycle());
            default -> alone(line, new Snapshots());
        };
    }

    private static Command alone(Matcher line, Command command) {
        return argument(line, 2).<Command>map(
                text -> new Malformed("%%%s takes nothing: %s".formatted(line.group(1), text))).orElse(command);
    }

    private static Optional<String> argument(Matcher matcher, int group) {
        return Optional.ofNullable(matcher.group(group));
    }

    private static Command named(Matcher line, Function<String, Command> command) {
        return argument(line, 2).map(name -> Shelf.NAME.matcher(name).matches()
                ? command.apply(name)
                : new Malformed(
                        "%%%s %s: a name has letters, digits, _, . and -, at most 64, and begins with a letter or digit"
                                .formatted(line.group(1), name)))
                .orElseGet(() -> new Malformed("%%%s has no name, as in %%%s before-training".formatted(line.group(1),
                        line.group(1))));
    }

    private static Optional<Integer> number(String text, int least) {
        return text.matches("\\d{1,9}") && Integer.parseInt(text) >= least
                ? Optional.of(Integer.parseInt(text))
                : Optional.empty();
    }

    private static Optional<Transaction> policy(String name) {
        return Transaction.named(name);
    }

    private static Command unknown(String name) {
        return new Malformed("%s is no transaction policy; it is one of %s".formatted(name, Transaction.NAMES));
    }
}
