//! Numbers as people read them.

/// `1234567` as `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with a decimal prefix and three digits: `125.8 M`.
pub(crate) fn prefixed(number: f64, unit: &str) -> String {
    let (scale, prefix) = match number.abs() {
        n if n >= 1e12 => (1e12, "T"),
        n if n >= 1e9 => (1e9, "G"),
        n if n >= 1e6 => (1e6, "M"),
        n if n >= 1e3 => (1e3, "k"),
        _ => (1.0, ""),
    };
    let text = significant(number / scale, 4);
    match (prefix, unit) {
        ("", "") => text,
        (prefix, unit) => format!("{text} {prefix}{unit}"),
    }
}

/// A number with `digits` significant digits and no trailing zeros; tiny ones as `2.5e-7`.
pub(super) fn significant(number: f64, digits: usize) -> String {
    if !number.is_finite() {
        return "–".into();
    }
    if number == 0.0 {
        return "0".into();
    }
    // Rounding first decides the magnitude: 0.99999 has the digits of 1, not of 0.9.
    let scientific = format!("{number:.*e}", digits.saturating_sub(1));
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    let magnitude: i32 = exponent.parse().unwrap_or(0);
    if !(-4..15).contains(&magnitude) {
        return format!("{}e{magnitude}", without_zeros(mantissa));
    }
    let decimals = (digits as i32 - 1 - magnitude).max(0) as usize;
    without_zeros(&format!("{number:.decimals$}"))
}

/// A decimal number without the zeros that end it.
pub(super) fn without_zeros(text: &str) -> String {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').into()
    } else {
        text.into()
    }
}

/// Points with a sign: `+2.31`, `−0.40` (a true minus), `0.00`.
pub(super) fn signed(points: f64) -> String {
    let text = format!("{:.2}", points.abs());
    match text.as_str() {
        "0.00" => text,
        _ if points < 0.0 => format!("−{text}"),
        _ => format!("+{text}"),
    }
}

/// Seconds as `42.0 s`, `3 min 12 s` or `5 h 07 min`.
pub(super) fn duration(seconds: f64) -> String {
    let whole = seconds.round().max(0.0) as u64;
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

/// The mean of some numbers, and their sample standard deviation when there are several.
pub(super) fn spread(numbers: &[f64]) -> Option<(f64, Option<f64>)> {
    if numbers.is_empty() {
        return None;
    }
    let n = numbers.len() as f64;
    let mean = numbers.iter().sum::<f64>() / n;
    let squares = numbers.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
    let deviation = (numbers.len() > 1).then(|| (squares / (n - 1.0)).sqrt());
    Some((mean, deviation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(
            [count(0), count(999), count(1000), count(11_220_132)],
            ["0", "999", "1,000", "11,220,132"]
        );
        assert_eq!(prefixed(125_800_000.0, ""), "125.8 M");
        assert_eq!(prefixed(4_932_112.0, "B"), "4.932 MB");
        assert_eq!(prefixed(12.0, ""), "12");
        assert_eq!(significant(0.05, 3), "0.05");
        assert_eq!(significant(2.5e-7, 3), "2.5e-7");
        assert_eq!(significant(0.99999, 3), "1");
        assert_eq!(significant(1234.5, 3), "1234");
        assert_eq!(significant(f64::NAN, 3), "–");
        assert_eq!(
            [signed(2.314), signed(-0.4), signed(-0.001)],
            ["+2.31", "−0.40", "0.00"]
        );
        assert_eq!(
            [duration(41.96), duration(192.4), duration(18_440.0)],
            ["42.0 s", "3 min 12 s", "5 h 07 min"]
        );
    }

    #[test]
    fn deviation_is_the_sample_one_and_needs_two() {
        assert_eq!(spread(&[]), None);
        assert_eq!(spread(&[3.0]), Some((3.0, None)));
        assert_eq!(spread(&[1.0, 2.0, 3.0]), Some((2.0, Some(1.0))));
    }
}
