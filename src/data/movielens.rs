//! MovieLens 100K (`u.data`, `u.item`) to samples.
//!
//! By-user splitting reproduces the TALLRec authors' released film files byte for byte: users in
//! order of first appearance, a stable sort by time, the ten ratings before each target as its
//! history, and the last 10,000 samples of that list. The paper's words ("the most recent 10,000
//! interactions") describe another selection, which is by-time splitting.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::{DataError, shown};
use super::sample::{Domain, Item, Rated, Sample};
use super::source::{Source, Utf8Suspicion, from_latin1, suspect_utf8, utf8_error};
use super::splits::Splits;
use super::tallrec_text::{self, TargetLine};
use super::tally::Tally;

/// Fields of a line of `u.item`: number, title, two dates, address, 19 genre flags.
const ITEM_FIELDS: usize = 24;

/// Why interactions are left out with [`Neutral::Drop`].
pub const NEUTRAL_DROPPED: &str = "ratings of 3, neither like nor dislike";
/// Why users give no sample.
pub const SHORT_USER: &str = "users without enough ratings for a history and a target";
/// Why samples are left out when there are more than the limit.
pub const BEYOND_LIMIT: &str = "samples beyond the limit";

/// Which samples are kept, and in which order they are cut 8:1:1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// The last `limit` samples of the list grouped by user, users in order of first appearance
    /// (what the released code does).
    #[default]
    ByUser,
    /// The `limit` globally most recent targets, in time order; equal times in file order (what
    /// the paper says).
    ByTime,
}

/// What a rating of 3 is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Neutral {
    /// A dislike, as in the released code.
    #[default]
    Dislike,
    /// Nothing: removed before histories are built.
    Drop,
}

/// How samples are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MovieLensOptions {
    /// Which samples are kept, and in which order they are cut 8:1:1.
    pub split: Split,
    /// What a rating of 3 is.
    pub neutral: Neutral,
    /// History items of every sample.
    pub history_length: usize,
    /// Samples kept at most; all of them if there are fewer.
    pub limit: usize,
}

impl Default for MovieLensOptions {
    fn default() -> Self {
        Self {
            split: Split::default(),
            neutral: Neutral::default(),
            history_length: 10,
            limit: 10_000,
        }
    }
}

/// One line of `u.data`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rating {
    /// Line, from 1; also the order of equal times.
    pub line: u64,
    /// User number, as it stands there.
    pub user: u32,
    /// Item number, as it stands there.
    pub item: u32,
    /// 1 to 5.
    pub rating: u8,
    /// Seconds since 1970.
    pub time: i64,
}

/// The two files, read and found consistent.
#[derive(Debug, Clone, Default)]
pub struct MovieLens {
    /// Titles by item number, exactly as they stand in `u.item`.
    pub titles: IndexMap<u32, String>,
    /// Ratings in file order.
    pub ratings: Vec<Rating>,
}

/// Samples with what was left out.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// The samples.
    pub splits: Splits,
    /// What was left out.
    pub dropped: Tally,
}

impl MovieLens {
    /// Reads both files.
    ///
    /// # Errors
    /// If a line does not have the form of the original, or rates an item that is not listed.
    pub fn read(data: &Source, items: &Source) -> Result<Self, DataError> {
        let titles = read_items(items)?;
        let ratings = read_ratings(data, items, &titles)?;
        Ok(Self { titles, ratings })
    }

