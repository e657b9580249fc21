//! The TALLRec authors' released files, and anybody's in that form.

use std::io::{self, Write};

use super::error::{DataError, shown};
use super::json_records::{self, Rules, Writer};
use super::sample::{Domain, Sample};
use super::source::Source;
use super::tallrec_text::{NO, YES, parse_input};

/// Reads a file of samples. Texts are kept byte for byte; history and target are parsed from
/// them, so ids are the texts that name the items, and users and times are unknown.
///
/// # Errors
/// If it is no JSON array of `instruction`, `input`, `output`, if an answer is neither `Yes.` nor
/// `No.`, or if an input does not have the released form.
pub fn read_tallrec_json(source: &Source, domain: Domain) -> Result<Vec<Sample>, DataError> {
    let read = json_records::read(
        source,
        Rules {
            optional_input: false,
            check: check_answer,
        },
    )?;
    if read.records.is_empty() {
        return Err(source
            .at(1, None, "the array is empty")
            .with_help("at least one sample is needed"));
    }
    let mut samples = Vec::with_capacity(read.records.len());
    for (row, record) in read.records.into_iter().enumerate() {
        let (history, target) = parse_input(domain, &record.input).map_err(|error| {
            let line = read.lines.get(row).copied().unwrap_or(1);
            source
                .at(line, None, format!("record {row}: {}", error.message))
                .with_help(error.help)
        })?;
        samples.push(Sample {
            row: row as u32,
            domain,
            user: None,
            time: None,
            history,
            target,
            label: record.output == YES,
            instruction: record.instruction,
            input: record.input,
            output: record.output,
        });
    }
    Ok(samples)
}

fn check_answer(field: &str, value: &str) -> Result<(), (String, String)> {
    if field != "output" || value == YES || value == NO {
        return Ok(());
    }
    let bare = value.trim().trim_end_matches('.').to_lowercase();
    let meant = match bare.as_str() {
        "yes" | "y" | "true" | "1" | "like" => Some(YES),
        "no" | "n" | "false" | "0" | "dislike" => Some(NO),
        _ => None,
    };
    Err((
        format!("`output` is `{}`", shown(value)),
        match meant {
            Some(meant) => {
                format!("did you mean `{meant}`? (allowed, to the letter: `{YES}`, `{NO}`)")
            }
            None => format!("allowed, to the letter: `{YES}`, `{NO}`"),
        },
    ))
}

/// Writes samples in the form of the released files, byte for byte.
///
/// # Errors
/// Whatever the sink gives.
pub fn write_tallrec_json(sink: impl Write, samples: &[Sample]) -> io::Result<()> {
    let mut writer = Writer::new(sink);
    for sample in samples {
        writer.write(&sample.instruction, &sample.input, &sample.output)?;
    }
    writer.finish().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Vec<Sample>, DataError> {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("0a1b2c");
        std::fs::write(&path, text).expect("writes");
        read_tallrec_json(&Source::named(&path, "valid.json"), Domain::Book)
    }

    const TEXT: &str = r#"[
    {
        "instruction": "Is it?",
        "input": "User Preference: \"A\" written by B\nUser Unpreference: \nWhether the user will like the target book \"\"M\u00c3\u00a9dico\" written by D\"?",
        "output": "Yes."
    }
]"#;

    #[test]
    fn bytes_come_back_and_texts_are_kept() {
        let samples = read_text(TEXT).expect("reads");
        assert_eq!(samples[0].target.title, "MÃ©dico");
        assert!(samples[0].label);
        let mut bytes = Vec::new();
        write_tallrec_json(&mut bytes, &samples).expect("writes");
        assert_eq!(String::from_utf8(bytes).expect("ASCII"), TEXT);
    }

    #[test]
    fn a_wrong_answer_is_named_with_its_place() {
        let error = read_text(&TEXT.replace("Yes.", "yes")).expect_err("yes");
        let text = error.to_string();
        assert!(text.starts_with("valid.json:5:"), "{text}");
        assert!(
            text.contains("record 0") && text.contains("did you mean `Yes.`?"),
            "{text}"
        );
        let error = read_text(&TEXT.replace("target book", "target movie")).expect_err("movie");
        assert!(error.to_string().contains("domain: movie"), "{error}");
    }
}
