//! People with tastes, things with genres, and what people think of things.

use std::collections::BTreeSet;

use super::words::{FAMILY_NAMES, FIRST_NAMES, GENRES};
use crate::base::Random;

/// A film or a book.
#[derive(Debug, Clone)]
pub(super) struct Thing {
    /// Title without year.
    pub(super) title: String,
    /// Indices into the genres, the leading one first.
    pub(super) genres: Vec<usize>,
    /// Index into the makers.
    pub(super) maker: usize,
    pub(super) year: u32,
    /// What everybody thinks of it.
    quality: f64,
    /// Natural logarithm of how often it is met.
    popularity: f64,
}

/// Somebody who makes things.
#[derive(Debug, Clone)]
pub(super) struct Maker {
    pub(super) name: String,
    style: [f64; 2],
    genre: usize,
}

/// Somebody who rates things.
#[derive(Debug, Clone)]
pub(super) struct Person {
    /// How easily pleased: the same for all things, so it shows in the share of likes.
    leniency: f64,
    genres: [f64; GENRES.len()],
    style: [f64; 2],
}

/// What somebody thinks of something.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opinion {
    pub(super) person: usize,
    pub(super) thing: usize,
    /// Standard normal or so; above 0 is liking.
    pub(super) appeal: f64,
}

/// How large a world is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) people: usize,
    pub(super) things: usize,
    /// Things a person rates at least and on average.
    pub(super) fewest: usize,
    pub(super) average: usize,
}

/// Things, makers and opinions of one domain; opinions are grouped by person.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) things: Vec<Thing>,
    pub(super) makers: Vec<Maker>,
    pub(super) opinions: Vec<Opinion>,
}

/// Weights of what an opinion is made of. Leniency and noise are set so that the share of likes
/// in a history is about as good a score as in the real data sets (AUC 0.65 to 0.73).
const LENIENCY: f64 = 0.4;
const TASTE: f64 = 1.3;
const STYLE: f64 = 0.25;
const QUALITY: f64 = 0.35;
const NOISE: f64 = 0.45;

impl World {
    pub(super) fn new(seed: u64, name: &str, size: Size) -> Self {
        let stream = |part: &str| Random::new(seed, &format!("synthetic/{name}/{part}"));
        let makers = makers(&mut stream("makers"), (size.things / 4).max(2));
        let things = things(&mut stream("things"), size.things, &makers);
        let mut random = stream("people");
        let people: Vec<Person> = (0..size.people).map(|_| person(&mut random)).collect();
        let mut random = stream("opinions");
        let mut opinions = Vec::with_capacity(size.people * size.average);
        for (number, person) in people.iter().enumerate() {
            let more = (size.average.saturating_sub(size.fewest)) as f64;
            // Exponential: many rate little, a few rate much.
            let count = size.fewest + (-more * (1.0 - random.uniform()).ln()) as usize;
            let count = count.min(size.things * 2 / 3).max(1);
            for thing in choose(&mut random, person, &things, &makers, count) {
                let appeal = appeal(person, &things[thing], &makers) + NOISE * random.normal();
                opinions.push(Opinion {
                    person: number,
                    thing,
                    appeal,
                });
            }
        }
        Self {
            things,
            makers,
            opinions,
        }
    }
}

fn appeal(person: &Person, thing: &Thing, makers: &[Maker]) -> f64 {
    let style = makers[thing.maker].style;
    let affinity = person.style[0] * style[0] + person.style[1] * style[1];
    LENIENCY * person.leniency
        + TASTE * taste(person, thing)
        + STYLE * affinity
        + QUALITY * thing.quality
}

/// The leading genre counts twice; scaled so that its variance does not depend on their number.
fn taste(person: &Person, thing: &Thing) -> f64 {
    let (mut sum, mut squares) = (0.0, 0.0);
    for (place, genre) in thing.genres.iter().enumerate() {
        let weight = if place == 0 { 2.0 } else { 1.0 };
        sum += weight * person.genres[*genre];
        squares += weight * weight;
    }
    sum / f64::sqrt(squares)
}