    /// Makes the samples.
    ///
    /// # Errors
    /// If too few samples come out for a split.
    pub fn samples(&self, options: MovieLensOptions) -> Result<Outcome, DataError> {
        let mut dropped = Tally::default();
        let mut users: IndexMap<u32, Vec<&Rating>> = IndexMap::new();
        for rating in &self.ratings {
            // A user whose first rating is dropped keeps the place of that first appearance.
            let list = users.entry(rating.user).or_default();
            if options.neutral == Neutral::Drop && rating.rating == 3 {
                dropped.add(NEUTRAL_DROPPED, 1);
            } else {
                list.push(rating);
            }
        }
        let mut targets: Vec<(u32, usize)> = Vec::new();
        for (user, list) in &mut users {
            // Stable: three quarters of the ratings share their second with another one.
            list.sort_by_key(|rating| rating.time);
            if list.len() <= options.history_length {
                dropped.count(SHORT_USER, &user.to_string());
            }
            targets.extend((options.history_length..list.len()).map(|at| (*user, at)));
        }
        if options.split == Split::ByTime {
            targets.sort_by_key(|(user, at)| {
                users
                    .get(user)
                    .and_then(|list| list.get(*at))
                    .map(|rating| (rating.time, rating.line))
            });
        }
        let beyond = targets.len().saturating_sub(options.limit);
        targets.drain(..beyond);
        dropped.add(BEYOND_LIMIT, beyond as u64);
        let samples = targets
            .into_iter()
            .filter_map(|(user, at)| {
                let list = users.get(&user)?;
                let history = &list[at - options.history_length..at];
                Some(self.sample(history, list[at]))
            })
            .collect();
        Ok(Outcome {
            splits: Splits::cut(samples)?,
            dropped,
        })
    }

    fn sample(&self, history: &[&Rating], target: &Rating) -> Sample {
        let history: Vec<Rated> = history
            .iter()
            .map(|rating| Rated {
                item: self.item(rating.item),
                liked: is_like(rating),
            })
            .collect();
        let label = is_like(target);
        let time = target.time;
        let user = target.user.to_string();
        let target = self.item(target.item);
        Sample {
            row: 0,
            domain: Domain::Movie,
            user: Some(user),
            time: Some(time),
            instruction: tallrec_text::instruction(Domain::Movie),
            input: tallrec_text::input(Domain::Movie, &history, &target, TargetLine::Plain),
            output: tallrec_text::answer(label).to_owned(),
            history,
            target,
            label,
        }
    }

    fn item(&self, number: u32) -> Item {
        Item {
            id: number.to_string(),
            title: self.titles.get(&number).cloned().unwrap_or_default(),
            maker: None,
        }
    }
}

fn is_like(rating: &Rating) -> bool {
    rating.rating > 3
}

/// Lines with their numbers, without line ends; empty lines at the end are left out.
fn lines(bytes: &[u8]) -> Vec<(u64, &[u8])> {
    let mut lines: Vec<(u64, &[u8])> = bytes
        .split(|byte| *byte == b'\n')
        .zip(1..)
        .map(|(line, number)| (number, line.strip_suffix(b"\r").unwrap_or(line)))
        .collect();
    while lines.last().is_some_and(|(_, line)| line.is_empty()) {
        lines.pop();
    }
    lines
}

fn read_items(source: &Source) -> Result<IndexMap<u32, String>, DataError> {
    let bytes = source.read()?;
    // A film title such as `MisÃ©rables` does not exist, so any UTF-8 letter is proof enough.
    if suspect_utf8(&bytes) != Utf8Suspicion::None {
        return Err(utf8_error(source, &bytes));
    }
    let mut titles = IndexMap::new();
    for (line, content) in lines(&bytes) {
        let fields: Vec<&[u8]> = content.split(|byte| *byte == b'|').collect();
        if fields.len() != ITEM_FIELDS {
            return Err(source
                .at(
                    line,
                    None,
                    format!(
                        "{} fields instead of {ITEM_FIELDS}: `{}`",
                        fields.len(),
                        shown(&from_latin1(content))
                    ),
                )
                .with_help(
                    "a line of u.item is `number|title|date|video date|address|` and 19 flags, \
                     0 or 1, separated by `|`",
                ));
        }
        let number: u32 = number(source, line, content, fields[0], 1, "the item number")?;
        if titles.insert(number, from_latin1(fields[1])).is_some() {
            return Err(source
                .at(
                    line,
                    Some(1),
                    format!("item {number} is listed a second time"),
                )
                .with_help("every item has one line in u.item"));
        }
    }
    Ok(titles)
}

