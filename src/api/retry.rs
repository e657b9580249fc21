//! When a question is asked again, and after how long.

use std::time::Duration;

use crate::base::Random;

/// The wait before the second try; twice as long before each further one.
const FIRST: Duration = Duration::from_millis(500);

/// How long to wait before the next try: what the server asked for, or longer and longer, and not
/// all threads at the same moment.
#[must_use]
pub fn wait(failed: u32, asked_for: Option<Duration>, longest: Duration, seed: u64) -> Duration {
    if let Some(asked_for) = asked_for {
        return asked_for;
    }
    let wait = FIRST.saturating_mul(2_u32.saturating_pow(failed.saturating_sub(1)));
    let share = 0.75 + 0.5 * Random::new(seed, "back-off").uniform();
    wait.min(longest).mul_f64(share).min(longest)
}

/// Reads `Retry-After`: seconds, or a date as HTTP writes it (`Wed, 21 Oct 2015 07:28:00 GMT`).
#[must_use]
pub fn retry_after(header: &str, now_ms: u64) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let mut parts = header.split_ascii_whitespace();
    let (_day, date, month, year) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let (time, zone) = (parts.next()?, parts.next()?);
    if zone != "GMT" {
        return None;
    }
    let month = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]
    .iter()
    .position(|name| *name == month)? as i64
        + 1;
    let mut clock = time.split(':').map(str::parse::<i64>);
    let mut next = || clock.next()?.ok();
    let (hour, minute, second) = (next()?, next()?, next()?);
    let (year, date) = (year.parse::<i64>().ok()?, date.parse::<i64>().ok()?);
    // Days since 1970, counting years from March.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + date - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let at = ((days * 24 + hour) * 60 + minute) * 60 + second;
    let now = i64::try_from(now_ms / 1000).ok()?;
    Some(Duration::from_secs(u64::try_from(at - now).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_end() {
        let longest = Duration::from_secs(10);
        for failed in 1..12 {
            let wait = wait(failed, None, longest, failed.into());
            let plain = (0.5 * 2_f64.powi(failed as i32 - 1)).min(10.0);
            let share = wait.as_secs_f64() / plain;
            assert!((0.74..=1.26).contains(&share), "{failed}: {wait:?}");
            assert!(wait <= longest);
        }
        let asked = Some(Duration::from_secs(99));
        assert_eq!(wait(1, asked, longest, 0), Duration::from_secs(99));
    }

    #[test]
    fn servers_say_seconds_or_a_date() {
        assert_eq!(retry_after(" 3 ", 0), Some(Duration::from_secs(3)));
        assert_eq!(retry_after("0.5", 0), Some(Duration::from_millis(500)));
        assert_eq!(retry_after("-1", 0), None);
        let date = "Wed, 21 Oct 2015 07:28:00 GMT";
        let at = 1_445_412_480_000;
        assert_eq!(retry_after(date, at - 5000), Some(Duration::from_secs(5)));
        assert_eq!(retry_after(date, at + 5000), Some(Duration::ZERO));
        assert_eq!(
            retry_after("Thu, 29 Feb 2024 00:00:01 GMT", 1_709_164_800_000),
            Some(Duration::from_secs(1))
        );
        for text in [
            "",
            "soon",
            "Wed, 21 Oct 2015 07:28 GMT",
            "x, 1 Foo 2015 1:1:1 GMT",
        ] {
            assert_eq!(retry_after(text, 0), None, "{text}");
        }
    }
}
