//! The three texts of a sample, as the TALLRec authors released them, and back.
//!
//! The form is that of the files in the authors' repository (SAI990323/TALLRec, `data/`): an
//! instruction that is the same for a whole domain, an input of three lines, an answer of one
//! word. The book files quote the target twice, which their own published script does not do, so
//! [`TargetLine`] offers both. Nothing is escaped: titles hold quotes and backslashes as they
//! are, which is why parsing looks for the words between the quotes and not for the quotes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::shown;
use super::sample::{Domain, Item, Rated};

/// Begins the line of liked items.
pub const PREFERENCE: &str = "User Preference: ";
/// Begins the line of disliked items.
pub const UNPREFERENCE: &str = "User Unpreference: ";
/// The answer for a like.
pub const YES: &str = "Yes.";
/// The answer for a dislike.
pub const NO: &str = "No.";

/// Stands between the title and the author of a book.
const WRITTEN_BY: &str = "\" written by ";

/// How the question names a book; films have one form only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TargetLine {
    /// `target book ""<title>" written by <author>"?`, as the released files have it.
    #[default]
    DoubledQuotes,
    /// `target book "<title>" written by <author>?`
    Plain,
}

impl TargetLine {
    /// How the question of a text names its target, which a sample does not say otherwise.
    #[must_use]
    pub fn of(domain: Domain, history: &[Rated], target: &Item, text: &str) -> Self {
        let last = |text: &str| text.rsplit('\n').next().map(str::to_owned);
        let doubled = input(domain, history, target, Self::DoubledQuotes);
        if last(&doubled) == last(text) {
            Self::DoubledQuotes
        } else {
            Self::Plain
        }
    }
}

/// The word for an item of this domain in the texts.
#[must_use]
pub fn noun(domain: Domain) -> &'static str {
    match domain {
        Domain::Movie => "movie",
        Domain::Book => "book",
    }
}

/// The instruction, the same for all samples of a domain.
#[must_use]
pub fn instruction(domain: Domain) -> String {
    format!(
        "Given the user's preference and unpreference, identify whether the user will like the \
         target {} by answering \"Yes.\" or \"No.\".",
        noun(domain)
    )
}

/// The answer that stands for a label.
#[must_use]
pub fn answer(liked: bool) -> &'static str {
    if liked { YES } else { NO }
}

/// How an item is named in the lists: `"<title>"`, for a book `"<title>" written by <author>`.
#[must_use]
pub fn named(item: &Item) -> String {
    match &item.maker {
        Some(maker) => format!("\"{}{WRITTEN_BY}{maker}", item.title),
        None => format!("\"{}\"", item.title),
    }
}

/// The input: liked items, disliked items, question; one line each, no line end after the last.
#[must_use]
pub fn input(domain: Domain, history: &[Rated], target: &Item, target_line: TargetLine) -> String {
    let list = |liked: bool| {
        let names: Vec<String> = history
            .iter()
            .filter(|rated| rated.liked == liked)
            .map(|rated| named(&rated.item))
            .collect();
        names.join(", ")
    };
    let name = match (domain, target_line) {
        (Domain::Book, TargetLine::DoubledQuotes) => format!("\"{}\"", named(target)),
        (Domain::Book, TargetLine::Plain) | (Domain::Movie, _) => named(target),
    };
    format!(
        "{PREFERENCE}{}\n{UNPREFERENCE}{}\n{}{name}?",
        list(true),
        list(false),
        question(domain)
    )
}

fn question(domain: Domain) -> String {
    format!("Whether the user will like the target {} ", noun(domain))
}

/// An input that does not have the released form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TextError {
    /// What is wrong, with the text it stands in.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

impl TextError {
    fn new(message: String, help: impl Into<String>) -> Self {
        Self {
            message,
            help: help.into(),
        }
    }
}

