//! MovieLens files to samples: rules of selection and order, and every kind of broken line.

use std::fmt::Write as _;

use runner::data::movielens::{
    BEYOND_LIMIT, MovieLens, MovieLensOptions, NEUTRAL_DROPPED, Neutral, Outcome, SHORT_USER, Split,
};
use runner::data::{DataError, Source};

fn item_line(number: usize, title: &str) -> String {
    format!(
        "{number}|{title}|01-Jan-1995||http://example.org/|0{}",
        "|0".repeat(18)
    )
}

fn items(count: usize) -> String {
    (1..=count).fold(String::new(), |mut text, number| {
        let _ = writeln!(
            text,
            "{}",
            item_line(number, &format!("Film {number} (1995)"))
        );
        text
    })
}

fn read_bytes(data: &[u8], items: &[u8]) -> Result<MovieLens, DataError> {
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join("u.data"), data).expect("writes");
    std::fs::write(folder.path().join("u.item"), items).expect("writes");
    let raw = Source::named(folder.path(), "raw");
    MovieLens::read(&raw.file("u.data"), &raw.file("u.item"))
}

fn read(data: &str) -> Result<MovieLens, DataError> {
    read_bytes(data.as_bytes(), items(20).as_bytes())
}

/// Users 7, 3 and 5, in this order of appearance; user 5's ratings share one second.
fn world() -> String {
    let mut text = String::new();
    for (user, count, start, step) in [(7, 14, 1000, 10), (3, 16, 500, 1), (5, 15, 2000, 0)] {
        for at in 0..count {
            // The lines of a user stand newest first, so that sorting has something to do.
            let time = start + step * (count - at);
            let _ = writeln!(text, "{user}\t{}\t{}\t{time}", at + 1, at % 5 + 1);
        }
    }
    text
}

fn samples(options: MovieLensOptions) -> Outcome {
    read(&world())
        .expect("reads")
        .samples(options)
        .expect("samples")
}

fn all(outcome: &Outcome) -> Vec<(String, i64, String)> {
    outcome
        .splits
        .parts()
        .iter()
        .flat_map(|(_, part)| part.iter())
        .map(|sample| {
            (
                sample.user.clone().expect("user"),
                sample.time.expect("time"),
                sample.target.id.clone(),
            )
        })
        .collect()
}

#[test]
fn by_user_keeps_users_in_order_of_appearance_and_ties_in_file_order() {
    let outcome = samples(MovieLensOptions::default());
    let rows = all(&outcome);
    assert_eq!(rows.len(), 4 + 6 + 5);
    let users: Vec<&str> = rows.iter().map(|row| row.0.as_str()).collect();
    assert_eq!(users[..4], ["7"; 4]);
    assert_eq!(users[4..10], ["3"; 6]);
    // Sorted by time, user 7's last target is the first line of the file.
    assert_eq!(rows[3].2, "1");
    // All of user 5's times are equal, so file order stays.
    assert_eq!(rows[10].2, "11");
    assert_eq!(rows[14].2, "15");
    assert_eq!(
        outcome.splits.parts().map(|(_, part)| part.len()),
        [12, 1, 2]
    );
    for (_, part) in outcome.splits.parts() {
        for (row, sample) in part.iter().enumerate() {
            assert_eq!(sample.row as usize, row);
            assert_eq!(sample.history.len(), 10);
        }
    }
}

#[test]
fn by_time_keeps_the_newest_in_time_order() {
    let outcome = samples(MovieLensOptions {
        split: Split::ByTime,
        limit: 11,
        ..MovieLensOptions::default()
    });
    let rows = all(&outcome);
    let times: Vec<i64> = rows.iter().map(|row| row.1).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(rows.len(), 11);
    assert_eq!(outcome.dropped.of(BEYOND_LIMIT), 4);
    assert_eq!(rows[0].0, "3");
    assert_eq!(rows[10].2, "15");
}

#[test]
fn neutral_ratings_can_be_dropped_and_are_counted() {
    let outcome = samples(MovieLensOptions {
        neutral: Neutral::Drop,
        history_length: 4,
        ..MovieLensOptions::default()
    });
    assert_eq!(outcome.dropped.of(NEUTRAL_DROPPED), 3 + 3 + 3);
    assert_eq!(all(&outcome).len(), 45 - 9 - 12);
    let error = read(&world())
        .expect("reads")
        .samples(MovieLensOptions {
            history_length: 15,
            ..MovieLensOptions::default()
        })
        .expect_err("one sample only");
    assert!(error.to_string().contains("only 1 samples"), "{error}");
    let outcome = samples(MovieLensOptions {
        neutral: Neutral::Drop,
        history_length: 8,
        ..MovieLensOptions::default()
    });
    assert_eq!(outcome.dropped.of(SHORT_USER), 0);
    assert_eq!(all(&outcome).len(), 45 - 9 - 24);
}

#[test]
fn titles_are_latin1_and_kept_with_their_spaces() {
    let mut listed = items(19).into_bytes();
    listed.extend(b"20|Mis\xe9rables, Les (1995) |01-Jan-1995||http://example.org/|0");
    listed.extend("|0".repeat(18).bytes());
    let read = read_bytes(b"1\t20\t5\t800000000\r\n", &listed).expect("reads");
    assert_eq!(read.titles[&20], "Misérables, Les (1995) ");
    let error = read_bytes(
        b"1\t1\t5\t8\n",
        item_line(1, "Misérables, Les (1995)").as_bytes(),
    )
    .expect_err("UTF-8");
    assert!(error.to_string().contains("iconv -f UTF-8"), "{error}");
}

#[test]
fn broken_lines_are_named() {
    let check = |data: &str, parts: &[&str]| {
        let error = read(data).expect_err(data).to_string();
        for part in parts {
            assert!(error.contains(part), "`{part}` is not in: {error}");
        }
    };
    check(
        "1\t1\t5\t880000000\n1\t2\t5\n",
        &["raw/u.data:2: 3 fields instead of 4", "`1→2→5`"],
    );
    check(
        "1\t1\t5\t880000000\n1\t2\t5\t8800\n1\t3\t6\t88\n",
        &["u.data:3:5:", "rating is 6"],
    );
    check(
        "1\tx\t5\t880000000\n",
        &["u.data:1:3:", "item number is `x`"],
    );
    check("1\t+1\t5\t880000000\n", &["item number is `+1`"]);
    check(
        "1\t21\t5\t880000000\n",
        &["u.data:1:3:", "item 21", "highest number is 20"],
    );
    check("1\t1\t5\t-1\n", &["time is `-1`"]);
    check("", &["u.data:1:", "empty"]);
    check("\n\n", &["empty"]);
    check(
        "1\t1\t5\t880000000\n\n1\t1\t5\t880000000\n",
        &["u.data:2: 1 fields"],
    );
    check(
        "1\t1\t5\t880000000\n1\t2\t5\t8800",
        &["u.data:2:", "cut off"],
    );
    check("1::1::5::880000000\n", &["MovieLens 1M"]);
    check("userId,movieId,rating,timestamp\n", &["ratings.csv"]);
    let error = read_bytes(b"1\t1\t5\t8\n", b"1|Film|01-Jan-1995|\n").expect_err("short line");
    assert!(
        error
            .to_string()
            .contains("raw/u.item:1: 4 fields instead of 24"),
        "{error}"
    );
    let twice = format!("{}\n{}\n", item_line(1, "A"), item_line(1, "B"));
    let error = read_bytes(b"1\t1\t5\t8\n", twice.as_bytes()).expect_err("twice");
    assert!(error.to_string().contains("u.item:2:1: item 1"), "{error}");
}
