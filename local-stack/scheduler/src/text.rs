//! How values are read: booleans, numbers, scores, durations, names.

use std::cmp::Ordering;

/// The score that no sum exceeds.
pub(crate) const INFINITY: i32 = 1_000_000;

/// A boolean as configurations write it; `None` if it is none.
pub(crate) fn parse_bool(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" | "y" | "1" => Some(true),
        "false" | "off" | "no" | "n" | "0" => Some(false),
        _ => None,
    }
}

/// Whether a value is present and true.
pub(crate) fn is_true(value: Option<&str>) -> bool {
    value.and_then(parse_bool).unwrap_or(false)
}

/// The leading integer of a text (as `strtoll` reads it), or `None`.
pub(crate) fn leading_int(value: &str) -> Option<i64> {
    let trimmed = value.trim_start().as_bytes();
    let (negative, digits) = match trimmed {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if !digits.first().is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let mut number: i64 = 0;
    for digit in digits.iter().take_while(|d| d.is_ascii_digit()) {
        let digit = i64::from(digit - b'0');
        // Negative numbers go one farther: all are counted down.
        let next = number.checked_mul(10).and_then(|n| n.checked_sub(digit));
        let Some(next) = next else {
            return Some(if negative { i64::MIN } else { i64::MAX });
        };
        number = next;
    }
    Some(if negative {
        number
    } else {
        number.checked_neg().unwrap_or(i64::MAX)
    })
}

/// A score: an integer or `[+-]INFINITY`, saturated; 0 if it is neither.
pub(crate) fn parse_score(value: &str) -> i32 {
    match value.to_ascii_uppercase().as_str() {
        "INFINITY" | "+INFINITY" => INFINITY,
        "-INFINITY" => -INFINITY,
        "RED" => -INFINITY,
        "YELLOW" | "GREEN" => 0,
        _ => clamp(leading_int(value).unwrap_or(0)),
    }
}

fn clamp(value: i64) -> i32 {
    let bound = i64::from(INFINITY);
    i32::try_from(value.clamp(-bound, bound)).unwrap_or(0)
}

/// Sum of two scores: minus infinity beats infinity, which beats everything else.
pub(crate) fn add(a: i32, b: i32) -> i32 {
    if a <= -INFINITY || b <= -INFINITY {
        -INFINITY
    } else if a >= INFINITY || b >= INFINITY {
        INFINITY
    } else {
        clamp(i64::from(a) + i64::from(b))
    }
}

/// A time with an optional unit, in milliseconds; the unit is seconds if none is given.
pub(crate) fn milliseconds(value: &str) -> Option<i64> {
    let text = value.trim_start();
    let number = leading_int(text)?;
    let unit = text
        .trim_start_matches(['-', '+'])
        .trim_start_matches(|c: char| c.is_ascii_digit());
    let unit = unit.trim().to_ascii_lowercase();
    let (factor, divisor) = match unit.as_str() {
        "" | "s" | "sec" => (1000, 1),
        "ms" | "msec" => (1, 1),
        "us" | "usec" => (1, 1000),
        "m" | "min" => (60_000, 1),
        "h" | "hr" => (3_600_000, 1),
        _ => return None,
    };
    Some(number.saturating_mul(factor) / divisor)
}

/// An interval in milliseconds (also ISO 8601 durations); 0 if absent or unreadable.
pub(crate) fn interval_ms(value: Option<&str>) -> u32 {
    let Some(value) = value else {
        return 0;
    };
    let ms = if value.trim_start().starts_with(['P', 'p']) {
        crate::dates::duration_seconds(value).map(|s| s * 1000)
    } else {
        milliseconds(value)
    };
    u32::try_from(ms.unwrap_or(0).max(0)).unwrap_or(u32::MAX)
}

/// Compares names without case, runs of digits by their value.
pub(crate) fn natural(a: &str, b: &str) -> Ordering {
    let (mut x, mut y) = (a.as_bytes(), b.as_bytes());
    while let (Some(&p), Some(&q)) = (x.first(), y.first()) {
        if p.is_ascii_digit() && q.is_ascii_digit() {
            let m = x.iter().take_while(|c| c.is_ascii_digit()).count();
            let n = y.iter().take_while(|c| c.is_ascii_digit()).count();
            let u = trim_zeros(&x[..m]);
            let v = trim_zeros(&y[..n]);
            match u.len().cmp(&v.len()).then_with(|| u.cmp(v)) {
                Ordering::Equal => {}
                other => return other,
            }
            x = &x[m..];
            y = &y[n..];
        } else {
            match p.to_ascii_lowercase().cmp(&q.to_ascii_lowercase()) {
                Ordering::Equal => {}
                other => return other,
            }
            x = &x[1..];
            y = &y[1..];
        }
    }
    x.len().min(1).cmp(&y.len().min(1))
}

fn trim_zeros(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|d| **d == b'0').count();
    &digits[zeros..]
}

