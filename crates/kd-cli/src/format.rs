//! Numbers for people.

/// A count with a unit of thousands: `853`, `23.5 K`, `1.36 M`, `2.51 G`.
pub fn count(value: u64) -> String {
    scaled(value as f64, 1000.0, &["", "K", "M", "G", "T"])
}

/// A number of bytes: `853 B`, `23.5 KB`, `1.36 MB`.
pub fn bytes(value: u64) -> String {
    scaled(value as f64, 1000.0, &["B", "KB", "MB", "GB", "TB"])
}

fn scaled(mut value: f64, base: f64, units: &[&str]) -> String {
    let mut units = units.iter().peekable();
    let mut unit = "";
    let mut first = true;
    while let Some(next) = units.next() {
        unit = next;
        // 999.6 would be shown as 1000.
        if value < base - 0.5 || units.peek().is_none() {
            break;
        }
        value /= base;
        first = false;
    }
    let digits = match value {
        _ if first => 0,
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {unit}").trim_end().to_owned()
}

/// A loss or a rate with about four digits that count.
pub fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        v if !v.is_finite() => value.to_string(),
        v if v >= 1000.0 => format!("{value:.0}"),
        v if v >= 100.0 => format!("{value:.1}"),
        v if v >= 0.1 => format!("{value:.3}"),
        v if v >= 0.001 => format!("{value:.4}"),
        _ => format!("{value:.1e}"),
    }
}

/// A learning rate in at most four digits: `0.05`, `0.00125`, `4e-7`.
pub fn rate(value: f64) -> String {
    let digits = format!("{value:.3e}");
    match digits.parse::<f64>() {
        Ok(rounded) if rounded.abs() < 1e-4 && rounded != 0.0 => format!("{rounded:e}"),
        Ok(rounded) => rounded.to_string(),
        Err(_) => digits,
    }
}

/// A duration: `42 s`, `3 min 20 s`, `5 h 10 min`, `12 days`.
pub fn duration(seconds: f64) -> String {
    let s = seconds.round().max(0.0) as u64;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min {} s", s / 60, s % 60),
        3600..172_800 => format!("{} h {} min", s / 3600, s % 3600 / 60),
        _ => format!("{} days", (s as f64 / 86_400.0).round()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_keep_three_digits() {
        assert_eq!(count(853), "853");
        assert_eq!(count(23_456), "23.5 K");
        assert_eq!(count(1_355_528), "1.36 M");
        assert_eq!(count(999_999), "1.00 M");
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(5_400_000), "5.40 MB");
    }

    #[test]
    fn durations_have_two_units_at_most() {
        assert_eq!(duration(59.4), "59 s");
        assert_eq!(duration(200.0), "3 min 20 s");
        assert_eq!(duration(18_600.0), "5 h 10 min");
        assert_eq!(duration(1_000_000.0), "12 days");
    }

    #[test]
    fn small_losses_are_not_shown_as_zero() {
        assert_eq!(short(0.00002), "2.0e-5");
        assert_eq!(short(2.34567), "2.346");
        assert_eq!(short(f64::NAN), "NaN");
        assert_eq!(rate(0.05), "0.05");
        assert_eq!(rate(0.000_499_96), "0.0005");
        assert_eq!(rate(4e-7), "4e-7");
    }
}
