//! Standard output and error, the only places that print.

use std::io::{self, IsTerminal, Write};

use super::CliError;

/// Writes bytes to standard output. A reader that went away (`| head`) is not an error.
pub(super) fn write(bytes: &[u8]) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CliError::Io {
            action: "write to standard output".to_owned(),
            source: error,
        }),
        _ => Ok(()),
    }
}

/// Writes a line to standard output.
pub(super) fn line(text: &str) -> Result<(), CliError> {
    write(format!("{text}\n").as_bytes())
}

/// Writes pretty JSON to standard output.
pub(super) fn json(value: &impl serde::Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(value).map_err(|error| CliError::Io {
        action: "write JSON".to_owned(),
        source: error.into(),
    })?;
    line(&text)
}

/// Writes a line to standard error; if that is gone, nobody is there to be told.
pub(super) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Whether standard error is a terminal that can redraw.
pub(super) fn has_terminal() -> bool {
    io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Rows of text in aligned columns.
pub(super) fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count)
        .map(|column| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(|text| text.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            line.push_str(cell);
            // The last column ends where its text ends, however long another row's is.
            if column + 1 < row.len() {
                let fill = widths[column].saturating_sub(cell.chars().count()) + 2;
                line.extend(std::iter::repeat_n(' ', fill));
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Bytes as people read them, in the units that `limits` take.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..=9_999 => format!("{bytes} B"),
        10_000..=9_999_999 => format!("{:.1} kB", bytes as f64 / 1e3),
        10_000_000..=9_999_999_999 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn sizes_read_well() {
        assert_eq!(super::size(512), "512 B");
        assert_eq!(super::size(12_345), "12.3 kB");
        assert_eq!(super::size(12_345_678), "12.3 MB");
        assert_eq!(super::size(13_500_000_000), "13.5 GB");
    }
}
