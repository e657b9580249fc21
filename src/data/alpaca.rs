//! Instruction data in the Alpaca form.

use super::error::DataError;
use super::json_records::{self, Records, Rules};
use super::source::Source;

/// Reads instruction records. A record may lack `input`; an empty instruction or answer teaches
/// nothing and is an error.
///
/// # Errors
/// If the file is no JSON array of such records.
pub fn read_alpaca_json(source: &Source) -> Result<Records, DataError> {
    let read = json_records::read(
        source,
        Rules {
            optional_input: true,
            check: |field, value| {
                if field != "input" && value.trim().is_empty() {
                    return Err((
                        format!("`{field}` is empty"),
                        "remove the record, or fill it in".to_owned(),
                    ));
                }
                Ok(())
            },
        },
    )?;
    if read.records.is_empty() {
        return Err(source
            .at(1, None, "the array is empty")
            .with_help("at least one record is needed"));
    }
    Ok(read)
}