/// Reads history and target back from an input.
///
/// The text keeps order only within likes and within dislikes, so likes come first. An item's id
/// is the text that names it: nothing better is known.
///
/// # Errors
/// If the text is not three lines of the released form, or is about another domain.
pub fn parse_input(domain: Domain, text: &str) -> Result<(Vec<Rated>, Item), TextError> {
    let lines: Vec<&str> = text.split('\n').collect();
    let [liked, disliked, asked] = lines.as_slice() else {
        return Err(TextError::new(
            format!("the input has {} lines: `{}`", lines.len(), shown(text)),
            format!(
                "three are expected: `{PREFERENCE}…`, `{UNPREFERENCE}…`, `{}…?`",
                question(domain)
            ),
        ));
    };
    let mut history = Vec::new();
    for (line, opening, liked) in [(liked, PREFERENCE, true), (disliked, UNPREFERENCE, false)] {
        // An editor that trims line ends takes away the space after the colon of an empty list.
        let list = if *line == opening.trim_end() {
            ""
        } else {
            line.strip_prefix(opening).ok_or_else(|| {
                TextError::new(
                    format!("the input has the line `{}`", shown(line)),
                    format!("a line that begins with `{opening}` is expected in its place"),
                )
            })?
        };
        for item in parse_list(domain, list)? {
            history.push(Rated { item, liked });
        }
    }
    Ok((history, parse_target(domain, asked)?))
}

fn parse_target(domain: Domain, line: &str) -> Result<Item, TextError> {
    let Some(rest) = line.strip_prefix(&question(domain)) else {
        let other = match domain {
            Domain::Movie => Domain::Book,
            Domain::Book => Domain::Movie,
        };
        let help = if line.starts_with(&question(other)) {
            format!(
                "the question is about a {}: set `domain: {}`",
                noun(other),
                noun(other)
            )
        } else {
            format!("the question must begin with `{}`", question(domain))
        };
        return Err(TextError::new(
            format!("the input asks `{}`", shown(line)),
            help,
        ));
    };
    let unreadable = || {
        TextError::new(
            format!("the input asks `{}`", shown(line)),
            match domain {
                Domain::Movie => "the question must end in `\"<title>\"?`".to_owned(),
                Domain::Book => "the question must end in `\"\"<title>\" written by <author>\"?` \
                                 or `\"<title>\" written by <author>?`"
                    .to_owned(),
            },
        )
    };
    let name = match domain {
        Domain::Movie => rest.strip_suffix('?'),
        Domain::Book => rest
            .strip_prefix('"')
            .filter(|inner| inner.starts_with('"'))
            .and_then(|inner| inner.strip_suffix("\"?"))
            .or_else(|| rest.strip_suffix('?')),
    }
    .ok_or_else(unreadable)?;
    match domain {
        Domain::Movie => name
            .strip_prefix('"')
            .and_then(|inner| inner.strip_suffix('"'))
            .map(film)
            .ok_or_else(unreadable),
        Domain::Book => name
            .strip_prefix('"')
            .and_then(|inner| inner.split_once(WRITTEN_BY))
            .map(|(title, maker)| book(title, maker))
            .ok_or_else(unreadable),
    }
}

fn parse_list(domain: Domain, list: &str) -> Result<Vec<Item>, TextError> {
    if list.is_empty() {
        return Ok(Vec::new());
    }
    match domain {
        Domain::Movie => list
            .strip_prefix('"')
            .and_then(|inner| inner.strip_suffix('"'))
            .map(|inner| inner.split("\", \"").map(film).collect())
            .ok_or_else(|| {
                TextError::new(
                    format!("the input lists `{}`", shown(list)),
                    "films are listed as `\"<title>\", \"<title>\"`",
                )
            }),
        Domain::Book => parse_books(list),
    }
}

/// Books are told apart by ` written by `: what stands between two of these is one author, a
/// comma, and the next title. Authors end in quotes at times (`J\ \"j\""`) and titles begin with
/// them, but the first `, "` is where the next title begins.
fn parse_books(list: &str) -> Result<Vec<Item>, TextError> {
    let unreadable = |part: &str| {
        TextError::new(
            format!("the input lists `{}`", shown(part)),
            "books are listed as `\"<title>\" written by <author>, \"<title>\" written by \
             <author>`",
        )
    };
    let mut parts = list
        .strip_prefix('"')
        .ok_or_else(|| unreadable(list))?
        .split(WRITTEN_BY);
    let mut title = parts.next().unwrap_or_default();
    let mut books = Vec::new();
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return Err(unreadable(list));
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            books.push(book(title, part));
        } else {
            let (maker, next) = part.split_once(", \"").ok_or_else(|| unreadable(part))?;
            books.push(book(title, maker));
            title = next;
        }
    }
    Ok(books)
}

