//! Courses of training as event files, one folder for each training, for TensorBoard.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::ExportError;
use super::place::{entries, put};
use crate::base::Digest;
use crate::stage::codec::{EVENT_FILE, write_scalars};
use crate::study::runs::StageRun;

/// File systems take names of 255 bytes at most.
const LONGEST: usize = 200;

/// Writes an event file for each training into a folder of its own, in place of what an earlier
/// export left in `folder`. The same trainings give the same bytes.
///
/// # Errors
/// [`ExportError::Foreign`] if the folder holds something else; if it cannot be written.
pub fn write(folder: &Path, trainings: &[Arc<StageRun>]) -> Result<(), ExportError> {
    check(folder)?;
    let target = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    put(&target, &target, |draft| {
        for training in trainings {
            write_scalars(&draft.join(folder_name(&training.stage)), &training.curve)?;
        }
        Ok(())
    })
}

/// A folder is replaced if it holds nothing but folders with one event file of ours each.
fn check(folder: &Path) -> Result<(), ExportError> {
    if folder.exists() && !folder.is_dir() {
        return Err(ExportError::foreign(
            folder,
            "is a file, and event files go to a folder",
        ));
    }
    for name in entries(folder)? {
        let inner = folder.join(&name);
        if !inner.is_dir() || entries(&inner)? != [EVENT_FILE] {
            let what = format!("holds `{name}`, which no export of event files made");
            return Err(ExportError::foreign(folder, what));
        }
    }
    Ok(())
}

/// The id of a stage as the name of a folder: what it is called everywhere else, too.
fn folder_name(stage: &str) -> String {
    let name: String = stage
        .chars()
        .map(|letter| {
            if letter == '/' || letter.is_control() {
                '_'
            } else {
                letter
            }
        })
        .collect();
    if name.len() <= LONGEST && name == stage {
        return name;
    }
    // What was cut or changed may have told it from another.
    let mut end = LONGEST.min(name.len());
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    let digest = Digest::of_bytes(stage.as_bytes()).short();
    format!("{}-{digest}", &name[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::codec::Scalars;

    fn training(stage: &str, loss: f64) -> Arc<StageRun> {
        Arc::new(StageRun {
            stage: stage.to_owned(),
            template: "train".to_owned(),
            key: Digest::of_bytes(stage.as_bytes()),
            parameters: std::collections::BTreeMap::new(),
            times: None,
            curve: vec![Scalars {
                step: 1,
                values: vec![("train/loss", loss)],
            }],
        })
    }

    #[test]
    fn an_earlier_export_is_replaced_and_nothing_else() {
        let home = tempfile::tempdir().expect("folder");
        let folder = home.path().join("runs/small");
        let ids = ["train@k=16,seed=0", "train@k=16,seed=1"];
        write(&folder, &ids.map(|id| training(id, 0.5))).expect("written");
        assert_eq!(entries(&folder).expect("listed"), ids);
        let read = |id: &str| fs::read(folder.join(id).join(EVENT_FILE)).expect("bytes");
        let first = read(ids[0]);
        write(&folder, &[training(ids[0], 0.25)]).expect("replaced");
        assert_eq!(entries(&folder).expect("listed"), [ids[0]]);
        assert_ne!(read(ids[0]), first);
        write(&folder, &[training(ids[0], 0.5)]).expect("replaced");
        assert_eq!(read(ids[0]), first);
        let own = folder.join(ids[0]).join("events.out.tfevents.1.mine");
        fs::write(own, "mine").expect("written");
        let refused = write(&folder, &[training(ids[1], 0.5)]).expect_err("foreign");
        assert!(refused.to_string().contains("which no export"), "{refused}");
        let file = folder.join(ids[0]).join(EVENT_FILE);
        assert!(write(&file, &[]).is_err());
    }

    #[test]
    fn names_of_folders_are_told_apart() {
        assert_eq!(
            folder_name("train@variant=AT+RT,k=16"),
            "train@variant=AT+RT,k=16"
        );
        assert_ne!(folder_name("a/b"), folder_name("a_b"));
        let long = "é".repeat(200);
        assert!(folder_name(&long).len() < 255);
        assert_ne!(folder_name(&long), folder_name(&format!("{long}x")));
    }
}
