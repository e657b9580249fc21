//! A tale: what somebody loved and hated, and what came of other things.

use std::fmt::Write as _;

use super::Phase;
use crate::base::Random;
use crate::data::synthetic::words::{FIRST_NAMES, GENRES};
use crate::data::synthetic::world;

/// Words for liking and disliking, and a question about another thing.
const SENTENCES: [(&str, &str, &str); 4] = [
    ("loved", "hated", "Did {name} love {thing}?"),
    ("liked", "disliked", "Will {name} like {thing}?"),
    ("enjoyed", "detested", "Would {name} enjoy {thing}?"),
    (
        "has a preference for",
        "has an unpreference for",
        "Will {name} like {thing}?",
    ),
];

/// Headings of lists.
const HEADINGS: [(&str, &str); 3] = [
    ("loved", "hated"),
    ("liked", "disliked"),
    ("The Preference of {name}", "The Unpreference of {name}"),
];

/// What things a tale is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Things {
    Genres,
    Words,
    Titles,
    Dated,
}

/// How much moods and leniency of moody people count beside their tastes.
const LENIENCY: f64 = 0.45;
const NOISE: f64 = 0.3;

struct Teller {
    leniency: f64,
    noise: f64,
    tastes: [f64; GENRES.len()],
}

impl Teller {
    fn moody(random: &mut Random) -> Self {
        let leniency = LENIENCY * random.normal();
        let tastes = std::array::from_fn(|_| {
            let sign = if random.below(2) == 0 { -1.0 } else { 1.0 };
            sign * (0.4 + (0.7 * random.normal()).abs())
        });
        Self {
            leniency,
            noise: NOISE,
            tastes,
        }
    }

    /// Loves every other genre of the list and hates the rest.
    fn steady(genres: &[usize]) -> Self {
        let mut tastes = [0.0; GENRES.len()];
        for (place, genre) in genres.iter().enumerate() {
            tastes[*genre] = if place % 2 == 0 { 1.0 } else { -1.0 };
        }
        Self {
            leniency: 0.0,
            noise: 0.0,
            tastes,
        }
    }

    fn likes(&self, random: &mut Random, thing: &Told) -> bool {
        let taste = |genre: usize| self.tastes[genre];
        let taste = if thing.lead == thing.second {
            taste(thing.lead)
        } else {
            (2.0 * taste(thing.lead) + taste(thing.second)) / f64::sqrt(5.0)
        };
        self.leniency + taste + self.noise * random.normal() > 0.0
    }
}

/// A thing as a tale names it.
struct Told {
    text: String,
    lead: usize,
    second: usize,
}

fn told(random: &mut Random, things: Things, genre: usize, pure: f64) -> Told {
    let words = &GENRES[genre];
    let mut second = genre;
    let text = match things {
        Things::Genres => words.name.to_owned(),
        Things::Words => match random.below(12) {
            at @ 0..5 => words.adjectives[at].to_owned(),
            at => words.nouns[at - 5].to_owned(),
        },
        Things::Titles | Things::Dated => {
            if random.uniform() >= pure {
                second = random.below(GENRES.len());
            }
            format!(
                "\"{}\"",
                named(random, genre, second, things == Things::Dated)
            )
        }
    };
    Told {
        text,
        lead: genre,
        second,
    }
}

/// A title, with a year if asked for.
pub(super) fn named(random: &mut Random, lead: usize, second: usize, dated: bool) -> String {
    let title = world::plain_title(random, lead, second);
    if dated {
        format!("{title} ({})", 1930 + random.below(68))
    } else {
        title
    }
}

/// What is listed, then questions with their answers.
pub(super) struct Tale {
    opening: String,
    asked: Vec<(String, bool)>,
    /// Between questions, and after the last.
    between: &'static str,
    end: &'static str,
    answers: [&'static str; 2],
}

impl Tale {
    pub(super) fn text(&self) -> String {
        let asked: Vec<String> = self
            .asked
            .iter()
            .map(|(question, liked)| format!("{question}{}", self.answer(*liked)))
            .collect();
        format!("{}{}{}", self.opening, asked.join(self.between), self.end)
    }

