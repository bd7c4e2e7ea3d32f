package org.sqlite.date;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.sql.DriverManager;
import java.sql.SQLException;
import java.sql.Timestamp;
import java.time.Instant;
import java.util.Calendar;
import java.util.TimeZone;
import org.junit.jupiter.api.Test;

class FastDateFormatTest {
    /// As SQLite's own class has it: in the zone of the calendar, read back as it was bound.
    @Test
    void sqliteReadsAndWritesDatesByIt() throws SQLException {
        var time = Timestamp.from(Instant.parse("2026-11-30T15:52:09.123Z"));
        var zone = Calendar.getInstance(TimeZone.getTimeZone("Asia/Tokyo"));
        try (var connection = DriverManager.getConnection("jdbc:sqlite::memory:?date_class=text");
                var statement = connection.prepareStatement("SELECT ?, ?")) {
            statement.setTimestamp(1, time);
            statement.setTimestamp(2, time, zone);
            try (var found = statement.executeQuery()) {
                assertEquals("2026-12-01 00:52:09.123", found.getString(2));
                assertEquals(time, found.getTimestamp(1));
                assertEquals(time, found.getTimestamp(2, zone));
            }
        }
    }
}
