//! Book-Crossing files to samples: ugly text, what is dropped and counted, and broken files.

use runner::data::book_crossing::raw::{FEW_FIELDS, MANY_FIELDS, REPEATED_BOOK, SEVERAL_LINES};
use runner::data::book_crossing::{
    BookCrossing, BookCrossingOptions, EscapedQuotes, FEW_BOOKS, Labels, REPEATED_RATING,
    UNKNOWN_ISBN, ZERO_DROPPED, ZeroRatings,
};
use runner::data::tallrec_text::TargetLine;
use runner::data::{DataError, Sample, Source, Tally};

const BOOKS: &str = "\"ISBN\";\"Book-Title\";\"Book-Author\";\"Year-Of-Publication\";\"Publisher\";\
                     \"Image-URL-S\";\"Image-URL-M\";\"Image-URL-L\"\r\n";
const RATINGS: &str = "\"User-ID\";\"ISBN\";\"Book-Rating\"\r\n";

fn book(isbn: &str, title: &str, author: &str) -> String {
    format!("\"{isbn}\";\"{title}\";\"{author}\";\"1999\";\"House\";\"s\";\"m\";\"l\"\r\n")
}

fn read_bytes(
    books: &[u8],
    ratings: &[u8],
    quotes: EscapedQuotes,
) -> Result<BookCrossing, DataError> {
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join("BX-Books.csv"), books).expect("writes");
    std::fs::write(folder.path().join("BX-Book-Ratings.csv"), ratings).expect("writes");
    let raw = Source::named(folder.path(), "raw");
    BookCrossing::read(
        &raw.file("BX-Books.csv"),
        &raw.file("BX-Book-Ratings.csv"),
        quotes,
    )
}

fn read(books: &str, ratings: &str) -> Result<BookCrossing, DataError> {
    read_bytes(
        format!("{BOOKS}{books}").as_bytes(),
        format!("{RATINGS}{ratings}").as_bytes(),
        EscapedQuotes::AsReleased,
    )
}

/// Twelve users with 4 to 15 books; user u likes the books whose number is divisible by u % 3 + 1.
fn world() -> (String, String) {
    let books: String = (0..20)
        .map(|number| {
            book(
                &format!("{number:010}"),
                &format!("Title {number}"),
                &format!("Author {number}"),
            )
        })
        .collect();
    let mut ratings = String::new();
    for user in 0..12_usize {
        for at in 0..4 + user {
            let number = (user * 7 + at * 3) % 20;
            let rating = if number.is_multiple_of(user % 3 + 1) {
                8
            } else {
                5 * (number % 2)
            };
            ratings.push_str(&format!("\"{user}\";\"{number:010}\";\"{rating}\"\r\n"));
        }
    }
    (books, ratings)
}

fn samples(options: BookCrossingOptions) -> (Vec<Sample>, Tally) {
    let (books, ratings) = world();
    let outcome = read(&books, &ratings)
        .expect("reads")
        .samples(options)
        .expect("samples");
    let mut all: Vec<Sample> = outcome
        .splits
        .parts()
        .iter()
        .flat_map(|(_, part)| part.to_vec())
        .collect();
    all.sort_by_key(|sample| {
        sample
            .user
            .as_ref()
            .and_then(|user| user.parse::<u32>().ok())
    });
    (all, outcome.dropped)
}

fn likes(sample: &Sample) -> usize {
    sample.history.iter().filter(|rated| rated.liked).count() + usize::from(sample.label)
}

#[test]
fn own_labels_belong_to_their_books_and_permuted_ones_do_not() {
    let (own, _) = samples(BookCrossingOptions {
        labels: Labels::Own,
        ..BookCrossingOptions::default()
    });
    let (permuted, _) = samples(BookCrossingOptions::default());
    assert_eq!(own.len(), 12);
    let right = |sample: &Sample, id: &str, liked: bool| {
        let user: usize = sample.user.as_ref().expect("user").parse().expect("number");
        let number: usize = id.parse().expect("number");
        number.is_multiple_of(user % 3 + 1) == liked
    };
    let wrong = |sample: &Sample| {
        let history = sample
            .history
            .iter()
            .filter(|rated| !right(sample, &rated.item.id, rated.liked));
        history.count() + usize::from(!right(sample, &sample.target.id, sample.label))
    };
    assert_eq!(own.iter().map(wrong).sum::<usize>(), 0);
    assert!(permuted.iter().map(wrong).sum::<usize>() > 10);
    for (one, other) in own.iter().zip(&permuted) {
        assert_eq!(one.user, other.user);
        // Up to 11 books all are shown, so the number of likes agrees.
        if one.history.len() < 10 {
            assert_eq!(likes(one), likes(other));
        }
    }
}

