//! What is told in the small world: the corpus a small language model is pretrained on.
//!
//! The tales are about people who are in no data set, with tastes of their own, and about titles
//! made on the spot. Like the text a large model reads, they show what titles are about and that
//! tastes are regular; they hold neither the prompt of rec-tuning nor anybody's opinion of the
//! data. Documents come in phases, easy ones first: a small model finds out that like goes with
//! like from two genres named by name, and much later, if at all, from ten titles.

mod lesson;
mod tale;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::base::Random;
use crate::data::error::DataError;

/// A part of the corpus. Weights need not sum to anything.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Phase {
    /// Documents of this phase.
    pub documents: usize,
    /// Share of documents that are facts about genres, words and titles.
    pub facts: f64,
    /// Share of documents that are tasks in the Alpaca form.
    pub instructions: f64,
    /// Weight of tales about genres.
    pub genres: f64,
    /// Weight of tales about single words of titles.
    pub words: f64,
    /// Weight of tales about titles.
    pub titles: f64,
    /// Weight of tales about titles with years.
    pub dated: f64,
    /// How many things a tale lists before it asks: one of these.
    pub listed: Vec<usize>,
    /// Share of tales with the verdict right behind what it is about: `Horror yes, War no.`
    pub direct: f64,
    /// Share of tales in the plainest words, always the same: NAME loved A, B. NAME hated C.
    pub plain: f64,
    /// Share of titles whose words are all of one genre.
    pub pure: f64,
    /// Share of tales about people as people are: more or less easily pleased, with tastes of
    /// different strength, not always of one mind. The others love or hate genres, half of each.
    pub moody: f64,
}

impl Default for Phase {
    fn default() -> Self {
        Self {
            documents: 0,
            facts: 0.12,
            instructions: 0.0,
            genres: 0.0,
            words: 0.0,
            titles: 0.0,
            dated: 1.0,
            listed: vec![2, 4],
            direct: 0.0,
            plain: 0.0,
            pure: 1.0,
            moody: 0.0,
        }
    }
}

/// What the corpus holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TalesOptions {
    /// Decides everything.
    pub seed: u64,
    /// The phases, in their order.
    pub phases: Vec<Phase>,
    /// Held-out questions of the last phase's kind, with the tale before them.
    pub probes: usize,
}

impl Default for TalesOptions {
    fn default() -> Self {
        Self {
            seed: 1,
            phases: vec![Phase {
                documents: 1000,
                ..Phase::default()
            }],
            probes: 400,
        }
    }
}

impl TalesOptions {
    /// Checks what makes a corpus possible.
    ///
    /// # Errors
    /// The field and what is wrong with it.
    pub fn check(&self) -> Result<(), (String, String)> {
        if self.phases.is_empty() {
            return Err(("phases".to_owned(), "there is no phase".to_owned()));
        }
        for (number, phase) in self.phases.iter().enumerate() {
            phase
                .check()
                .map_err(|(field, message)| (format!("phases.{number}.{field}"), message))?;
        }
        Ok(())
    }
}

impl Phase {
    fn weights(&self) -> [f64; 4] {
        [self.genres, self.words, self.titles, self.dated]
    }

    fn check(&self) -> Result<(), (&'static str, String)> {
        let shares = [
            ("facts", self.facts),
            ("instructions", self.instructions),
            ("direct", self.direct),
            ("plain", self.plain),
            ("pure", self.pure),
            ("moody", self.moody),
        ];
        for (field, share) in shares {
            if !(0.0..=1.0).contains(&share) {
                return Err((field, format!("{share} is no share, 0 to 1 is expected")));
            }
        }
        let weights = self.weights();
        if weights.iter().any(|weight| !(0.0..).contains(weight))
            || weights.iter().sum::<f64>() <= 0.0
        {
            return Err((
                "dated",
                "the four weights must be 0 or more, and not all 0".to_owned(),
            ));
        }
        if self.listed.is_empty() || self.listed.iter().any(|count| !(2..=20).contains(count)) {
            return Err(("listed", "numbers from 2 to 20 are expected".to_owned()));
        }
        Ok(())
    }