fn read_ratings(
    source: &Source,
    items: &Source,
    titles: &IndexMap<u32, String>,
) -> Result<Vec<Rating>, DataError> {
    let bytes = source.read()?;
    let all = lines(&bytes);
    let mut ratings = Vec::with_capacity(all.len());
    for (line, content) in &all {
        let fields: Vec<&[u8]> = content.split(|byte| *byte == b'\t').collect();
        let [user, item, rating, time] = fields.as_slice() else {
            return Err(wrong_field_count(source, *line, content, fields.len()));
        };
        let column =
            |field: &[u8]| 1 + (field.as_ptr() as usize - content.as_ptr() as usize) as u64;
        let user = number(source, *line, content, user, 1, "the user number")?;
        let item_column = column(item);
        let item = number(source, *line, content, item, item_column, "the item number")?;
        let rating_column = column(rating);
        let rating: u8 = number(source, *line, content, rating, rating_column, "the rating")?;
        let time = number(source, *line, content, time, column(time), "the time")?;
        if !(1..=5).contains(&rating) {
            return Err(source
                .at(
                    *line,
                    Some(rating_column),
                    format!("the rating is {rating}: `{}`", shown(&from_latin1(content))),
                )
                .with_help("MovieLens ratings are 1, 2, 3, 4 or 5"));
        }
        if !titles.contains_key(&item) {
            let highest = titles.keys().max().copied().unwrap_or(0);
            return Err(source
                .at(
                    *line,
                    Some(item_column),
                    format!(
                        "item {item} is not in {}, whose highest number is {highest}: `{}`",
                        items.name(),
                        shown(&from_latin1(content))
                    ),
                )
                .with_help("u.data and u.item must come from the same copy of the data set"));
        }
        ratings.push(Rating {
            line: *line,
            user,
            item,
            rating,
            time,
        });
    }
    check_last_line(source, &bytes, &all)?;
    Ok(ratings)
}

fn wrong_field_count(source: &Source, line: u64, content: &[u8], count: usize) -> DataError {
    let text = from_latin1(content);
    let help = if text.contains("::") {
        "this looks like ratings.dat of MovieLens 1M; the 100K form is expected: user, item, \
         rating, time, separated by tabs"
    } else if text.contains(',') {
        "this looks like ratings.csv; the form of u.data is expected: user, item, rating, time, \
         separated by tabs, no header"
    } else {
        "a line of u.data is user, item, rating, time, separated by tabs; if it is the last line, \
         the file was cut off: fetch it again"
    };
    source
        .at(
            line,
            None,
            format!("{count} fields instead of 4: `{}`", shown(&text)),
        )
        .with_help(help)
}

/// A file cut off within its last number still has four fields there; but then the line lacks
/// its end, and its time has fewer digits than the one before.
fn check_last_line(source: &Source, bytes: &[u8], all: &[(u64, &[u8])]) -> Result<(), DataError> {
    let digits = |line: &[u8]| {
        line.rsplit(|byte| *byte == b'\t')
            .next()
            .map_or(0, <[u8]>::len)
    };
    if let [.., (_, before), (line, last)] = all
        && !bytes.ends_with(b"\n")
        && digits(last) < digits(before)
    {
        return Err(source
            .at(
                *line,
                None,
                format!(
                    "the last line has no line end and a shorter time than the one before: `{}`",
                    shown(&from_latin1(last))
                ),
            )
            .with_help("the file was cut off: fetch it again"));
    }
    Ok(())
}

fn number<N: std::str::FromStr>(
    source: &Source,
    line: u64,
    content: &[u8],
    field: &[u8],
    column: u64,
    what: &str,
) -> Result<N, DataError> {
    let text = from_latin1(field);
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(number) if digits => Ok(number),
        _ => Err(source
            .at(
                line,
                Some(column),
                format!(
                    "{what} is `{}`: `{}`",
                    shown(&text),
                    shown(&from_latin1(content))
                ),
            )
            .with_help(format!("{what} must be a whole number without a sign"))),
    }
}
