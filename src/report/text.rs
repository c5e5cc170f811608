//! Text in pictures: how it looks, how wide it is, and how it is made to fit.

use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontError, IntoFont, TextStyle};

use super::font;

/// Black text beside its place, at the height of its place.
pub(super) fn style(size: f64, anchor: HPos) -> TextStyle<'static> {
    let font = (font::family(), size).into_font();
    TextStyle::from(font).pos(Pos::new(anchor, VPos::Center))
}

/// Width of a line of text in pixels.
pub(super) fn width(text: &str, size: f64) -> Result<i32, FontError> {
    Ok((font::family(), size).into_font().box_size(text)?.0 as i32)
}

/// The text, without so much of its middle that it fits `limit` pixels: names often begin alike.
pub(super) fn shortened(text: &str, size: f64, limit: i32) -> Result<String, FontError> {
    let letters: Vec<char> = text.chars().collect();
    let mut shown = text.to_owned();
    let mut kept = letters.len();
    while kept > 2 && width(&shown, size)? > limit {
        kept -= 1;
        let (head, tail) = (&letters[..kept.div_ceil(2)], &letters[letters.len() - kept / 2..]);
        shown = head.iter().chain(&['…']).chain(tail).collect();
    }
    Ok(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_keep_both_ends() {
        let name = "an_alphabet_with_a_very_long_name/character17";
        let shown = shortened(name, 16.0, 180).unwrap();
        assert!(shown.starts_with("an_alph") && shown.ends_with("acter17"), "{shown}");
        assert!((160..=180).contains(&width(&shown, 16.0).unwrap()), "{shown}");
        assert_eq!(shortened("frog", 16.0, 180).unwrap(), "frog");
    }
}
