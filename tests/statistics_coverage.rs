//! How often intervals hold the truth: simulated test sets whose true difference is known.
//!
//! Seeded, so the counts are the same on every run. Users have a taste that moves all of their
//! scores and their share of likes, so their rows are alike, as in real data.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use runner::base::Random;
use runner::statistics::{Evidence, bootstrap, delong};

const TRIALS: u64 = 200;
const USERS: usize = 60;
const ROWS_OF_USER: usize = 8;

struct World {
    labels: Vec<bool>,
    users: Vec<Option<String>>,
    scores: [Vec<f64>; 2],
}

/// Two systems of equal quality: the true difference of their AUCs is 0 by symmetry.
fn world(seed: u64) -> World {
    let mut random = Random::new(seed, "world");
    let (mut labels, mut users) = (Vec::new(), Vec::new());
    let mut scores = [Vec::new(), Vec::new()];
    for user in 0..USERS {
        // What each system believes of the user, rightly in part.
        let taste = random.normal();
        let beliefs = [0, 1].map(|_| taste + random.normal());
        for _ in 0..ROWS_OF_USER {
            let like = random.normal() + taste > 0.0;
            labels.push(like);
            users.push(Some(user.to_string()));
            for (scores, belief) in scores.iter_mut().zip(beliefs) {
                scores.push(belief + 0.5 * random.normal());
            }
        }
    }
    World {
        labels,
        users,
        scores,
    }
}

fn share(holds: impl Fn(&World) -> Evidence) -> f64 {
    let held = (0..TRIALS)
        .filter(|&trial| {
            let interval = holds(&world(trial)).interval;
            interval.low <= 0.0 && interval.high >= 0.0
        })
        .count();
    held as f64 / TRIALS as f64
}

fn drawn(world: &World, by_users: bool) -> Evidence {
    let resampler = if by_users {
        bootstrap::Resampler::of_users(&world.labels, &world.users, 1, 200)
    } else {
        bootstrap::Resampler::of_rows(&world.labels, 1, 200)
    };
    let systems = world.scores.each_ref().map(|run| vec![run]);
    let areas = resampler.expect("enough").areas(&systems);
    let [one, other] = [0, 1].map(|at: usize| areas[at].as_ref().expect("sound"));
    bootstrap::difference(one, other)
        .evidence
        .expect("a spread")
}

#[test]
fn intervals_over_users_hold_the_truth_and_those_over_rows_promise_too_much() {
    let users = share(|world| drawn(world, true));
    let rows = share(|world| drawn(world, false));
    let delong = share(|world| {
        let [one, other] = world
            .scores
            .each_ref()
            .map(|run| delong::Placements::new(&world.labels, &[run]).expect("both classes"));
        delong::difference(&one, &other).evidence.expect("a spread")
    });
    println!("coverage of 95 % intervals: users {users}, rows {rows}, DeLong {delong}");
    // Two standard errors of a share of 200 trials are 0.03.
    assert!((0.91..=0.99).contains(&users), "{users}");
    assert!(
        rows < 0.85 && delong < 0.85,
        "rows of a user count as if unrelated: {rows} {delong}"
    );
}
