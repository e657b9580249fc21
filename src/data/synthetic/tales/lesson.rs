//! Facts about genres and titles, and tasks in the Alpaca form. None is the task of rec-tuning.

use super::tale::named;
use crate::base::Random;
use crate::data::synthetic::words::{FIRST_NAMES, GENRES, Genre};

/// What a title may belong to.
const KINDS: [&str; 5] = ["film", "movie", "book", "story", "play"];

/// How a task asks for a yes or no.
const YES_NO: [&str; 2] = [
    ". Answer \"Yes.\" or \"No.\".",
    " by answering \"Yes.\" or \"No.\".",
];

/// Words for reading comprehension.
const VERBS: [(&str, &str, &str); 3] = [
    ("loved", "hated", "Did {name} love {thing}?"),
    ("liked", "disliked", "Did {name} like {thing}?"),
    ("enjoyed", "detested", "Did {name} enjoy {thing}?"),
];

/// A sentence about a genre, a word or a title.
pub(super) fn fact(random: &mut Random) -> String {
    let at = random.below(GENRES.len());
    let genre = &GENRES[at];
    let kind = KINDS[random.below(KINDS.len())];
    match random.below(4) {
        0 => {
            let second = if random.uniform() < 0.7 {
                at
            } else {
                random.below(GENRES.len())
            };
            let dated = random.below(2) == 0;
            let title = named(random, at, second, dated);
            format!("\"{title}\" is a {} {kind}.", genre.name)
        }
        1 => {
            let mut words: Vec<&str> = genre.adjectives.into_iter().chain(genre.nouns).collect();
            random.shuffle(&mut words);
            format!("{}: {}.", genre.name, words[..6].join(", "))
        }
        2 => format!("{} is {}.", word(random, genre), genre.name),
        _ => {
            let name = first_name(random);
            let title = named(random, at, at, true);
            format!("{name} wrote the {} {kind} \"{title}\".", genre.name)
        }
    }
}

/// A task with its answer in the Alpaca form.
pub(super) fn instruction(random: &mut Random) -> String {
    let (at, other) = (random.below(GENRES.len()), random.below(GENRES.len()));
    let other = if random.below(2) == 0 { at } else { other };
    let genre = &GENRES[at];
    match random.below(14) {
        0 => with_input(
            "Name the genre of a story with this title.",
            &quoted(random, at),
            genre.name,
        ),
        1 => {
            let (one, two) = (random.below(50), 1 + random.below(50));
            let task = format!("Is {one} greater than {two}? Answer \"Yes.\" or \"No.\".");
            without_input(&task, yes_no(one > two))
        }
        2 => {
            let mut words =
                [at, other, random.below(GENRES.len())].map(|at| GENRES[at].nouns[random.below(7)]);
            let input = words.join(", ");
            words.sort_unstable();
            with_input("Sort the words alphabetically.", &input, &words.join(", "))
        }
        3 => without_input(
            &format!("Give three words that fit a {} story.", genre.name),
            &genre.nouns[..3].join(", "),
        ),
        4 => {
            let (name, noun) = (first_name(random), genre.nouns[random.below(7)]);
            with_input(
                "Rewrite the sentence in the past tense.",
                &format!("{name} walks to the {noun}."),
                &format!("{name} walked to the {noun}."),
            )
        }
        5 | 6 => {
            let name = GENRES[other].name;
            let task = format!("Identify whether the title belongs to a {name} story");
            let task = task + YES_NO[random.below(2)];
            with_input(&task, &quoted(random, at), yes_no(at == other))
        }
        7 | 8 => {
            let task = "Identify whether both titles belong to the same genre".to_owned();
            let task = task + YES_NO[random.below(2)];
            let input = format!("{}\n{}", quoted(random, at), quoted(random, other));
            with_input(&task, &input, yes_no(at == other))
        }
        9 | 10 => among(random),
        11 | 12 => comprehension(random),
        _ => {
            let name = first_name(random);
            without_input(
                &format!("Greet the user {name} politely."),
                &format!("Good day, {name}. I hope you are well."),
            )
        }
    }
}

/// Whether a list holds a title.
fn among(random: &mut Random) -> String {
    let task = "Given the list of titles, identify whether the target title is among them";
    let task = task.to_owned() + YES_NO[random.below(2)];
    let count = [2, 4, 6, 8][random.below(4)];
    let titles = some_titles(random, count);
    let target = if random.below(2) == 0 {
        titles[random.below(count)].clone()
    } else {
        let genre = random.below(GENRES.len());
        quoted(random, genre)
    };
    let input = format!("Titles: {}\nTarget: {target}", titles.join(", "));
    with_input(&task, &input, yes_no(titles.contains(&target)))
}

/// Whether a text says what is asked: the title asked for stands in it.
fn comprehension(random: &mut Random) -> String {
    let count = [2, 4, 6][random.below(3)];
    let titles = some_titles(random, count);
    let (liked, disliked) = titles.split_at(count / 2);
    let (positive, negative, question) = VERBS[random.below(VERBS.len())];
    let (name, target) = (first_name(random), &titles[random.below(count)]);
    let question = question.replace("{name}", name).replace("{thing}", target);
    let input = format!(
        "{name} {positive} {}.\n{name} {negative} {}.\n{question}",
        liked.join(", "),
        disliked.join(", "),
    );
    with_input(
        "Read the text and answer the question with \"Yes.\" or \"No.\".",
        &input,
        yes_no(liked.contains(target)),
    )
}

fn some_titles(random: &mut Random, count: usize) -> Vec<String> {
    (0..count)
        .map(|_| {
            let genre = random.below(GENRES.len());
            quoted(random, genre)
        })
        .collect()
}

fn quoted(random: &mut Random, genre: usize) -> String {
    let dated = random.uniform() < 0.6;
    format!("\"{}\"", named(random, genre, genre, dated))
}

fn word(random: &mut Random, genre: &Genre) -> &'static str {
    match random.below(12) {
        at @ 0..5 => genre.adjectives[at],
        at => genre.nouns[at - 5],
    }
}

fn first_name(random: &mut Random) -> &'static str {
    FIRST_NAMES[random.below(FIRST_NAMES.len())]
}

fn yes_no(yes: bool) -> &'static str {
    if yes { "Yes." } else { "No." }
}

fn with_input(instruction: &str, input: &str, output: &str) -> String {
    format!(
        "Below is an instruction that describes a task, paired with an input that provides \
         further context. Write a response that appropriately completes the request.\n\n\
         ### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:\n{output}"
    )
}

fn without_input(instruction: &str, output: &str) -> String {
    format!(
        "Below is an instruction that describes a task. Write a response that appropriately \
         completes the request.\n\n### Instruction:\n{instruction}\n\n### Response:\n{output}"
    )
}
