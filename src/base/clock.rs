//! The only place that reads the clock; time never enters a key or a result.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Starts a stopwatch.
#[must_use]
pub fn now() -> Instant {
    Instant::now()
}

/// Milliseconds since 1970-01-01 UTC.
#[must_use]
pub fn unix_milliseconds() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
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
