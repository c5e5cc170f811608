//! `--ema`: whether a moving average of the weights is kept.

/// A moving average of the weights, or none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct EmaArg(pub Option<f32>);

/// Parses a decay, or `off`.
pub(crate) fn parse_ema(text: &str) -> Result<EmaArg, String> {
    if text == "off" {
        return Ok(EmaArg(None));
    }
    match text.parse() {
        Ok(decay) if (0.0..1.0).contains(&decay) => Ok(EmaArg(Some(decay))),
        _ => Err("must be at least 0 and below 1, as in 0.9999, or off".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decay_is_below_one() {
        assert_eq!(parse_ema("0.9999"), Ok(EmaArg(Some(0.9999))));
        assert_eq!(parse_ema("0"), Ok(EmaArg(Some(0.0))));
        assert_eq!(parse_ema("off"), Ok(EmaArg(None)));
        for text in ["1", "-0.1", "nan", "inf", "on", "", "0.99999999999"] {
            assert!(parse_ema(text).is_err(), "{text}");
        }
    }
}
