//! Instruction records in the style of Alpaca: short tasks with one right answer.

use std::io::{self, Write};

use super::words::{FIRST_NAMES, GENRES};
use crate::base::Random;
use crate::data::json_records::Writer;

pub(super) fn write(sink: impl Write, count: usize, seed: u64) -> io::Result<()> {
    let mut random = Random::new(seed, "synthetic/instructions");
    let mut writer = Writer::new(sink);
    for _ in 0..count {
        let (instruction, input, output) = record(&mut random);
        writer.write(&instruction, &input, &output)?;
    }
    writer.finish().map(drop)
}

fn record(random: &mut Random) -> (String, String, String) {
    let genre = &GENRES[random.below(GENRES.len())];
    let other = &GENRES[random.below(GENRES.len())];
    let noun = genre.nouns[random.below(7)].to_lowercase();
    let strange = other.nouns[random.below(7)].to_lowercase();
    let name = FIRST_NAMES[random.below(FIRST_NAMES.len())];
    let (one, two) = (random.below(50), 1 + random.below(50));
    let yes_no = |yes: bool| if yes { "Yes." } else { "No." }.to_owned();
    let mut words = vec![noun.clone(), strange.clone(), name.to_lowercase()];
    match random.below(10) {
        0 => (
            "Add the two numbers.".into(),
            format!("{one}, {two}"),
            (one + two).to_string(),
        ),
        1 => (
            format!("Is {one} greater than {two}? Answer with \"Yes.\" or \"No.\"."),
            String::new(),
            yes_no(one > two),
        ),
        2 => {
            let input = words.join(", ");
            words.sort_unstable();
            (
                "Sort the words alphabetically.".into(),
                input,
                words.join(", "),
            )
        }
        3 => (
            "Write the word in capital letters.".into(),
            noun.clone(),
            noun.to_uppercase(),
        ),
        4 => (
            "Name the genre of a story with this title.".into(),
            format!(
                "The {} {}",
                genre.adjectives[random.below(5)],
                genre.nouns[random.below(7)]
            ),
            genre.name.into(),
        ),
        5 => (
            format!("Does the word \"{noun}\" contain the letter \"e\"?"),
            String::new(),
            yes_no(noun.contains('e')),
        ),
        6 => (
            "Count the letters of the word.".into(),
            strange.clone(),
            strange.chars().count().to_string(),
        ),
        7 => (
            "Rewrite the sentence in the past tense.".into(),
            format!("{name} walks to the {noun}."),
            format!("{name} walked to the {noun}."),
        ),
        8 => (
            format!("Give three words that fit a {} story.", genre.name),
            String::new(),
            genre.nouns[..3].join(", "),
        ),
        _ => (
            format!("Greet {name} politely."),
            String::new(),
            format!("Good day, {name}. I hope you are well."),
        ),
    }
}