    fn document(&self, random: &mut Random) -> String {
        let draw = random.uniform();
        if draw < self.facts {
            let facts: Vec<String> = (0..4).map(|_| lesson::fact(random)).collect();
            facts.join("\n")
        } else if draw < self.facts + self.instructions {
            lesson::instruction(random)
        } else {
            tale::tale(random, self).text()
        }
    }
}

/// Writes the corpus, one `{"text": …, "phase": …}` a line in the order of the phases, and the held-out
/// questions, one `{"prompt": …, "answers": [like, dislike], "label": …}` a line.
///
/// # Errors
/// If a file cannot be written.
pub fn write_tales(corpus: &Path, probe: &Path, options: &TalesOptions) -> Result<(), DataError> {
    write_lines(corpus, |sink| {
        for (number, phase) in options.phases.iter().enumerate() {
            let mut random = Random::new(options.seed, &format!("synthetic/tales/{number}"));
            for _ in 0..phase.documents {
                let text = phase.document(&mut random);
                writeln!(sink, "{}", json!({ "text": text, "phase": number }))?;
            }
        }
        Ok(())
    })?;
    write_lines(probe, |sink| {
        let mut random = Random::new(options.seed, "synthetic/tales/probe");
        let Some(phase) = options.phases.last() else {
            return Ok(());
        };
        for _ in 0..options.probes {
            let (prompt, answers, label) = tale::tale(&mut random, phase).probe();
            let row = json!({ "prompt": prompt, "answers": answers, "label": label });
            writeln!(sink, "{row}")?;
        }
        Ok(())
    })
}

fn write_lines(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), DataError> {
    let name = path.display().to_string();
    let file = File::create(path).map_err(DataError::io("create", &*name))?;
    let mut sink = BufWriter::new(file);
    write(&mut sink)
        .and_then(|()| sink.flush())
        .map_err(DataError::io("write", name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::sample::Domain;
    use crate::data::tallrec_text::{PREFERENCE, UNPREFERENCE, instruction};

    fn busy() -> TalesOptions {
        let phase = |moody| Phase {
            documents: 400,
            instructions: 0.3,
            genres: 1.0,
            words: 1.0,
            titles: 1.0,
            listed: vec![2, 6, 10],
            direct: 0.3,
            pure: 0.5,
            moody,
            ..Phase::default()
        };
        TalesOptions {
            phases: vec![phase(0.0), phase(1.0)],
            ..TalesOptions::default()
        }
    }

    #[test]
    fn the_corpus_does_not_hold_the_prompt_of_rec_tuning() {
        let folder = tempfile::tempdir().expect("a folder");
        let (corpus, probe) = (folder.path().join("c"), folder.path().join("p"));
        write_tales(&corpus, &probe, &busy()).expect("written");
        let text = std::fs::read_to_string(&corpus).expect("read")
            + &std::fs::read_to_string(&probe).expect("read");
        assert_eq!(text.lines().count(), 800 + 400);
        for taboo in [
            PREFERENCE,
            UNPREFERENCE,
            "Whether the user will like",
            "preference and unpreference",
            &instruction(Domain::Movie),
            &instruction(Domain::Book),
        ] {
            assert!(!text.contains(taboo), "{taboo}");
        }
    }

    #[test]
    fn the_same_seed_tells_the_same() {
        let folder = tempfile::tempdir().expect("a folder");
        let read = |name: &str, seed| {
            let path = folder.path().join(name);
            let options = TalesOptions { seed, ..busy() };
            write_tales(&path, &folder.path().join("p"), &options).expect("written");
            std::fs::read(path).expect("read")
        };
        let first = read("a", 1);
        assert_eq!(first, read("b", 1));
        assert_ne!(first, read("c", 2));
    }

    #[test]
    fn impossible_phases_are_refused() {
        assert!(busy().check().is_ok());
        let mut options = busy();
        options.phases[1].pure = 1.5;
        let (field, _) = options.check().expect_err("no share");
        assert_eq!(field, "phases.1.pure");
        options.phases.clear();
        assert!(options.check().is_err());
    }
}
