package dev.capsule.json;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.time.Instant;
import java.time.format.DateTimeFormatterBuilder;
import java.util.Locale;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class TimestampTest {
    @ParameterizedTest
    @ValueSource(strings = {"2026-11-30T15:52:09.123456Z", "1970-01-01T00:00:00Z", "1969-12-31T23:59:59.999999999Z",
            "2000-02-29T12:00:00.000001Z", "2100-03-01T00:00:00.1Z", "0001-01-01T01:02:03Z", "9999-12-31T23:59:59.5Z"})
    void isWhatTheJdkWrites(String text) {
        var time = Instant.parse(text);
        assertEquals(new DateTimeFormatterBuilder().appendInstant(6).toFormatter(Locale.ROOT).format(time),
                Timestamp.of(time));
    }
}
