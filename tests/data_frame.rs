//! Samples through Parquet and back, and K-shot draws.

use std::collections::BTreeSet;

use proptest::prelude::*;
use runner::data::frame::{read_records, read_samples, write_records, write_samples};
use runner::data::json_records::Record;
use runner::data::{Domain, Item, Rated, Sample, shots};

fn item() -> impl Strategy<Value = Item> {
    (any::<String>(), any::<String>(), any::<Option<String>>())
        .prop_map(|(id, title, maker)| Item { id, title, maker })
}

fn sample() -> impl Strategy<Value = Sample> {
    let rated = (item(), any::<bool>()).prop_map(|(item, liked)| Rated { item, liked });
    let head = (any::<u32>(), any::<bool>(), any::<Option<String>>(), any::<Option<i64>>());
    let texts = (any::<bool>(), any::<String>(), any::<String>(), any::<String>());
    (head, prop::collection::vec(rated, 0..4), item(), texts).prop_map(
        |((row, film, user, time), history, target, (label, instruction, input, output))| Sample {
            row,
            domain: if film { Domain::Movie } else { Domain::Book },
            user,
            time,
            history,
            target,
            label,
            instruction,
            input,
            output,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn samples_come_back_and_bytes_are_the_same(samples in prop::collection::vec(sample(), 0..6)) {
        let folder = tempfile::tempdir().expect("folder");
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        write_samples(&one, &samples).expect("writes");
        write_samples(&two, &samples).expect("writes");
        prop_assert_eq!(read_samples(&one).expect("reads"), samples);
        prop_assert_eq!(std::fs::read(one).expect("reads"), std::fs::read(two).expect("reads"));
    }
}

#[test]
fn records_come_back_and_errors_name_the_column() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("records");
    let records = vec![Record {
        instruction: "Say hello.".to_owned(),
        input: String::new(),
        output: "Hello.".to_owned(),
    }];
    write_records(&path, &records).expect("writes");
    assert_eq!(read_records(&path).expect("reads"), records);
    let error = read_samples(&path).expect_err("no samples");
    assert!(error.to_string().contains("column `domain` is missing"), "{error}");
    std::fs::write(&path, "text").expect("writes");
    let error = read_samples(&path).expect_err("no Parquet");
    assert!(error.to_string().contains("no readable Parquet"), "{error}");
}

fn pool(domain: Domain, count: u32) -> Vec<Sample> {
    (0..count)
        .map(|row| Sample {
            row,
            domain,
            user: None,
            time: None,
            history: Vec::new(),
            target: Item { id: row.to_string(), title: String::new(), maker: None },
            label: row % 2 == 0,
            instruction: String::new(),
            input: String::new(),
            output: String::new(),
        })
        .collect()
}

#[test]
fn draws_contain_each_other_and_domains_do_not_disturb_each_other() {
    let films = pool(Domain::Movie, 412);
    let books = pool(Domain::Book, 300);
    let rows = |samples: &[Sample]| samples.iter().map(|sample| sample.row).collect::<Vec<_>>();
    let few = shots::draw(std::slice::from_ref(&films), 16, 1).expect("draws");
    let many = shots::draw(std::slice::from_ref(&films), 64, 1).expect("draws");
    assert_eq!(rows(&few), rows(&many)[..16]);
    assert_eq!(rows(&many).into_iter().collect::<BTreeSet<_>>().len(), 64);
    assert_ne!(rows(&few), rows(&shots::draw(std::slice::from_ref(&films), 16, 2).expect("draws")));
    let both = shots::draw(&[films.clone(), books], 16, 1).expect("draws");
    assert_eq!(both.len(), 32);
    assert_eq!(rows(&both)[..16], rows(&few));
    let error = shots::draw(std::slice::from_ref(&films), 512, 1).expect_err("too many");
    assert!(
        error.to_string().contains("k = 512 asks for more than the 412 training samples"),
        "{error}"
    );
    assert!(shots::draw(std::slice::from_ref(&films), 0, 1).is_err());
    assert!(shots::draw(&[films.clone(), films], 4, 1).is_err());
    assert!(shots::draw(&[], 4, 1).is_err());
}
