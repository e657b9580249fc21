//! The two raw files of the Book-Crossing data set (Ziegler et al., WWW 2005).
//!
//! `;` separates, `"` quotes, ISO-8859-1, CRLF. Quotes inside a title are escaped by a backslash,
//! which the usual CSV reader with its default settings does not know; [`EscapedQuotes`] chooses.

use csv::{ByteRecord, ReaderBuilder};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::nearest::suggestion;
use crate::data::error::{DataError, shown};
use crate::data::source::{Source, Utf8Suspicion, from_latin1, suspect_utf8, utf8_error};
use crate::data::tally::Tally;

/// The columns of `BX-Books.csv`.
pub const BOOK_COLUMNS: [&str; 8] = [
    "ISBN",
    "Book-Title",
    "Book-Author",
    "Year-Of-Publication",
    "Publisher",
    "Image-URL-S",
    "Image-URL-M",
    "Image-URL-L",
];
/// The columns of `BX-Book-Ratings.csv`.
pub const RATING_COLUMNS: [&str; 3] = ["User-ID", "ISBN", "Book-Rating"];

/// Why a line is left out: the released code drops such lines of the books too.
pub const MANY_FIELDS: &str = "lines with too many fields";
/// Why a line is left out.
pub const FEW_FIELDS: &str = "lines with too few fields";
/// Why a line is left out.
pub const SEVERAL_LINES: &str = "records over several lines, from a quote that is never closed";
/// Why a line is left out.
pub const REPEATED_BOOK: &str = "books whose ISBN was listed before";

/// How a backslash before a quote is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EscapedQuotes {
    /// As the released files show it: the backslash is a letter and the quote after it ends the
    /// quoting, so `"\"O\" Is for Outlaw"` becomes `\O\" Is for Outlaw"`.
    #[default]
    AsReleased,
    /// As it was meant: `"O" Is for Outlaw`.
    Unescaped,
}

/// A line of `BX-Books.csv`, as far as samples need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Book {
    /// The title.
    pub title: String,
    /// The author; empty for a few.
    pub author: String,
}

/// A line of `BX-Book-Ratings.csv`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BookRating {
    /// Line, from 1.
    pub line: u64,
    /// User number, as it stands there.
    pub user: String,
    /// ISBN, as it stands there, damaged or not.
    pub isbn: String,
    /// 0 for an implicit rating, else 1 to 10.
    pub rating: u8,
}

/// The two files, read.
#[derive(Debug, Clone, Default)]
pub struct BookCrossing {
    /// Books by ISBN, in file order.
    pub books: IndexMap<String, Book>,
    /// Ratings in file order.
    pub ratings: Vec<BookRating>,
    /// What errors call the ratings file.
    pub ratings_name: String,
    /// Lines that were left out.
    pub dropped: Tally,
    /// What the reader should know, in sentences.
    pub notes: Vec<String>,
}

impl BookCrossing {
    /// Reads both files.
    ///
    /// # Errors
    /// If a file is not what the original is: other columns, UTF-8, a rating outside 0 to 10, a
    /// rating line that is cut off.
    pub fn read(
        books: &Source,
        ratings: &Source,
        escaped_quotes: EscapedQuotes,
    ) -> Result<Self, DataError> {
        let mut read = Self {
            ratings_name: ratings.name().to_owned(),
            ..Self::default()
        };
        read.read_books(books, escaped_quotes)?;
        read.read_ratings(ratings, escaped_quotes)?;
        Ok(read)
    }

    fn read_books(&mut self, source: &Source, escapes: EscapedQuotes) -> Result<(), DataError> {
        let mut nameless = 0_u64;
        for (line, [isbn, title, author]) in self.rows(source, &BOOK_COLUMNS, escapes)? {
            if self.books.contains_key(&isbn) {
                self.dropped
                    .count_line(REPEATED_BOOK, source.name(), line, &isbn);
                continue;
            }
            nameless += u64::from(author.is_empty());
            self.books.insert(isbn, Book { title, author });
        }
        if nameless > 0 {
            self.notes.push(format!(
                "{}: {nameless} books have no author; they are kept, and nothing stands after \
                 `written by`",
                source.name()
            ));
        }
        Ok(())
    }