fn film(title: &str) -> Item {
    Item {
        id: title.to_owned(),
        title: title.to_owned(),
        maker: None,
    }
}

fn book(title: &str, maker: &str) -> Item {
    let mut item = Item {
        id: String::new(),
        title: title.to_owned(),
        maker: Some(maker.to_owned()),
    };
    item.id = named(&item);
    item
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rated(item: Item, liked: bool) -> Rated {
        Rated { item, liked }
    }

    #[test]
    fn a_film_sample_reads_as_released() {
        let history = [
            rated(film("Quiet Harbour (1991)"), true),
            rated(film("Storm, The (1997)"), false),
            rated(film("Third Letter (1990)"), true),
        ];
        let target = film("Long Road (1996)");
        let text = input(Domain::Movie, &history, &target, TargetLine::Plain);
        assert_eq!(
            text,
            "User Preference: \"Quiet Harbour (1991)\", \"Third Letter (1990)\"\n\
             User Unpreference: \"Storm, The (1997)\"\n\
             Whether the user will like the target movie \"Long Road (1996)\"?"
        );
        let (parsed, asked) = parse_input(Domain::Movie, &text).expect("parses");
        assert_eq!(asked, target);
        assert_eq!(parsed.len(), 3);
        assert!(parsed[0].liked && parsed[1].liked && !parsed[2].liked);
    }

    #[test]
    fn ugly_books_are_told_apart() {
        let history = [
            rated(book(r#"\O\" Is for Outlaw""#, "SUE GRAFTON"), true),
            rated(book("A Short Programme", r#"J\ \"j\"""#), true),
            rated(book("Timeline", "Some, One, Jr."), true),
            rated(book("No author is known", ""), true),
            rated(book(r#"Including \the Country\"""#, "A. B."), true),
        ];
        let target = book(r#"\Lulu\"""#, r#"\Lulu\"""#);
        for form in [TargetLine::DoubledQuotes, TargetLine::Plain] {
            let text = input(Domain::Book, &history, &target, form);
            let (parsed, asked) = parse_input(Domain::Book, &text).expect("parses");
            assert_eq!(parsed, history);
            assert_eq!(asked, target);
        }
        let text = input(
            Domain::Book,
            &[],
            &book("T", "A"),
            TargetLine::DoubledQuotes,
        );
        assert!(
            text.ends_with("target book \"\"T\" written by A\"?"),
            "{text}"
        );
        assert!(
            text.starts_with("User Preference: \nUser Unpreference: \n"),
            "{text}"
        );
    }

    #[test]
    fn errors_say_what_is_expected() {
        let text = input(Domain::Book, &[], &book("T", "A"), TargetLine::Plain);
        let error = parse_input(Domain::Movie, &text).expect_err("a book");
        assert!(error.help.contains("domain: book"), "{error:?}");
        let error = parse_input(Domain::Movie, "User Preference: ").expect_err("one line");
        assert!(error.message.contains("1 lines"), "{error:?}");
        let error = parse_input(
            Domain::Movie,
            "User Preferences: \nUser Unpreference: \nWhether",
        )
        .expect_err("another word");
        assert!(error.help.contains(PREFERENCE), "{error:?}");
    }

    proptest! {
        #[test]
        fn what_is_rendered_is_parsed(
            books in prop::collection::vec(("[^\"\n]{0,20}", "[^\"\n]{0,12}", any::<bool>()), 1..12),
            plain in any::<bool>(),
        ) {
            let form = if plain { TargetLine::Plain } else { TargetLine::DoubledQuotes };
            let mut history: Vec<Rated> =
                books.iter().map(|(title, maker, liked)| rated(book(title, maker), *liked)).collect();
            let target = history[0].item.clone();
            let text = input(Domain::Book, &history, &target, form);
            let (parsed, asked) = parse_input(Domain::Book, &text).expect("parses");
            history.sort_by_key(|rated| !rated.liked);
            prop_assert_eq!(parsed, history);
            prop_assert_eq!(asked, target);
        }
    }
}
