//! Errors in the words of the command line: settings by their options.

use crate::error::Error;
use crate::setting::{Setting, Wording};

/// Settings by their options.
struct Options;

impl Wording for Options {
    fn name(&self, setting: Setting) -> String {
        option(setting)
    }

    fn off(&self, setting: Setting) -> String {
        match setting {
            // The option is what switches it off.
            Setting::Flip => option(setting),
            Setting::Jitter => "no --jitter or --color-jitter".to_owned(),
            Setting::Strict => format!("{}=false", option(setting)),
            _ => format!("no {}", option(setting)),
        }
    }
}

/// The message of `error`.
pub(super) fn message(error: &Error) -> String {
    error.worded(&Options)
}

/// The option that sets `setting`, with its dashes.
pub(super) fn option(setting: Setting) -> String {
    let name = match setting {
        Setting::Flip => "no-flip",
        Setting::Trainable => "trainable-blocks",
        Setting::Length => "epochs",
        Setting::Warmup => "warmup-epochs",
        Setting::ClipNorm => "clip-grad",
        // The encoder is the model that options are about if they do not say more.
        _ => setting.name().trim_start_matches("encoder."),
    };
    format!("--{}", name.replace(['_', '.'], "-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remedy::Remedy;

    #[test]
    fn messages_name_options() {
        let whole = Remedy::set(Setting::Crop, "none")
            .and(Remedy::off(Setting::Flip))
            .and(Remedy::off(Setting::Jitter));
        let error = Error::Config {
            setting: Setting::EncoderDimHead,
            problem: "is odd".to_owned(),
            remedies: vec![whole, Remedy::larger(Setting::DecoderDim)],
        };
        assert_eq!(
            message(&error),
            "--dim-head: is odd; try --crop none, --no-flip and no --jitter or --color-jitter, or a \
             larger --decoder-dim"
        );
    }
}