    /// The first question, the two answers, and whether the first one is right.
    pub(super) fn probe(&self) -> (String, [&'static str; 2], bool) {
        let (question, liked) = &self.asked[0];
        let prompt = format!("{}{question}", self.opening);
        (prompt, self.answers, *liked)
    }

    fn answer(&self, liked: bool) -> &'static str {
        self.answers[usize::from(!liked)]
    }
}

pub(super) fn tale(random: &mut Random, phase: &Phase) -> Tale {
    let things = things(random, phase);
    let name = FIRST_NAMES[random.below(FIRST_NAMES.len())];
    let moody = random.uniform() < phase.moody;
    let count = phase.listed[random.below(phase.listed.len())];
    let width = match things {
        Things::Genres => count,
        _ if moody => [4, 6, 8, 10][random.below(4)],
        _ => [2, 3, 4, 6][random.below(4)],
    };
    let mut genres = random.permutation(GENRES.len());
    genres.truncate(width.min(count));
    let teller = if moody {
        Teller::moody(random)
    } else {
        let teller = Teller::steady(&genres);
        random.shuffle(&mut genres);
        teller
    };
    let (mut liked, mut disliked) = (Vec::new(), Vec::new());
    for place in 0..count.min(if things == Things::Genres {
        genres.len()
    } else {
        count
    }) {
        let thing = told(random, things, genres[place % genres.len()], phase.pure);
        if teller.likes(random, &thing) {
            liked.push(thing.text);
        } else {
            disliked.push(thing.text);
        }
    }
    random.shuffle(&mut liked);
    random.shuffle(&mut disliked);
    let plain = random.uniform() < phase.plain;
    let (opening, question) = if plain {
        let list = |things: &[String]| match things {
            [] => "nothing".to_owned(),
            things => things.join(", "),
        };
        let (liked, disliked) = (list(&liked), list(&disliked));
        let text = format!("{name} loved {liked}. {name} hated {disliked}. ");
        (text, SENTENCES[0].2)
    } else {
        opening(random, name, &liked, &disliked)
    };
    let direct = plain || random.uniform() < phase.direct;
    let (answers, between, end) = if direct {
        ([" yes", " no"], ", ", ".")
    } else if random.below(2) == 0 {
        ([" Yes.", " No."], "\n", "")
    } else {
        (["\nYes.", "\nNo."], "\n", "")
    };
    let question = match (direct, random.below(2)) {
        (true, _) => "{thing}",
        (_, 0) => "{thing}?",
        _ => question,
    };
    let asked = (0..4 + random.below(3))
        .map(|_| {
            let genre = genres[random.below(genres.len())];
            let thing = told(random, things, genre, phase.pure);
            let likes = teller.likes(random, &thing);
            let text = question
                .replace("{name}", name)
                .replace("{thing}", &thing.text);
            (text, likes)
        })
        .collect();
    Tale {
        opening,
        asked,
        between,
        end,
        answers,
    }
}

fn things(random: &mut Random, phase: &Phase) -> Things {
    let weights = phase.weights();
    let mut draw = random.uniform() * weights.iter().sum::<f64>();
    for (things, weight) in [Things::Genres, Things::Words, Things::Titles]
        .into_iter()
        .zip(weights)
    {
        if draw < weight {
            return things;
        }
        draw -= weight;
    }
    Things::Dated
}

/// The two lists in sentences or under headings, and a question that goes with them.
fn opening(
    random: &mut Random,
    name: &str,
    liked: &[String],
    disliked: &[String],
) -> (String, &'static str) {
    let question = SENTENCES[random.below(SENTENCES.len())];
    let mut text = String::new();
    if random.uniform() < 0.6 {
        let (positive, negative, _) = question;
        let mut parts = [(positive, liked), (negative, disliked)];
        if random.uniform() < 0.4 {
            parts.reverse();
        }
        let join = match random.below(4) {
            0 => format!(". {name} "),
            1 => " and ".to_owned(),
            _ => format!(".\n{name} "),
        };
        let parts = parts.map(|(verb, list)| {
            if list.is_empty() {
                format!("{verb} nothing")
            } else {
                format!("{verb} {}", list.join(", "))
            }
        });
        let _ = writeln!(text, "{name} {}.", parts.join(&join));
    } else {
        let (positive, negative) = HEADINGS[random.below(HEADINGS.len())];
        let mut parts = [(positive, liked), (negative, disliked)];
        if random.uniform() < 0.3 {
            parts.reverse();
        }
        if !positive.contains("{name}") {
            let _ = writeln!(text, "{name}");
        }
        for (heading, list) in parts {
            let heading = heading.replace("{name}", name);
            let _ = writeln!(text, "{heading}: {}", list.join(", "));
        }
    }
    (text, question.2)
}
