//! Characters that nobody sees. They do harm in a text that people read, and around a text that people paste.

use icu_properties::CodePointMapData;
use icu_properties::props::GeneralCategory;

use crate::invalid::Invalid;

/// Refuses characters that people cannot see in a text, or that change how the text around them looks.
pub(crate) fn check_shown(text: &str) -> Result<(), Invalid> {
    // Persian needs U+200C between letters. Emoji of families and professions need U+200D.
    let is_refused = |c| is_hidden(c) && !matches!(c, '\u{200C}' | '\u{200D}');
    if text.chars().any(is_refused) {
        Err(Invalid(
            "must NOT contain line breaks, control characters or invisible format characters: remove them",
        ))
    } else {
        Ok(())
    }
}

/// Refuses blanks around an identifier or a secret. Somebody copied them by mistake, and Zoom would never accept the
/// text with them.
pub fn check_pasted(text: &str) -> Result<(), Invalid> {
    if text.starts_with(is_blank) || text.ends_with(is_blank) {
        Err(Invalid(
            "must NOT begin or end with a blank, a line break or an invisible character: remove it",
        ))
    } else {
        Ok(())
    }
}

fn is_blank(c: char) -> bool {
    c.is_whitespace() || is_hidden(c)
}

/// Control characters, format characters (with those that set the direction of writing), and the separators of lines
/// and paragraphs.
fn is_hidden(c: char) -> bool {
    matches!(
        CodePointMapData::<GeneralCategory>::new().get(c),
        GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
    )
}
