//! How far two artifacts of the same stage are apart.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::codec::read_values;
use crate::model_files::WeightFiles;

/// How far apart two artifacts are.
#[derive(Debug, Clone, PartialEq)]
pub enum Distance {
    /// They have the same bytes.
    Same,
    /// They say the same but for numbers: the largest difference between two of them, as a share
    /// of the larger one or of 1, whichever is more.
    Numbers(f64),
    /// They say something else; where, and what.
    Else(String),
}

impl Distance {
    /// The larger of two distances.
    #[must_use]
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (first @ Self::Else(_), _) | (_, first @ Self::Else(_)) => first,
            (Self::Numbers(one), Self::Numbers(two)) => Self::Numbers(one.max(two)),
            (numbers @ Self::Numbers(_), Self::Same) | (Self::Same, numbers) => numbers,
        }
    }
}

/// Compares two artifacts, files or folders: bytes first, then what JSON, Parquet and safetensors
/// say.
///
/// # Errors
/// If one cannot be read.
pub fn distance(one: &Path, two: &Path) -> io::Result<Distance> {
    let (mut left, mut right) = (Vec::new(), Vec::new());
    files(one, Path::new(""), &mut left)?;
    files(two, Path::new(""), &mut right)?;
    if left != right {
        let only = left.iter().find(|name| !right.contains(name));
        let only = only.or_else(|| right.iter().find(|name| !left.contains(name)));
        let name = only.map(|name| name.display().to_string());
        return Ok(Distance::Else(format!(
            "`{}` is in one of them only",
            name.unwrap_or_default()
        )));
    }
    let mut all = Distance::Same;
    for name in left {
        all = all.or(of_files(&beneath(one, &name), &beneath(two, &name))?);
    }
    Ok(all)
}

/// A path below another; joining nothing would make a folder of a file.
fn beneath(root: &Path, below: &Path) -> PathBuf {
    if below.as_os_str().is_empty() {
        root.to_owned()
    } else {
        root.join(below)
    }
}

/// Files below a path, by relative name; the path itself, if it is one, by an empty name.
fn files(root: &Path, below: &Path, into: &mut Vec<PathBuf>) -> io::Result<()> {
    let path = beneath(root, below);
    if !fs::metadata(&path)?.is_dir() {
        into.push(below.to_owned());
        return Ok(());
    }
    let entries = fs::read_dir(&path)?.collect::<io::Result<Vec<_>>>()?;
    let mut names: Vec<_> = entries.into_iter().map(|entry| entry.file_name()).collect();
    names.sort();
    for name in names {
        files(root, &below.join(name), into)?;
    }
    Ok(())
}

fn of_files(one: &Path, two: &Path) -> io::Result<Distance> {
    let (left, right) = (fs::read(one)?, fs::read(two)?);
    if left == right {
        return Ok(Distance::Same);
    }
    // In the store a file is named by its digest, so what it is stands in the other's name.
    let name = two.file_name().unwrap_or_default().to_string_lossy();
    let ending = name.rsplit('.').next().unwrap_or_default();
    let read = match ending {
        "json" => {
            let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).ok();
            json(&left).zip(json(&right))
        }
        "parquet" => {
            let table = |path: &Path| {
                let table = read_values(path).ok()?;
                let rows = table.rows.into_iter().map(Value::Array).collect();
                Some(Value::Array(vec![table.columns.into(), Value::Array(rows)]))
            };
            table(one).zip(table(two))
        }
        "safetensors" => {
            return Ok(of_weights(one, two).unwrap_or_else(|| other_bytes(two)));
        }
        _ => None,
    };
    Ok(read.map_or_else(
        || other_bytes(two),
        |(left, right)| of_values(&left, &right, &name),
    ))
}

fn other_bytes(path: &Path) -> Distance {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Distance::Else(format!("`{name}` has other bytes"))
}

