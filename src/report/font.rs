//! The one font of every picture: Ubuntu Light, embedded under the Ubuntu font licence.

use std::sync::Once;

use plotters::style::{FontStyle, register_font};

/// The family's name for plotters, registered on first use.
pub(super) fn family() -> &'static str {
    const FAMILY: &str = "webmae";
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        let parsed = register_font(FAMILY, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT);
        debug_assert!(parsed.is_ok(), "the embedded font is broken");
    });
    FAMILY
}
