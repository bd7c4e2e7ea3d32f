package org.sqlite.date;

import java.text.ParseException;
import java.text.SimpleDateFormat;
import java.util.Date;
import java.util.TimeZone;

/// In the place of SQLite's own, of which every connection makes one whether a date is ever asked of it or not: that brings
/// in calendars, locales and time zones. This makes what it needs when it is asked.
///
/// @param pattern as [SimpleDateFormat] has it
public record FastDateFormat(String pattern, TimeZone zone) {
    public static FastDateFormat getInstance(String pattern) {
        return new FastDateFormat(pattern, TimeZone.getDefault());
    }

    public static FastDateFormat getInstance(String pattern, TimeZone zone) {
        return new FastDateFormat(pattern, zone);
    }

    public String format(Date date) {
        return format().format(date);
    }

    public Date parse(String date) throws ParseException {
        return format().parse(date);
    }

    private SimpleDateFormat format() {
        var format = new SimpleDateFormat(pattern);
        format.setTimeZone(zone);
        return format;
    }
}