fn of_weights(one: &Path, two: &Path) -> Option<Distance> {
    let open = |path: &Path| WeightFiles::open(path.parent()?).ok();
    let (left, right) = (open(one)?, open(two)?);
    if !left.names().eq(right.names()) {
        return Some(Distance::Else("the tensors have other names".to_owned()));
    }
    let mut all = Distance::Same;
    for name in left.names() {
        if left.shape(name) != right.shape(name) {
            return Some(Distance::Else(format!("`{name}` has another shape")));
        }
        let (left, right) = (left.read_f32(name).ok()?, right.read_f32(name).ok()?);
        // A single weight near zero says little; what counts is how far it is from the tensor.
        let largest = left
            .iter()
            .chain(&right)
            .fold(0.0_f32, |most, x| most.max(x.abs()));
        let apart = left.iter().zip(&right);
        let apart = apart.fold(0.0_f32, |most, (x, y)| most.max((x - y).abs()));
        if apart > 0.0 {
            let share = f64::from(apart) / f64::from(largest.max(f32::MIN_POSITIVE));
            all = all.or(Distance::Numbers(share));
        }
    }
    Some(all)
}

fn of_values(one: &Value, two: &Value, place: &str) -> Distance {
    match (one, two) {
        (Value::Object(left), Value::Object(right)) if left.len() == right.len() => left
            .iter()
            .map(|(name, value)| match right.get(name) {
                Some(other) => of_values(value, other, &format!("{place}: {name}")),
                None => Distance::Else(format!("{place}: `{name}` is in one of them only")),
            })
            .fold(Distance::Same, Distance::or),
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => left
            .iter()
            .zip(right)
            .map(|(value, other)| of_values(value, other, place))
            .fold(Distance::Same, Distance::or),
        (Value::Number(left), Value::Number(right)) => match (left.as_f64(), right.as_f64()) {
            // Whole numbers are counts, rows or labels: those are not close, they are other ones.
            _ if left == right => Distance::Same,
            (Some(x), Some(y)) if left.is_f64() && right.is_f64() => {
                Distance::Numbers((x - y).abs() / x.abs().max(y.abs()).max(1.0))
            }
            _ => Distance::Else(format!("{place}: {left} and {right}")),
        },
        _ if one == two => Distance::Same,
        _ => Distance::Else(
            format!("{place}: {one} and {two}")
                .chars()
                .take(200)
                .collect(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_may_be_close_and_everything_else_is_the_same_or_not() {
        let same = json!({"auc": 0.5, "rows": 10, "of": ["a", null]});
        for (other, expected) in [
            (
                json!({"auc": 0.5, "rows": 10, "of": ["a", null]}),
                Distance::Same,
            ),
            (
                json!({"auc": 0.75, "rows": 10, "of": ["a", null]}),
                Distance::Numbers(0.25),
            ),
            (
                json!({"auc": 0.75, "rows": 11, "of": ["a", null]}),
                Distance::Else("x: rows: 10 and 11".to_owned()),
            ),
            (
                json!({"auc": 0.5, "rows": 10, "of": ["b", null]}),
                Distance::Else("x: of: \"a\" and \"b\"".to_owned()),
            ),
        ] {
            assert_eq!(of_values(&same, &other, "x"), expected);
        }
    }

    #[test]
    fn files_and_folders_are_compared_by_what_they_say() {
        let home = tempfile::tempdir().expect("folder");
        let write = |name: &str, text: &str| {
            let path = home.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(&path, text).expect("written");
            path
        };
        let one = write("1d", "{\"auc\": 0.5}");
        let two = write("summary.json", "{ \"auc\": 0.5 }");
        assert_eq!(distance(&one, &two).expect("read"), Distance::Same);
        let text = write("out.txt", "other");
        assert!(matches!(
            distance(&one, &text).expect("read"),
            Distance::Else(_)
        ));
        write("a/x.txt", "1");
        write("b/x.txt", "1");
        let folders = [home.path().join("a"), home.path().join("b")];
        assert_eq!(
            distance(&folders[0], &folders[1]).expect("read"),
            Distance::Same
        );
        write("b/y.txt", "1");
        let apart = distance(&folders[0], &folders[1]).expect("read");
        assert_eq!(
            apart,
            Distance::Else("`y.txt` is in one of them only".to_owned())
        );
    }
}
