//! The bundled font (Roboto, Apache-2.0; licence beside the files).

use std::sync::OnceLock;

use plotters::style::{FontStyle, register_font};

/// The family as an SVG names it: a reader without Roboto takes the next one.
pub(super) const FAMILY: &str = "Roboto, Helvetica, Arial, sans-serif";

const REGULAR: &[u8] = include_bytes!("fonts/Roboto-Regular.ttf");
const MEDIUM: &[u8] = include_bytes!("fonts/Roboto-Medium.ttf");

/// Makes the font known to plotters, once.
///
/// # Errors
/// If the embedded files are not fonts, which is a bug.
pub(super) fn register() -> Result<(), String> {
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    let registered = REGISTERED.get_or_init(|| {
        register_font(FAMILY, FontStyle::Normal, REGULAR).is_ok()
            && register_font(FAMILY, FontStyle::Bold, MEDIUM).is_ok()
    });
    if *registered {
        Ok(())
    } else {
        Err("the embedded font cannot be read; this is a bug in runner".to_owned())
    }
}
