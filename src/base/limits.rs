//! How often a stage is tried and how long it may take. Nothing of it is in a key: what a stage
//! makes does not depend on it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Limits of a stage; what is not said is left to whoever says less specific things.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Limits {
    /// How often it is tried again after a failure that another try can help.
    pub retries: Option<u32>,
    /// How long it may run.
    pub timeout: Option<Duration>,
    /// How long it may run without a sign of life: progress, a number, a warning.
    pub heartbeat: Option<Duration>,
    /// Bytes that the process which does its work may take, on the accelerator lane.
    pub memory: Option<u64>,
}

impl Limits {
    /// Tries again where nobody says how often.
    pub const DEFAULT_RETRIES: u32 = 2;

    /// Nothing said.
    pub const NONE: Self = Self {
        retries: None,
        timeout: None,
        heartbeat: None,
        memory: None,
    };

    /// What these say, and what `below` says where these say nothing.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        Self {
            retries: self.retries.or(below.retries),
            timeout: self.timeout.or(below.timeout),
            heartbeat: self.heartbeat.or(below.heartbeat),
            memory: self.memory.or(below.memory),
        }
    }

    /// How often a stage is tried again.
    #[must_use]
    pub fn retries(self) -> u32 {
        self.retries.unwrap_or(Self::DEFAULT_RETRIES)
    }
}

/// Units of a duration, in seconds.
const UNITS: [(&str, f64); 10] = [
    ("ms", 1e-3),
    ("s", 1.0),
    ("sec", 1.0),
    ("m", 60.0),
    ("min", 60.0),
    ("h", 3600.0),
    ("d", 86_400.0),
    ("day", 86_400.0),
    ("days", 86_400.0),
    ("w", 604_800.0),
];

/// Reads a duration as people write it: `90s`, `15min`, `1.5h`, `2d`, `1h 30min`; a bare number
/// counts seconds. `None` for anything else, zero and less included.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return positive(seconds);
    }
    let mut seconds = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let letters = rest
            .find(|letter: char| !letter.is_ascii_alphabetic())
            .unwrap_or(rest.len());
        let (_, unit) = UNITS.iter().find(|(name, _)| *name == &rest[..letters])?;
        seconds += number * unit;
        rest = rest[letters..].trim_start();
    }
    positive(seconds)
}

fn positive(seconds: f64) -> Option<Duration> {
    if seconds > 0.0 {
        Duration::try_from_secs_f64(seconds).ok()
    } else {
        None
    }
}

/// Reads a number of bytes as people write it: `500 MB`, `12GB`, `1.5 GiB`, `20G`; a bare number
/// counts bytes. One letter counts in steps of 1024, as `MiB` and `GiB` do; `MB` and `GB` in steps
/// of 1000. `None` for anything else, zero included.
#[must_use]
pub fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.');
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let number: f64 = number.parse().ok()?;
    let unit = unit.trim().to_ascii_lowercase();
    let power = match unit.chars().next() {
        None | Some('b') => 0,
        Some('k') => 1,
        Some('m') => 2,
        Some('g') => 3,
        Some('t') => 4,
        Some(_) => return None,
    };
    let step: f64 = match (unit.get(1..).unwrap_or_default(), power) {
        ("", _) | ("ib", 1..) => 1024.0,
        ("b", 1..) => 1000.0,
        _ => return None,
    };
    let bytes = number * step.powi(power);
    (bytes >= 1.0 && bytes < 2_f64.powi(63)).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, seconds) in [
            ("90", Some(90)),
            ("90s", Some(90)),
            ("15min", Some(900)),
            ("15 min", Some(900)),
            ("1.5h", Some(5400)),
            ("1h 30min", Some(5400)),
            ("2d", Some(172_800)),
            ("0", None),
            ("-5s", None),
            ("5 parsecs", None),
            ("h", None),
            ("", None),
            ("inf", None),
            ("nan", None),
            ("1e400s", None),
        ] {
            assert_eq!(duration(text), seconds.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("1000", Some(1000)),
            ("1b", Some(1)),
            ("500 MB", Some(500_000_000)),
            ("12GB", Some(12_000_000_000)),
            ("1.5 GiB", Some(1_610_612_736)),
            ("20G", Some(21_474_836_480)),
            ("0", None),
            ("GB", None),
            ("12 apples", None),
            ("3gigs", None),
            ("1e30", None),
        ] {
            assert_eq!(size(text), bytes, "{text}");
        }
    }

    #[test]
    fn the_more_specific_word_holds() {
        let specific = Limits {
            retries: Some(0),
            ..Limits::NONE
        };
        let general = Limits {
            retries: Some(5),
            timeout: Some(Duration::from_secs(1)),
            ..Limits::NONE
        };
        let both = specific.over(general);
        assert_eq!((both.retries(), both.timeout), (0, general.timeout));
        assert_eq!(Limits::NONE.retries(), Limits::DEFAULT_RETRIES);
    }
}
