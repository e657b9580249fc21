//! The only place that reads the clock; time never enters a key or a result.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Starts a stopwatch.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads it"
)]
pub fn now() -> Instant {
    Instant::now()
}

/// Milliseconds since 1970-01-01 UTC.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads it"
)]
pub fn unix_milliseconds() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The day of a moment in seconds since 1970, UTC: `1997-09-20`.
#[must_use]
pub fn day(unix_seconds: i64) -> String {
    // Years counted from March, so that the leap day is the last of its year.
    let days = unix_seconds.div_euclid(86_400) + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// A moment in milliseconds since 1970, to the second: `1997-09-20 03:05:10 UTC`.
#[must_use]
pub fn moment(unix_milliseconds: u64) -> String {
    let seconds = unix_milliseconds / 1000;
    let of_day = seconds % 86_400;
    format!(
        "{} {:02}:{:02}:{:02} UTC",
        day(i64::try_from(seconds).unwrap_or(0)),
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60
    )
}

/// How long ago a moment in milliseconds since 1970 was, as people read it.
#[must_use]
pub fn age(unix_milliseconds_then: u64) -> String {
    human(Duration::from_millis(
        unix_milliseconds().saturating_sub(unix_milliseconds_then),
    ))
}

/// A duration as people read it: `0.4 s`, `12 s`, `3 min 05 s`, `2 h 07 min`, `3 d 4 h`.
#[must_use]
pub fn human(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 9.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    match whole {
        0..=59 => format!("{whole} s"),
        60..=3599 => format!("{} min {:02} s", whole / 60, whole % 60),
        3600..=86_399 => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
        _ => format!("{} d {} h", whole / 86_400, whole % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_read_well() {
        assert_eq!(day(0), "1970-01-01");
        assert_eq!(day(-1), "1969-12-31");
        assert_eq!(day(874_724_710), "1997-09-20");
        assert_eq!(day(951_782_400), "2000-02-29");
        assert_eq!(day(4_107_542_400), "2100-03-01");
        assert_eq!(moment(874_724_710_999), "1997-09-20 03:05:10 UTC");
    }

    #[test]
    fn durations_read_well() {
        let read = |seconds: f64| human(Duration::from_secs_f64(seconds));
        assert_eq!(read(0.04), "0.0 s");
        assert_eq!(read(9.94), "9.9 s");
        assert_eq!(read(9.96), "10 s");
        assert_eq!(read(59.4), "59 s");
        assert_eq!(read(185.0), "3 min 05 s");
        assert_eq!(read(7620.0), "2 h 07 min");
        assert_eq!(read(273_600.0), "3 d 4 h");
    }
}
