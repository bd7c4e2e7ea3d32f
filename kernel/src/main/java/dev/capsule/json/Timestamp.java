package dev.capsule.json;

import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.LocalDate;

/// A time in ISO 8601, in UTC with microseconds, as Jupyter has it in a message's header: `2026-01-01T00:00:00.000000Z`.
/// Without the cost that a formatter of the JDK's adds to the start of a kernel: a hundred classes.
public final class Timestamp {
    /// That each has, in ASCII; of the years 0 to 9999.
    public static final int BYTES = "2026-01-01T00:00:00.000000Z".length();

    private Timestamp() {}

    public static String of(Instant time) {
        byte[] text = new byte[BYTES];
        int _ = append(text, 0, time);
        return new String(text, StandardCharsets.ISO_8859_1);
    }

    /// @return where it ends
    public static int append(byte[] target, int start, Instant time) {
        var date = LocalDate.ofEpochDay(Math.floorDiv(time.getEpochSecond(), 86_400L));
        int second = (int) Math.floorMod(time.getEpochSecond(), 86_400L);
        int micros = time.getNano() / 1_000;
        int at = appendTwoDigits(target, start, date.getYear() / 100);
        at = appendTwoDigits(target, at, date.getYear() % 100);
        target[at++] = '-';
        at = appendTwoDigits(target, at, date.getMonthValue());
        target[at++] = '-';
        at = appendTwoDigits(target, at, date.getDayOfMonth());
        target[at++] = 'T';
        at = appendTwoDigits(target, at, second / 3_600);
        target[at++] = ':';
        at = appendTwoDigits(target, at, second / 60 % 60);
        target[at++] = ':';
        at = appendTwoDigits(target, at, second % 60);
        target[at++] = '.';
        at = appendTwoDigits(target, at, micros / 10_000);
        at = appendTwoDigits(target, at, micros / 100 % 100);
        at = appendTwoDigits(target, at, micros % 100);
        target[at++] = 'Z';
        return at;
    }

    private static int appendTwoDigits(byte[] target, int at, int value) {
        target[at] = (byte) ('0' + value / 10);
        target[at + 1] = (byte) ('0' + value % 10);
        return at + 2;
    }
}
