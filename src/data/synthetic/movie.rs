//! The film half of the world in the files of MovieLens 100K.

use std::fmt::Write as _;
use std::path::Path;

use super::words::{GENRES, OCCUPATIONS};
use super::world::World;
use super::{SyntheticOptions, write_latin1};
use crate::base::Random;
use crate::data::error::DataError;

/// The time span of MovieLens 100K.
const FIRST: i64 = 874_724_710;
const LAST: i64 = 893_286_638;

/// Every so many titles get an accented letter.
const ACCENTED_EVERY: usize = 29;

pub(super) fn write(
    folder: &Path,
    world: &World,
    options: &SyntheticOptions,
) -> Result<(), DataError> {
    write_latin1(&folder.join("u.item"), &items(world))?;
    write_latin1(&folder.join("u.data"), &ratings(world, options.seed))?;
    write_latin1(&folder.join("u.user"), &people(options))?;
    let mut genres = vec!["unknown"; 19];
    for genre in &GENRES {
        genres[genre.flag] = genre.name;
    }
    let genres = genres
        .iter()
        .enumerate()
        .filter(|(flag, name)| *flag == 0 || **name != "unknown")
        .fold(String::new(), |mut text, (flag, name)| {
            let _ = writeln!(text, "{name}|{flag}");
            text
        });
    write_latin1(&folder.join("u.genre"), &genres)
}

fn items(world: &World) -> String {
    let mut text = String::new();
    for (number, thing) in world.things.iter().enumerate() {
        let title = if number % ACCENTED_EVERY == 3 {
            thing.title.replacen('e', "é", 1)
        } else {
            thing.title.clone()
        };
        let flags: Vec<&str> = (0..19)
            .map(|flag| {
                let set = thing.genres.iter().any(|genre| GENRES[*genre].flag == flag);
                if set { "1" } else { "0" }
            })
            .collect();
        let (number, year) = (number + 1, thing.year);
        let _ = writeln!(
            text,
            "{number}|{title} ({year})|01-Jan-{year}||http://films.example.org/{number}|{}",
            flags.join("|")
        );
    }
    text
}

fn ratings(world: &World, seed: u64) -> String {
    let mut random = Random::new(seed, "synthetic/movie/times");
    let mut lines = Vec::with_capacity(world.opinions.len());
    let (mut person, mut time) = (usize::MAX, FIRST);
    for opinion in &world.opinions {
        if opinion.person != person {
            person = opinion.person;
            time = FIRST + random.below((LAST - FIRST - 3_000_000) as usize) as i64;
        }
        // People rate in sittings, several films within one second, as in the original.
        time += match random.below(20) {
            0..=11 => 0,
            12..=18 => 1 + random.below(90) as i64,
            _ => 3600 + random.below(200_000) as i64,
        };
        let rating = (3.5 + 1.1 * opinion.appeal).round().clamp(1.0, 5.0);
        lines.push(format!(
            "{}\t{}\t{rating}\t{}\n",
            opinion.person + 1,
            opinion.thing + 1,
            time.min(LAST)
        ));
    }
    random.shuffle(&mut lines);
    lines.concat()
}

fn people(options: &SyntheticOptions) -> String {
    let mut random = Random::new(options.seed, "synthetic/movie/registry");
    (1..=options.movie_users).fold(String::new(), |mut text, number| {
        let _ = writeln!(
            text,
            "{number}|{}|{}|{}|{:05}",
            16 + random.below(55),
            if random.below(2) == 0 { 'F' } else { 'M' },
            OCCUPATIONS[random.below(OCCUPATIONS.len())],
            random.below(100_000)
        );
        text
    })
}