#[test]
fn the_fixed_order_and_both_target_lines() {
    let (released, _) = samples(BookCrossingOptions::default());
    // User 0 has books 0, 3, 6, 9; three shuffles of four give back the order of appearance.
    let titles: Vec<&str> = released[0]
        .history
        .iter()
        .map(|rated| rated.item.title.as_str())
        .collect();
    assert_eq!(titles, ["Title 0", "Title 3", "Title 6"]);
    assert!(
        released[0]
            .input
            .ends_with("target book \"\"Title 9\" written by Author 9\"?")
    );
    let (plain, _) = samples(BookCrossingOptions {
        target_line: TargetLine::Plain,
        labels: Labels::Own,
        ..BookCrossingOptions::default()
    });
    // One shuffle of four: 2 1 3 0.
    assert!(
        plain[0]
            .input
            .ends_with("target book \"Title 0\" written by Author 0?")
    );
    assert_eq!(plain[0].target.id, "0000000000");
}

#[test]
fn the_seed_decides_the_split_and_nothing_else() {
    let (books, ratings) = world();
    let read = read(&books, &ratings).expect("reads");
    let train = |seed| {
        let outcome = read
            .samples(BookCrossingOptions {
                seed,
                ..BookCrossingOptions::default()
            })
            .expect("samples");
        outcome
            .splits
            .train
            .iter()
            .map(|sample| sample.user.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(train(1), train(1));
    assert_ne!(train(1), train(2));
}

#[test]
fn everything_left_out_is_counted_with_its_lines() {
    let (mut books, mut ratings) = world();
    books.push_str(&book("0000000003", "Again", "A"));
    books.push_str(
        "\"9\";\"Long \\\"A; B\\\" title\";\"A\";\"1999\";\"House\";\"s\";\"m\";\"l\"\r\n",
    );
    books.push_str("\"8\";\"Short\";\"A\"\r\n");
    books.push_str("\"7\";\"Two\nlines\";\"A\";\"1999\";\"House\";\"s\";\"m\";\"l\"\r\n");
    ratings.push_str("\"3\";\"nowhere\";\"7\"\r\n\"77\";\"0000000001\";\"7\"\r\n");
    ratings.push_str("\"77\";\"0000000001\";\"2\"\r\n");
    let read = read(&books, &ratings).expect("reads");
    let without_zeros = read
        .samples(BookCrossingOptions {
            zero_ratings: ZeroRatings::Drop,
            ..BookCrossingOptions::default()
        })
        .expect("samples");
    assert_eq!(without_zeros.dropped.of(ZERO_DROPPED), 11);
    let dropped = read
        .samples(BookCrossingOptions::default())
        .expect("samples")
        .dropped;
    let counts: Vec<u64> = [
        REPEATED_BOOK,
        MANY_FIELDS,
        FEW_FIELDS,
        SEVERAL_LINES,
        UNKNOWN_ISBN,
        REPEATED_RATING,
        FEW_BOOKS,
        ZERO_DROPPED,
    ]
    .map(|reason| dropped.of(reason))
    .to_vec();
    assert_eq!(counts, [1, 1, 1, 1, 1, 1, 1, 0]);
    let sentences = dropped.sentences().join("\n");
    assert!(sentences.contains("(raw/BX-Books.csv:23)"), "{sentences}");
    assert!(
        sentences.contains("(raw/BX-Book-Ratings.csv:116)"),
        "{sentences}"
    );
}

#[test]
fn escaped_quotes_are_read_both_ways() {
    let books = format!(
        "{BOOKS}{}{}",
        book("1", "\\\"O\\\" Is for Owl", "A \\\"j\\\""),
        book("2", "Tom &amp; \"\"X\"\"", "B")
    );
    let title = |quotes| {
        let read = read_bytes(
            books.as_bytes(),
            format!("{RATINGS}\"1\";\"1\";\"0\"\r\n").as_bytes(),
            quotes,
        )
        .expect("reads");
        (
            read.books["1"].title.clone(),
            read.books["1"].author.clone(),
            read.books["2"].title.clone(),
        )
    };
    let (first, author, second) = title(EscapedQuotes::AsReleased);
    assert_eq!(
        (first.as_str(), author.as_str()),
        (r#"\O\" Is for Owl""#, r#"A \j\"""#)
    );
    assert_eq!(second, "Tom &amp; \"X\"");
    let (first, author, _) = title(EscapedQuotes::Unescaped);
    assert_eq!(
        (first.as_str(), author.as_str()),
        ("\"O\" Is for Owl", "A \"j\"")
    );
}

#[test]
fn utf8_copies_are_refused_and_doubly_encoded_originals_are_not() {
    let (_, ratings) = world();
    let ratings = format!("{RATINGS}{ratings}");
    let latin1 = [
        BOOKS.as_bytes(),
        b"\"1\";\"El m\xc3\xa9dico, St\xc3?\xc2\xa4dten\";\"A\";\"1\";\"H\";\"s\";\"m\";\"l\"\r\n",
    ]
    .concat();
    let read =
        read_bytes(&latin1, ratings.as_bytes(), EscapedQuotes::AsReleased).expect("original");
    assert_eq!(read.books["1"].title, "El mÃ©dico, StÃ?Â¤dten");
    assert!(read.notes.is_empty());
    let utf8: String = latin1.iter().copied().map(char::from).collect();
    let error = read_bytes(
        utf8.as_bytes(),
        ratings.as_bytes(),
        EscapedQuotes::AsReleased,
    )
    .expect_err("UTF-8");
    let text = error.to_string();
    assert!(
        text.starts_with("raw/BX-Books.csv:2:") && text.contains("iconv"),
        "{text}"
    );
    let marked = [b"\xef\xbb\xbf", BOOKS.as_bytes()].concat();
    let error =
        read_bytes(&marked, ratings.as_bytes(), EscapedQuotes::AsReleased).expect_err("mark");
    assert!(error.to_string().contains("BX-Books.csv:1:"), "{error}");
    let doubtful = format!("{BOOKS}{}", book("1", "El médico", "A"));
    let read = read_bytes(
        doubtful.as_bytes(),
        ratings.as_bytes(),
        EscapedQuotes::AsReleased,
    )
    .expect("either");
    assert!(read.notes[0].contains("could be UTF-8"), "{:?}", read.notes);
}

#[test]
fn broken_files_are_named() {
    let (books, ratings) = world();
    let check = |books: &str, ratings: &str, parts: &[&str]| {
        let error = read_bytes(
            books.as_bytes(),
            ratings.as_bytes(),
            EscapedQuotes::AsReleased,
        )
        .expect_err("must fail")
        .to_string();
        for part in parts {
            assert!(error.contains(part), "`{part}` is not in: {error}");
        }
    };
    let good_books = format!("{BOOKS}{books}");
    let good_ratings = format!("{RATINGS}{ratings}");
    check(
        &books,
        &good_ratings,
        &["raw/BX-Books.csv:1:", "header is missing"],
    );
    check(
        &good_books,
        &ratings,
        &["raw/BX-Book-Ratings.csv:1:", "header is missing"],
    );
    check(
        &good_books.replace("Book-Title", "BookTitle"),
        &good_ratings,
        &["did you mean `Book-Title`?"],
    );
    check(
        &good_books.replace(';', ","),
        &good_ratings,
        &["separated by commas"],
    );
    check(
        &good_books,
        &good_ratings.replace("\"5\"\r\n", "\"55\"\r\n"),
        &["`Book-Rating` is `55`"],
    );
    check(
        &good_books,
        &format!("{RATINGS}\"x\";\"1\";\"5\"\r\n"),
        &["Ratings.csv:2:", "`User-ID` is `x`"],
    );
    check(
        &good_books,
        &good_ratings[..good_ratings.len() - 5],
        &["no closing quote", "cut off"],
    );
    check("", &good_ratings, &["empty"]);
}
