//! The book half of the world in the files of Book-Crossing, with their ugly sides.

use std::fmt::Write as _;
use std::path::Path;

use super::words::PUBLISHERS;
use super::world::{Thing, World};
use super::write_latin1;
use crate::base::Random;
use crate::data::error::DataError;

/// Of so many ratings one is of a book that is not listed.
const UNKNOWN_ONE_IN: usize = 16;
/// The share of implicit ratings a person gives lies between these.
const IMPLICIT: (f64, f64) = (0.1, 0.7);
/// The first user number.
const FIRST_USER: usize = 276_000;

pub(super) fn write(folder: &Path, world: &World, seed: u64) -> Result<(), DataError> {
    let mut random = Random::new(seed, "synthetic/book/isbns");
    let isbns: Vec<String> = (0..world.things.len())
        .map(|number| isbn(&mut random, number))
        .collect();
    write_latin1(
        &folder.join("BX-Books.csv"),
        &books(world, &isbns, &mut random),
    )?;
    let mut random = Random::new(seed, "synthetic/book/ratings");
    write_latin1(
        &folder.join("BX-Book-Ratings.csv"),
        &ratings(world, &isbns, &mut random),
    )
}

fn books(world: &World, isbns: &[String], random: &mut Random) -> String {
    let mut text = String::from(
        "\"ISBN\";\"Book-Title\";\"Book-Author\";\"Year-Of-Publication\";\"Publisher\";\
         \"Image-URL-S\";\"Image-URL-M\";\"Image-URL-L\"\r\n",
    );
    for (number, thing) in world.things.iter().enumerate() {
        let year = match random.below(60) {
            0 => 0,
            _ => thing.year,
        };
        let isbn = &isbns[number];
        let images = ["THUMBZZZ", "MZZZZZZZ", "LZZZZZZZ"]
            .map(|size| format!("http://images.example.org/P/{isbn}.01.{size}.jpg"));
        let _ = write!(
            text,
            "\"{isbn}\";\"{}\";\"{}\";\"{year}\";\"{}\";\"{}\"\r\n",
            title(number, thing),
            world.makers[thing.maker].name,
            PUBLISHERS[random.below(PUBLISHERS.len())],
            images.join("\";\"")
        );
    }
    text
}

/// Titles as the original has them: HTML entities, quotes escaped by backslashes, letters encoded
/// twice, semicolons, and one line in which an escaped quote before a semicolon makes nine fields.
fn title(number: usize, thing: &Thing) -> String {
    let title = &thing.title;
    match number {
        11 => return format!("{title} \\\"Part One; Part Two\\\" (Omnibus)"),
        12 => return format!("StÃ?Â¤dte und {title}"),
        _ => {}
    }
    match number % 50 {
        7 | 31 => format!("{title} &amp; Other Stories"),
        13 => format!("\\\"{title}\\\": A Novel"),
        19 => format!("{title}: The \\\"True\\\" Story"),
        23 => format!("{title} (Edición de bolsillo)")
            // Encoded twice: the two UTF-8 bytes of the letter, read as two letters.
            .replace('ó', "Ã³"),
        37 => format!("{title}; Volume {}", 1 + number % 3),
        41 => format!(
            "{title} (The {} Novels, Book {})",
            thing.year,
            1 + number % 7
        ),
        _ => title.clone(),
    }
}

fn ratings(world: &World, isbns: &[String], random: &mut Random) -> String {
    let mut text = String::from("\"User-ID\";\"ISBN\";\"Book-Rating\"\r\n");
    let (mut person, mut implicit) = (usize::MAX, 0.0);
    for opinion in &world.opinions {
        if opinion.person != person {
            person = opinion.person;
            implicit = IMPLICIT.0 + (IMPLICIT.1 - IMPLICIT.0) * random.uniform();
        }
        let user = FIRST_USER + opinion.person;
        if random.below(UNKNOWN_ONE_IN) == 0 {
            let number = 900_000 + random.below(50_000);
            let _ = write!(text, "\"{user}\";\"{}\";\"0\"\r\n", isbn(random, number));
        }
        let rating = if random.uniform() < implicit {
            0.0
        } else {
            (6.6 + 1.8 * opinion.appeal).round().clamp(1.0, 10.0)
        };
        let _ = write!(
            text,
            "\"{user}\";\"{}\";\"{rating}\"\r\n",
            isbns[opinion.thing]
        );
    }
    text
}

/// An ISBN-10 with its check digit, distinct for distinct numbers.
fn isbn(random: &mut Random, number: usize) -> String {
    let body = format!("{:03}{number:06}", random.below(1000));
    let sum: usize = body
        .bytes()
        .zip((2..=10).rev())
        .map(|(digit, weight)| usize::from(digit - b'0') * weight)
        .sum();
    match (11 - sum % 11) % 11 {
        10 => format!("{body}X"),
        check => format!("{body}{check}"),
    }
}
