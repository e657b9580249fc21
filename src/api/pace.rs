//! How fast questions may be asked.

use std::time::{Duration, Instant};

/// The moments before which nothing may be asked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pace {
    request: Option<Instant>,
    tokens: Option<Instant>,
    pause: Option<Instant>,
}

/// Limits in a minute.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rate {
    /// Requests.
    pub requests: Option<f64>,
    /// Tokens.
    pub tokens: Option<f64>,
}

impl Pace {
    /// Takes the next turn if it has come; else how long to wait and ask again.
    ///
    /// # Errors
    /// The time until then.
    pub fn turn(&mut self, now: Instant, rate: Rate, tokens: u64) -> Result<(), Duration> {
        let limits = [
            self.pause,
            self.request.filter(|_| rate.requests.is_some()),
            self.tokens.filter(|_| rate.tokens.is_some()),
        ];
        let next = limits.into_iter().flatten().max();
        if let Some(wait) = next.and_then(|next| next.checked_duration_since(now))
            && !wait.is_zero()
        {
            return Err(wait);
        }
        // Evenly: a server counts over a window whose beginning nobody knows.
        let after = |share: f64| now + Duration::from_secs_f64((60.0 * share).clamp(0.0, 86_400.0));
        self.request = rate.requests.map(|limit| after(1.0 / limit));
        self.tokens = rate.tokens.map(|limit| after(tokens as f64 / limit));
        Ok(())
    }

    /// Asks nothing until then.
    pub fn pause_until(&mut self, then: Instant) {
        self.pause = Some(self.pause.map_or(then, |known| known.max(then)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock;

    #[test]
    fn turns_keep_their_distance() {
        let start = clock::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut pace = Pace::default();
        let rate = Rate {
            requests: Some(60.0),
            tokens: None,
        };
        assert_eq!(pace.turn(start, rate, 10), Ok(()));
        assert_eq!(
            pace.turn(at(400), rate, 10),
            Err(Duration::from_millis(600))
        );
        assert_eq!(pace.turn(at(1000), rate, 10), Ok(()));
        let rate = Rate {
            requests: None,
            tokens: Some(6000.0),
        };
        assert_eq!(pace.turn(at(1000), rate, 200), Ok(()));
        assert_eq!(pace.turn(at(2000), rate, 1), Err(Duration::from_secs(1)));
        let mut free = Pace::default();
        for _ in 0..3 {
            assert_eq!(free.turn(start, Rate::default(), 1 << 40), Ok(()));
        }
        free.pause_until(at(500));
        free.pause_until(at(300));
        let wait = free.turn(start, Rate::default(), 1);
        assert_eq!(wait, Err(Duration::from_millis(500)));
    }
}
