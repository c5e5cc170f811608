//! Numbers and choices as people read and write them.

use clap::ValueEnum;

/// Bytes with a binary unit, e.g. `1.50 GiB`.
pub(super) fn bytes(count: u64) -> String {
    scaled(count as f64, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB"])
}

/// A count with a decimal unit, e.g. `111.7 M`.
pub(super) fn count(count: u64) -> String {
    scaled(count as f64, 1000.0, &["", "k", "M", "G", "T", "P"]).trim_end().to_owned()
}

/// Floating-point operations, e.g. `2.31 TFLOP`.
pub(super) fn flops(count: u64) -> String {
    scaled(count as f64, 1000.0, &["FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP"])
}

/// The word for a choice on the command line.
pub(super) fn choice(value: impl ValueEnum) -> String {
    value.to_possible_value().map_or(String::new(), |value| value.get_name().to_owned())
}

/// A time span, e.g. `2 min 05 s`.
pub(super) fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

/// A number with the largest of `units`, each `base` times the one before it, that leaves it above 1.
pub(super) fn scaled(mut value: f64, base: f64, units: &[&str]) -> String {
    let mut unit = 0;
    while value >= base && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    let digits = match value {
        _ if unit == 0 => 0,
        v if v < 10.0 => 2,
        v if v < 1000.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {}", units[unit])
}

/// Parses bytes: `8GiB`, `8G` (binary), `8GB` (decimal), `1.5 GiB`, or a plain number.
pub(super) fn parse_bytes(text: &str) -> Result<u64, String> {
    let lower = text.trim().to_lowercase();
    let split = lower.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(lower.len());
    let (number, unit) = lower.split_at(split);
    let factor = match unit.trim() {
        "" | "b" => 1.0,
        "k" | "kib" => 1024.0,
        "m" | "mib" => 1024f64.powi(2),
        "g" | "gib" => 1024f64.powi(3),
        "t" | "tib" => 1024f64.powi(4),
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "tb" => 1e12,
        _ => return Err(format!("{text:?} has an unknown unit; write e.g. 8GiB or 512MiB")),
    };
    match number.parse::<f64>() {
        Ok(value) if value > 0.0 && value * factor < 1e18 => Ok((value * factor) as u64),
        _ => Err(format!("{text:?} is no number of bytes; write e.g. 8GiB or 512MiB")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(3 << 29), "1.50 GiB");
        assert_eq!(bytes(121 << 20), "121.0 MiB");
        assert_eq!(count(111_654_912), "111.7 M");
        assert_eq!(count(12), "12");
        assert_eq!(flops(2_310_000_000_000), "2.31 TFLOP");
    }

    #[test]
    fn bytes_are_parsed() {
        assert_eq!(parse_bytes("8GiB"), Ok(8 << 30));
        assert_eq!(parse_bytes("1.5 g"), Ok(3 << 29));
        assert_eq!(parse_bytes("8GB"), Ok(8_000_000_000));
        for bad in ["", "GiB", "-1", "8 apples", "nan", "1e400"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
    }
}