/// Compares dotted version numbers.
pub(crate) fn compare_versions(a: &str, b: &str) -> Ordering {
    let mut x = a.split('.');
    let mut y = b.split('.');
    loop {
        let (p, q) = (x.next(), y.next());
        if p.is_none() && q.is_none() {
            return Ordering::Equal;
        }
        let number = |part: Option<&str>| part.and_then(leading_int).unwrap_or(0);
        match number(p).cmp(&number(q)) {
            Ordering::Equal => {}
            other => return other,
        }
    }
}

/// The name of an instance without its number: `a:1` is `a`.
pub(crate) fn base_name(id: &str) -> &str {
    match id.rfind(':') {
        Some(i) if i > 0 && id[i + 1..].bytes().all(|b| b.is_ascii_digit()) => {
            if i + 1 == id.len() { id } else { &id[..i] }
        }
        _ => id,
    }
}

/// A stable merge sort, top down, the first half being the smaller one: comparisons which are not
/// total orders give one well-known result.
pub(crate) fn merge_sort<T: Copy>(items: &mut [T], compare: &dyn Fn(&T, &T) -> Ordering) {
    // Only first halves are ever set aside.
    let mut aside = items[..items.len() / 2].to_vec();
    sort_with(items, &mut aside, compare);
}

fn sort_with<T: Copy>(items: &mut [T], aside: &mut [T], compare: &dyn Fn(&T, &T) -> Ordering) {
    let n = items.len();
    if n < 2 {
        return;
    }
    let middle = n / 2;
    sort_with(&mut items[..middle], aside, compare);
    // The second half may be longer than the first by one, its own first half never.
    sort_with(&mut items[middle..], aside, compare);
    let left = &mut aside[..middle];
    left.copy_from_slice(&items[..middle]);
    let (mut i, mut j, mut to) = (0, middle, 0);
    while i < middle {
        if j < n && compare(&left[i], &items[j]) == Ordering::Greater {
            items[to] = items[j];
            j += 1;
        } else {
            items[to] = left[i];
            i += 1;
        }
        to += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_saturate_and_ban_wins() {
        assert_eq!(add(INFINITY, -INFINITY), -INFINITY);
        assert_eq!(add(INFINITY, -5), INFINITY);
        assert_eq!(add(600_000, 600_000), INFINITY);
        assert_eq!(parse_score("-INFINITY"), -INFINITY);
        assert_eq!(parse_score("12x"), 12);
    }

    #[test]
    fn integers_are_read_as_far_as_they_go() {
        assert_eq!(leading_int(" \t-12x"), Some(-12));
        assert_eq!(leading_int("+7"), Some(7));
        assert_eq!(leading_int("+-7"), None);
        assert_eq!(leading_int("-"), None);
        assert_eq!(leading_int("9223372036854775807"), Some(i64::MAX));
        assert_eq!(leading_int("9223372036854775808"), Some(i64::MAX));
        assert_eq!(leading_int("-9223372036854775808"), Some(i64::MIN));
        assert_eq!(leading_int("-99999999999999999999"), Some(i64::MIN));
    }

    #[test]
    fn durations() {
        assert_eq!(interval_ms(Some("10s")), 10_000);
        assert_eq!(interval_ms(Some("2min")), 120_000);
        assert_eq!(interval_ms(Some("500ms")), 500);
        assert_eq!(interval_ms(Some("PT1M")), 60_000);
        assert_eq!(interval_ms(Some("7")), 7_000);
        assert_eq!(interval_ms(None), 0);
    }

    #[test]
    fn names() {
        assert_eq!(natural("node2", "node10"), Ordering::Less);
        assert_eq!(natural("Node2", "node2"), Ordering::Equal);
        assert_eq!(base_name("a:12"), "a");
        assert_eq!(base_name("a-b"), "a-b");
    }
}