/// Chooses things without repetition: popular ones, and such as one expects to like.
fn choose(
    random: &mut Random,
    person: &Person,
    things: &[Thing],
    makers: &[Maker],
    count: usize,
) -> Vec<usize> {
    // The largest of "log weight plus Gumbel noise" are a weighted draw without replacement.
    let mut keys: Vec<(f64, usize)> = things
        .iter()
        .enumerate()
        .map(|(number, thing)| {
            let expected = 0.5 * appeal(person, thing, makers);
            let noise = -(-(1.0 - random.uniform()).ln()).ln();
            (thing.popularity + expected + noise, number)
        })
        .collect();
    keys.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
    let mut chosen: Vec<usize> = keys
        .into_iter()
        .take(count)
        .map(|(_, number)| number)
        .collect();
    random.shuffle(&mut chosen);
    chosen
}

fn person(random: &mut Random) -> Person {
    let leniency = random.normal();
    let mut genres = [0.0; GENRES.len()];
    for taste in &mut genres {
        *taste = random.normal();
    }
    Person {
        leniency,
        genres,
        style: [random.normal(), random.normal()],
    }
}

fn makers(random: &mut Random, count: usize) -> Vec<Maker> {
    let mut names = BTreeSet::new();
    (0..count)
        .map(|number| {
            let first = FIRST_NAMES[random.below(FIRST_NAMES.len())];
            let family = FAMILY_NAMES[random.below(FAMILY_NAMES.len())];
            let mut name = format!("{first} {family}");
            if !names.insert(name.clone()) {
                let middle = char::from(b'A' + (number % 26) as u8);
                name = format!("{first} {middle}. {family}");
                names.insert(name.clone());
            }
            Maker {
                name,
                style: [random.normal(), random.normal()],
                genre: random.below(GENRES.len()),
            }
        })
        .collect()
}

fn things(random: &mut Random, count: usize, makers: &[Maker]) -> Vec<Thing> {
    let mut titles = BTreeSet::new();
    (0..count)
        .map(|number| {
            let maker = random.below(makers.len());
            // Most works of a maker are of one genre.
            let lead = if random.uniform() < 0.7 {
                makers[maker].genre
            } else {
                random.below(GENRES.len())
            };
            let mut genres = vec![lead];
            for _ in 0..random.below(3) {
                let other = random.below(GENRES.len());
                if !genres.contains(&other) {
                    genres.push(other);
                }
            }
            let second = genres.last().copied().unwrap_or(lead);
            Thing {
                title: title(random, lead, second, &mut titles),
                genres,
                maker,
                year: 1930 + random.below(68) as u32,
                quality: random.normal(),
                // Zipf's law with an exponent below one.
                popularity: -0.8 * f64::ln(number as f64 + 3.0),
            }
        })
        .collect()
}

fn title(random: &mut Random, lead: usize, second: usize, taken: &mut BTreeSet<String>) -> String {
    let mut sequel = 1;
    loop {
        let title = plain_title(random, lead, second);
        let title = if sequel > 8 {
            format!("{title} {sequel}")
        } else {
            title
        };
        if taken.insert(title.clone()) {
            return title;
        }
        sequel += 1;
    }
}

/// A title whose words tell its leading genre and its second one.
pub(super) fn plain_title(random: &mut Random, lead: usize, second: usize) -> String {
    let adjective = GENRES[second].adjectives[random.below(5)];
    let noun = GENRES[lead].nouns[random.below(7)];
    let other = GENRES[second].nouns[random.below(7)];
    match random.below(4) {
        0 => format!("The {adjective} {noun}"),
        1 => format!("{adjective} {noun}"),
        2 => format!("{noun} of the {other}"),
        _ => format!("{adjective} {noun}, The"),
    }
}