    fn read_ratings(&mut self, source: &Source, escapes: EscapedQuotes) -> Result<(), DataError> {
        for (line, [user, isbn, rating]) in self.rows(source, &RATING_COLUMNS, escapes)? {
            if user.is_empty() || !user.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(source
                    .at(line, None, format!("`User-ID` is `{}`", shown(&user)))
                    .with_help("a user is a whole number"));
            }
            let rating = match rating.parse::<u8>() {
                Ok(number @ 0..=10) => number,
                _ => {
                    return Err(source
                        .at(line, None, format!("`Book-Rating` is `{}`", shown(&rating)))
                        .with_help(
                            "a rating is a whole number from 0 (implicit) to 10; if this is the \
                             last line, the file was cut off",
                        ));
                }
            };
            self.ratings.push(BookRating {
                line,
                user,
                isbn,
                rating,
            });
        }
        Ok(())
    }

    /// The first three fields of every record of the right width, with its line.
    fn rows(
        &mut self,
        source: &Source,
        columns: &[&str],
        escapes: EscapedQuotes,
    ) -> Result<Vec<(u64, [String; 3])>, DataError> {
        let bytes = source.read()?;
        match suspect_utf8(&bytes) {
            Utf8Suspicion::Certain => return Err(utf8_error(source, &bytes)),
            Utf8Suspicion::Possible => self.notes.push(format!(
                "{}: all its non-ASCII letters could be UTF-8; they are read as ISO-8859-1 like \
                 the original, which itself holds words such as `MÃ©dico`; check that this is no \
                 converted copy",
                source.name()
            )),
            Utf8Suspicion::None => {}
        }
        check_end(source, &bytes)?;
        let escape = match escapes {
            EscapedQuotes::AsReleased => None,
            EscapedQuotes::Unescaped => Some(b'\\'),
        };
        let mut reader = ReaderBuilder::new()
            .delimiter(b';')
            .escape(escape)
            .flexible(true)
            .has_headers(false)
            .from_reader(bytes.as_slice());
        let mut lines = LineCounter::new(&bytes);
        let mut record = ByteRecord::new();
        let mut rows = Vec::new();
        let mut header = true;
        loop {
            let more = reader
                .read_byte_record(&mut record)
                .map_err(|error| source.at(lines.last, None, format!("unreadable: {error}")))?;
            if !more {
                return Ok(rows);
            }
            let start = record.position().map_or(0, csv::Position::byte) as usize;
            let line = lines.at(start);
            if header {
                check_header(source, line, &record, columns)?;
                header = false;
                continue;
            }
            let whole: Vec<String> = record.iter().map(from_latin1).collect();
            let reason = if whole.iter().any(|field| field.contains('\n')) {
                Some(SEVERAL_LINES)
            } else if whole.len() > columns.len() {
                Some(MANY_FIELDS)
            } else if whole.len() < columns.len() {
                Some(FEW_FIELDS)
            } else {
                None
            };
            if let Some(reason) = reason {
                self.dropped
                    .count_line(reason, source.name(), line, &whole.join(";"));
                continue;
            }
            let mut fields = whole.into_iter();
            let first_three = [(); 3].map(|()| fields.next().unwrap_or_default());
            rows.push((line, first_three));
        }
    }
}

/// Line numbers of ascending byte positions; the CSV reader's own are off after a CRLF.
struct LineCounter<'a> {
    bytes: &'a [u8],
    position: usize,
    last: u64,
}

impl<'a> LineCounter<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            position: 0,
            last: 1,
        }
    }

    /// The line of the first byte from `start` on that is no line end.
    fn at(&mut self, start: usize) -> u64 {
        let rest = self.bytes.get(start..).unwrap_or_default();
        let ends = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
        let until = start + ends.count();
        let passed = self.bytes.get(self.position..until).unwrap_or_default();
        self.last += passed.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.position = until;
        self.last
    }
}

/// The originals quote every field, so a file that begins with a quote must end with one.
fn check_end(source: &Source, bytes: &[u8]) -> Result<(), DataError> {
    let text = bytes.trim_ascii_end();
    if bytes.starts_with(b"\"") && !text.ends_with(b"\"") {
        let line = 1 + text.iter().filter(|byte| **byte == b'\n').count() as u64;
        let last = text
            .rsplit(|byte| *byte == b'\n')
            .next()
            .unwrap_or_default();
        return Err(source
            .at(
                line,
                None,
                format!(
                    "the last line has no closing quote: `{}`",
                    shown(&from_latin1(last))
                ),
            )
            .with_help("the file was cut off: fetch it again"));
    }
    Ok(())
}

fn check_header(
    source: &Source,
    line: u64,
    record: &ByteRecord,
    columns: &[&str],
) -> Result<(), DataError> {
    let found: Vec<String> = record.iter().map(from_latin1).collect();
    if found == columns {
        return Ok(());
    }
    let expected = columns.join(";");
    let help = if found.len() == 1 && found[0].contains(',') {
        "the file is separated by commas: this is a re-written copy; the original is separated by \
         `;` and is called BX-Books.csv or BX-Book-Ratings.csv"
            .to_owned()
    } else if found.len() == columns.len()
        && !found.iter().any(|name| columns.contains(&name.as_str()))
    {
        format!("the header is missing: the first line must be `{expected}`")
    } else {
        let wrong = found
            .iter()
            .find(|name| !columns.contains(&name.as_str()))
            .map_or_else(String::new, |name| {
                format!(
                    "; `{}` is unknown, {}",
                    shown(name),
                    suggestion(name, columns.iter().copied())
                )
            });
        format!("the columns must be `{expected}`, in this order{wrong}")
    };
    Err(source
        .at(
            line,
            None,
            format!("the first line is `{}`", shown(&found.join(";"))),
        )
        .with_help(help))
}
